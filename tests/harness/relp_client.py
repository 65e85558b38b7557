"""A RELP sender in plain Python, written from the specification and apart from the relay's code.

It keeps what is not acknowledged and sends it again over a new connection, as rsyslog does.
"""

import re
import select
import socket
import ssl
import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from contextlib import suppress

_RESPONSE = re.compile(rb"(\d+) (\w+) (\d+)(?: |(?=\n))")
_AT_ONCE = 200  # messages sent before it looks for answers


class RelpRefused(Exception):
    """The server answered something else than 200."""


class RelpClient:
    """One sender; reconnects for as long as `patience` seconds bring nothing.

    acknowledged: messages acknowledged; resent: messages sent again after a connection broke;
    connections: how often it connected.
    """

    def __init__(
        self, port: int, *, window: int = 1000, patience: float = 30, tls: ssl.SSLContext | None = None
    ) -> None:
        self._port = port
        self._window = window
        self._patience = patience
        self._tls = tls
        self._socket: socket.socket | None = None
        self._received = b""
        self._number = 0
        self._pending: OrderedDict[int, bytes] = OrderedDict()
        self.acknowledged = 0
        self.resent = 0
        self.connections = 0
        self.offers = ""
        self.server_closed = False

    def connect(self) -> None:
        """Open a session. Raise OSError, RelpRefused."""
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=self._patience)
        self._socket = self._tls.wrap_socket(plain, server_hostname="localhost") if self._tls else plain
        self._received, self._number, self.server_closed = b"", 1, False
        offer = b"relp_version=0\nrelp_software=test\ncommands=syslog"
        self._socket.sendall(b"1 open %d %s\n" % (len(offer), offer))
        while True:
            for number, command, data in self._frames():
                if (number, command) == (1, b"rsp"):
                    if not data.startswith(b"200"):
                        raise RelpRefused(data.decode(errors="replace"))
                    self.offers = data.decode()
                    self.connections += 1
                    return
            self._read()

    def send(self, messages: Iterable[bytes]) -> None:
        """Send all and return when all are acknowledged. Raise TimeoutError without progress."""
        waiting = iter(messages)
        backlog: deque[bytes] = deque()
        exhausted = False
        last_progress = time.monotonic()
        while not (exhausted and not backlog and not self._pending):
            if time.monotonic() - last_progress > self._patience:
                raise TimeoutError(f"{len(self._pending)} messages are not acknowledged")
            try:
                if self._socket is None:
                    self.connect()
                frames = []
                while len(self._pending) < self._window and len(frames) < _AT_ONCE:
                    if backlog:
                        message = backlog.popleft()
                    else:
                        found = next(waiting, None)
                        if found is None:
                            exhausted = True
                            break
                        message = found
                    self._number = self._number % 999_999_999 + 1
                    self._pending[self._number] = message
                    frames.append(b"%d syslog %d %s\n" % (self._number, len(message), message))
                assert self._socket is not None
                if frames:
                    self._socket.sendall(b"".join(frames))
                full = exhausted or len(self._pending) >= self._window
                if self._pending and (full or select.select([self._socket], [], [], 0)[0]):
                    before = self.acknowledged
                    self._take()
                    if self.acknowledged > before:
                        last_progress = time.monotonic()
                if not full:
                    last_progress = time.monotonic()
            except OSError:
                self.resent += len(self._pending)
                backlog.extendleft(reversed(self._pending.values()))
                self._pending.clear()
                self.disconnect()
                time.sleep(0.1)

    def _take(self) -> None:
        """Read once and account for the answers."""
        self._read()
        for number, command, data in self._frames():
            if command == b"serverclose":
                self.server_closed = True
                raise ConnectionResetError("serverclose")
            if command == b"rsp" and number in self._pending:
                if not data.startswith(b"200"):
                    raise RelpRefused(data.decode(errors="replace"))
                del self._pending[number]
                self.acknowledged += 1

    def _read(self) -> None:
        assert self._socket is not None
        data = self._socket.recv(1 << 16)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self._received += data

    def _frames(self) -> list[tuple[int, bytes, bytes]]:
        """Whole frames out of what was received."""
        frames = []
        at = 0
        while match := _RESPONSE.match(self._received, at):
            start = match.end()
            end = start + int(match[3])
            if len(self._received) <= end:
                break
            if self._received[end : end + 1] != b"\n":
                raise ConnectionAbortedError(f"not RELP: {self._received[at : at + 60]!r}")
            frames.append((int(match[1]), match[2], self._received[start:end]))
            at = end + 1
        self._received = self._received[at:]
        return frames

    def close(self) -> None:
        """Say `close`, wait for its answer, and go."""
        if self._socket is None:
            return
        self._number += 1
        try:
            self._socket.sendall(b"%d close 0\n" % self._number)
            self._socket.settimeout(2)
            self._read()
        except OSError:
            pass  # gone already
        self.disconnect()

    def vanish(self) -> None:
        """From another thread: break off without a word, and never come back."""
        self._patience = 0
        if self._socket is not None:
            with suppress(OSError):  # the other side was quicker
                self._socket.shutdown(socket.SHUT_RDWR)

    def move_to(self, port: int) -> None:
        """From another thread: go to another port, and send there again what is not acknowledged."""
        if port != self._port:
            self._port = port
            if self._socket is not None:
                with suppress(OSError):  # the other side was quicker
                    self._socket.shutdown(socket.SHUT_RDWR)

    def disconnect(self) -> None:
        """Break off without a word."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
