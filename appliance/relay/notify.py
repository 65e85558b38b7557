"""Tells systemd how the relay is: READY, RELOADING, STOPPING, STATUS and the watchdog.

The protocol is sd_notify(3): datagrams to the socket of NOTIFY_SOCKET, a path or an abstract name.
Without that variable everything here does nothing. When to say what is the service's business.
"""

import logging
import os
import socket
import time
from array import array
from collections.abc import Callable, Mapping, Sequence

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
            log.warning("systemd could not be notified", extra={"error": str(error)})

    def store(self, name: str, descriptors: Sequence[int]) -> bool:
        """Give systemd open descriptors to keep for the next process of this unit; False when it did not take them.

        It closes its copy of a socket that is shut down on both sides, and all of them when the unit is stopped
        for good. Source: sd_pid_notify_with_fds(3), systemd.service(5) on FileDescriptorStoreMax=.
        """
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))
                sender.sendmsg([f"FDSTORE=1\nFDNAME={name}".encode()], [rights], 0, self._address)
        except OSError as error:
            log.warning("systemd did not accept open sockets", extra={"error": str(error)})
            return False
        return True

    @property
    def present(self) -> bool:
        """Return whether somebody listens to what is said here."""
        return bool(self._address)

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
        import asyncio  # here: the receiver, which has no use for it, would pay 6 MiB of memory

        while True:
            if alive():
                self.send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_period / 3)
