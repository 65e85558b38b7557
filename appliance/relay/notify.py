"""Tells systemd how the relay is: READY, RELOADING, STOPPING, STATUS and the watchdog.

The protocol is sd_notify(3): datagrams to the socket of NOTIFY_SOCKET, a path or an abstract name.
Without that variable everything here does nothing. When to say what is the service's business.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)


class Notifier:
    """One for the process. Sending never blocks and never fails the caller."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        # The variables name the process they are for; a child must not answer for its parent.
        own = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        period = environment.get("WATCHDOG_USEC", "")
        self.watchdog_period = int(period) / 1e6 if own and period.isdigit() and self._address else 0.0  # seconds
        self._status = ""

    def send(self, *lines: str) -> None:
        """Send assignments such as `READY=1`, as one datagram."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("systemd could not be told", extra={"error": str(error)})

    def ready(self, status: str = "") -> None:
        self.send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Followed by `ready` when done (Type=notify-reload wants the monotonic time)."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self.send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line that `systemctl status` shows; sent only when it changes."""
        if text != self._status:
            self._status = text
            self.send(f"STATUS={text}")

    async def feed_watchdog(self, alive: Callable[[], bool]) -> None:
        """Feed the watchdog from the event loop as long as `alive()`; returns at once where there is none.

        A stuck loop does not get here, and a part without progress makes `alive()` false: either way
        systemd restarts the relay after the period.
        """
        if not self.watchdog_period:
            return
        while True:
            if alive():
                self.send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_period / 3)
