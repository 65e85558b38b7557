"""The listening socket: accepts connections within the bounds, and moves without ending any.

There is one socket at a time. Who may stay when there are too many is decided here; what connections
carry is the reader's.
"""

import errno
import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from appliance.config import model
from appliance.config.units import Endpoint
from appliance.errors import ApplianceError
from appliance.relay.listen.bind import open_listener
from appliance.relay.receive.connection import Connection, address_of, prepare
from appliance.relay.receive.counts import Counts, Trouble

log = logging.getLogger(__name__)

_AT_ONCE = 64  # connections accepted before those that are open are read again
_NO_FILES = 1.0  # seconds without accepting after the system had no descriptor left
_NOTHING_LEFT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_LOOK_FOR_ROOM = 1.0  # seconds between two searches for a connection that nobody uses


class Bounds(NamedTuple):
    """How many connections there may be."""

    total: int
    sender: int
    idle: float
    """Seconds of silence after which a connection is closed when its place is needed."""


def endpoint_of(tcp: model.TcpListener | None) -> Endpoint | None:
    """Return where to listen; None for nowhere."""
    if tcp is None:
        return None
    host = tcp.address or ""
    return Endpoint(f"[{host}]:{tcp.port}" if ":" in host else f"{host}:{tcp.port}")


class Listener:
    """Opens connections: `opened` gets each, `end` one that has to go, `watch` and `unwatch` the listening socket."""

    def __init__(
        self,
        counts: Counts,
        connections: Mapping[int, Connection],
        *,
        opened: Callable[[socket.socket, str], None],
        end: Callable[[Connection], None],
        watch: Callable[[socket.socket], None],
        unwatch: Callable[[socket.socket], None],
    ) -> None:
        self._counts = counts
        self._connections = connections
        self._opened, self._end, self._watch, self._unwatch = opened, end, watch, unwatch
        self._watched = False
        self._by_sender: dict[str, int] = {}
        self._sleeps_until = 0.0
        self._looked = 0.0
        self.bounds = Bounds(1, 1, 0.0)
        self.endpoint: Endpoint | None = None
        self.socket: socket.socket | None = None

    # ---- the socket ----------------------------------------------------------------------------

    def take(self, endpoint: Endpoint, sock: socket.socket) -> None:
        """Listen with a socket that is open already."""
        self._use(endpoint, sock)

    def move(self, endpoint: Endpoint | None) -> None:
        """Listen elsewhere, or nowhere; connections stay open.

        Raise ApplianceError when the address cannot be had; it listens where it did then.
        """
        if endpoint == self.endpoint:
            return
        before = self.endpoint
        if before is not None and endpoint is not None and before.port == endpoint.port:
            # An address and "all addresses" exclude each other.
            self._stop()
            try:
                self._use(endpoint, open_listener(endpoint, section="listeners.tcp"))
            except ApplianceError:
                self._use(before, open_listener(before, section="listeners.tcp"))
                raise
            return
        sock = open_listener(endpoint, section="listeners.tcp") if endpoint is not None else None
        self._stop()
        if endpoint is not None and sock is not None:
            self._use(endpoint, sock)

    def pause(self) -> None:
        """Accept nobody for now; the kernel goes on doing so."""
        if self.socket is not None and self._watched:
            self._unwatch(self.socket)
            self._watched = False

    def _use(self, endpoint: Endpoint, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.endpoint, self.socket = endpoint, sock
        self._counts.port = int(sock.getsockname()[1])
        self._watch(sock)
        self._watched = True

    def _stop(self) -> None:
        if self.socket is not None:
            while self.accept():  # those who wait have been told that they are connected
                pass
            self.pause()
            # Ends it wherever else it is open, and lets its port go at once.
            self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()
        self.endpoint = self.socket = None
        self._counts.port = 0

    # ---- connections ---------------------------------------------------------------------------

    def accept(self) -> bool:
        """Accept those who wait, up to a number; whether there may be more."""
        for _ in range(_AT_ONCE):
            if self.socket is None:
                return False
            try:
                sock, peer = self.socket.accept()
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno not in _NOTHING_LEFT:
                    continue  # that one is gone already: accept(2)
                self._refused("files", "")
                log.error("no connection can be accepted", extra={"error": error.strerror})
                self.pause()
                self._sleeps_until = time.monotonic() + _NO_FILES
                return False
            sender = address_of(peer)
            bound = self._over(sender)
            if bound:
                self._refused(bound, sender)
                sock.close()
                continue
            try:
                prepare(sock)
            except OSError:  # reset meanwhile
                sock.close()
                continue
            self.entered(sender)
            self._counts.connections_total += 1
            self._opened(sock, sender)
        return True

    def tick(self) -> None:
        """Accept again after a pause."""
        if self._sleeps_until and time.monotonic() >= self._sleeps_until:
            self._sleeps_until = 0.0
            if self.socket is not None and not self._watched:
                self._watch(self.socket)
                self._watched = True

    def entered(self, sender: str) -> None:
        """There is one more of this sender."""
        self._by_sender[sender] = self._by_sender.get(sender, 0) + 1

    def left(self, sender: str) -> None:
        """There is one less of this sender."""
        left = self._by_sender.get(sender, 0) - 1
        if left > 0:
            self._by_sender[sender] = left
        else:
            self._by_sender.pop(sender, None)

    def _over(self, sender: str) -> str:
        """Return which bound one more connection would break, empty when none."""
        if self._by_sender.get(sender, 0) >= self.bounds.sender:
            return "" if self._make_room(c for c in self._connections.values() if c.sender == sender) else "sender"
        if len(self._connections) >= self.bounds.total:
            return "" if self._make_room(self._connections.values()) else "total"
        return ""

    def _make_room(self, among: Iterable[Connection]) -> bool:
        """End the connection that has been silent longest, if that is too long."""
        now = time.monotonic()
        if now - self._looked < _LOOK_FOR_ROOM or self._counts.blocked:
            return False
        quiet = (one for one in among if not one.ended)
        oldest = min(quiet, key=lambda connection: connection.last_read, default=None)
        if oldest is None or now - oldest.last_read < self.bounds.idle:
            self._looked = now
            return False
        log.info("an idle connection was closed to make room for another", extra={"peer": oldest.sender})
        self._end(oldest)
        return True

    def _refused(self, bound: str, sender: str) -> None:
        self._counts.refused.setdefault(bound, Trouble()).note(sender, time.time())
        if sender:
            extra = {"peer": sender, "bound": bound, "key": f"refused {bound}"}
            log.warning("a connection was refused: too many are open", extra=extra)
