"""One sender's connection: its socket, and what the framing has to remember of it."""

import os
import socket
import time
from typing import NamedTuple

from appliance.relay.hot import Conn

_KEEPALIVE = ((socket.TCP_KEEPIDLE, 300), (socket.TCP_KEEPINTVL, 30), (socket.TCP_KEEPCNT, 4))
"""Seconds and tries after which a peer that has vanished is dropped, as rsyslog's inputs do here."""


class Framing(NamedTuple):
    """Where the framing stands in what a connection carries; the first three as in `hot.Conn`."""

    octets: bool = False
    discard: int = 0
    skip_line: bool = False
    rest: bytes = b""
    """The beginning of a message, which is no longer in the socket."""


PLAIN = Framing()
"""As for a connection that nothing has come from."""


class Connection:
    """An open connection. What of it is neither in a hand-over file nor in `rest` is in its socket."""

    __slots__ = (
        "conn",
        "ended",
        "fd",
        "fresh",
        "inode",
        "kept",
        "last_read",
        "opened",
        "place",
        "rest",
        "sender",
        "socket",
    )

    def __init__(self, sock: socket.socket, sender: str, input: int, framing: Framing | None = None) -> None:
        """`framing` is where another process was that had this connection before."""
        self.socket = sock
        self.fd = sock.fileno()
        self.inode = os.fstat(self.fd).st_ino
        """The kernel's number of the socket: the same in every process that has it."""
        self.sender = sender
        self.conn = Conn(input, sender.encode())
        self.opened = self.last_read = time.monotonic()
        self.fresh = framing is None
        """Nothing of it has been taken: its first bytes may show that it speaks another protocol."""
        self.ended = False
        """The sender has said that nothing more comes, or the connection is broken."""
        self.kept = framing is not None
        """systemd has its descriptor, too."""
        self.place = 0
        """Where it is in the `Table`; 0 for nowhere."""
        self.rest = b""
        if framing is not None:
            self.conn.octets, self.conn.discard, self.conn.skip_line, self.rest = framing

    @property
    def framing(self) -> Framing:
        """Return where the framing stands."""
        return Framing(bool(self.conn.octets), int(self.conn.discard), bool(self.conn.skip_line), self.rest)

    def close(self) -> None:
        """Shut it down on both sides, even if another process has its descriptor."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is gone already
        self.socket.close()


def prepare(sock: socket.socket) -> None:
    """Set what every accepted socket needs."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def address_of(peer: tuple[object, ...]) -> str:
    """Return the sender's address as it is shown: IPv4 without IPv6's way to write it, IPv6 without its zone."""
    return str(peer[0]).removeprefix("::ffff:").partition("%")[0] if peer else ""
