"""A TCP listener whose connections feed the intake: sockets, limits, flow control, shared buffer.

What the bytes mean is the subclass's: `listen/syslog_tcp.py` and `listen/relp.py`.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable

from appliance.config.units import Endpoint
from appliance.relay import inputs
from appliance.relay.hot import Conn
from appliance.relay.listen.bind import BACKLOG, open_listener
from appliance.relay.listen.intake import READ, Intake

log = logging.getLogger(__name__)

_ANSWERS = 1 << 20  # bytes of answers that a sender may leave unread
_LOOK_FOR_IDLE = 30.0  # seconds between two looks for silent connections, at most


class Connection(asyncio.BufferedProtocol):
    """One connection. All of them read into the intake's one buffer, one after the other."""

    input = "syslog_tcp"
    acknowledged = False

    def __init__(self, intake: Intake, listener: "Listener") -> None:
        self._intake = intake
        self._listener = listener
        self._rest = b""
        self.transport: asyncio.Transport
        self.conn: Conn
        self.last_read = time.monotonic()
        self._refused = False
        self._disk_behind = False
        self._sender_deaf = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if not self._listener.admit(self):
            self._refused = True
            transport.abort()
            return
        peer = transport.get_extra_info("peername")
        address = str(peer[0]).removeprefix("::ffff:") if peer else ""
        self.conn = Conn(inputs.index(self.input), address.encode())
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        transport.set_write_buffer_limits(_ANSWERS)
        self._intake.opened(self, self.input)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._refused:
            return
        self._listener.forget(self)
        self._intake.closed(self, self.input)
        rest, self._rest = self._rest, b""
        self._intake.room_for_leftover(-len(rest))
        self.ended(rest)

    def ended(self, rest: bytes) -> None:
        """The connection is gone; `rest` is an unfinished message."""

    def get_buffer(self, sizehint: int) -> memoryview:
        rest = len(self._rest)
        buffer = self._intake.buffer
        if rest:
            buffer[:rest] = self._rest
        return memoryview(buffer)[rest : rest + READ]

    def buffer_updated(self, nbytes: int) -> None:
        self.last_read = time.monotonic()
        before = len(self._rest)
        end = before + nbytes
        self.feed(end)
        consumed = self.conn.consumed
        rest = bytes(memoryview(self._intake.buffer)[consumed:end]) if consumed < end else b""
        if not self._intake.room_for_leftover(len(rest) - before):
            log.warning("unfinished messages of all connections need too much memory", extra={"peer": self.peer})
            self.transport.abort()
            return
        self._rest = rest

    def feed(self, end: int) -> None:
        """Take what is in the buffer up to `end`, and set `conn.consumed`."""
        raise NotImplementedError

    @property
    def peer(self) -> str:
        return str(self.conn.sender.decode())

    def pause(self) -> None:
        """The disk is behind."""
        self._disk_behind = True
        self._read_or_wait()

    def resume(self) -> None:
        self._disk_behind = False
        self._read_or_wait()

    def pause_writing(self) -> None:
        """The sender does not read our answers: take no more of it, or they would pile up."""
        self._sender_deaf = True
        self._read_or_wait()

    def resume_writing(self) -> None:
        self._sender_deaf = False
        self._read_or_wait()

    @property
    def waits_for_us(self) -> bool:
        """Return whether it is we who do not read: its silence says nothing, and what it sent stands in its socket."""
        return self._disk_behind or self._sender_deaf

    def _read_or_wait(self) -> None:
        if self.transport.is_closing():
            return
        if self.waits_for_us:
            self.transport.pause_reading()
        else:
            self.last_read = time.monotonic()  # it may have been kept waiting for longer than it may be silent
            self.transport.resume_reading()


class Listener:
    """A listening socket and its connections."""

    def __init__(self, intake: Intake, make: Callable[[Intake, "Listener"], Connection], *, idle_closes: bool) -> None:
        self._intake = intake
        self._make = make
        self._idle_closes = idle_closes
        self._server: asyncio.Server | None = None
        self.connections: set[Connection] = set()
        self.endpoint: Endpoint | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    async def start(self, endpoint: Endpoint) -> None:
        """Listen; raise ApplianceError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: self._make(self._intake, self), sock=open_listener(endpoint), backlog=BACKLOG
        )
        self.endpoint = endpoint
        self._look_for_idle()

    @property
    def port(self) -> int:
        """Return the port it listens on, 0 when it does not."""
        sockets = self._server.sockets if self._server else ()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    def admit(self, connection: Connection) -> bool:
        if len(self.connections) >= self._intake.config.relay.connections.max:
            self._intake.refused()
            log.warning("a connection was refused: too many are open", extra={"limit": len(self.connections)})
            return False
        self.connections.add(connection)
        return True

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)

    def _look_for_idle(self) -> None:
        if self._idle_closes:
            every = min(self._intake.config.relay.connections.idle_timeout / 4, _LOOK_FOR_IDLE)
            self._idle_timer = asyncio.get_running_loop().call_later(every, self._close_idle)

    def _close_idle(self) -> None:
        limit = time.monotonic() - self._intake.config.relay.connections.idle_timeout
        for connection in [one for one in self.connections if one.last_read < limit and not one.waits_for_us]:
            connection.transport.close()
        self._look_for_idle()

    async def stop_listening(self) -> None:
        """Accept no new connections; open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self.endpoint = None
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def close(self) -> None:
        """Close the connections."""
        for connection in list(self.connections):
            connection.transport.close()
