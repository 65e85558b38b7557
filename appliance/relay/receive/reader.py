"""From sockets to hand-over files, so that whatever is not in a file is still in its socket.

A read only looks (MSG_PEEK). What it shows is cut into messages and appended to the hand-over file, and
then exactly that much is taken out of the socket (MSG_TRUNC). When nothing can be appended (the backlog is
at its bound, the disk is full) nothing is taken, the kernel's buffers fill, and TCP holds the senders back.

The beginning of a message whose end is not there yet is taken as well, for what stays in a socket may keep
its receive buffer full (one packet as large as the buffer, of which a few bytes stay, closes TCP's window for
ever). It is in memory, and in the table that outlives this process.

Connections are watched edge-triggered, for what stays in a socket meanwhile would wake us all the time.
"""

import logging
import socket
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from appliance.relay.hot import BATCH_FULL, RecordWriter
from appliance.relay.receive.connection import Connection
from appliance.relay.receive.counts import Counts, Trouble
from appliance.relay.receive.foreign import LOOK, Foreign, is_unreadable, recognize
from appliance.relay.receive.table import Table

log = logging.getLogger(__name__)

READ = 256 * 1024
_ROUND = 256 * 1024  # bytes of hand-over lines after which they are appended
_RESTS = 64 * 2**20  # bytes of unfinished messages of all connections together
_RETRY = 0.05  # seconds between two tries to append


class Handover(Protocol):
    """Where lines go: a `HandoverWriter`."""

    @property
    def full_reason(self) -> str:
        """Return why the last lines were not taken; empty when they were."""

    def append(self, records: bytes) -> bool:
        """Append all of it, or nothing: False."""


class _Taken(NamedTuple):
    """What waits to be taken out of a socket until its messages are in the file."""

    connection: Connection
    size: int
    rest: bytes
    last: bool  # the connection is at its end


class Reader:
    """Reads the connections that have something, one after the other, into one buffer."""

    def __init__(
        self,
        handover: Handover,
        table: Table | None,
        counts: Counts,
        max_message: int,
        over: Callable[[Connection], None],
    ) -> None:
        """`over` is called with each connection that is at its end; it closes it."""
        self._handover = handover
        self._table = table
        self._counts = counts
        self._over = over
        self._ready: dict[Connection, None] = {}
        self._taken: list[_Taken] = []
        self._lines = b""
        self._rests = 0
        self._next_try = 0.0
        self._buffer = bytearray()
        self._view = memoryview(self._buffer)
        self._max_message = max_message
        self._set_up()

    def set_max_message(self, max_message: int) -> None:
        """Take another bound for what is not cut yet."""
        self._max_message = max_message
        if not self._taken:
            self.counted()
            self._set_up()

    def _set_up(self) -> None:
        max_message = self._max_message
        self._writer = RecordWriter(max_message)
        self._cut = 0
        # It never shrinks: a connection may have more unfinished than a new bound allows.
        self._buffer = bytearray(max(READ + max_message + 64, len(self._buffer)))
        self._view = memoryview(self._buffer)

    # ---- who has something ---------------------------------------------------------------------

    def wake(self, connection: Connection) -> None:
        """There may be something to read."""
        self._ready[connection] = None

    def end(self, connection: Connection) -> None:
        """Take what it has sent until now, then close it."""
        connection.ended = True
        self.wake(connection)

    def forget(self, connection: Connection) -> None:
        """It has been closed."""
        self._ready.pop(connection, None)
        self._rests -= len(connection.rest)

    def adopt(self, connection: Connection) -> None:
        """It comes from another process, perhaps with the beginning of a message."""
        self._rests += len(connection.rest)
        self.wake(connection)

    @property
    def wait(self) -> float | None:
        """Return seconds until there is something to do without an event; None when there is nothing."""
        if self.blocked:
            return max(0.0, self._next_try - time.monotonic())
        return 0.0 if self._ready else None

    @property
    def blocked(self) -> bool:
        """Return whether what was read last cannot be appended."""
        return bool(self._taken)

    # ---- reading -------------------------------------------------------------------------------

    def round(self) -> None:
        """Read once from each connection that has something; all of it is in the file afterwards, or `blocked`."""
        if self._taken and (time.monotonic() < self._next_try or not self._append()):
            return
        for connection in list(self._ready):
            if connection in self._ready:  # another one's end may have closed it
                self._read(connection)
            if self._writer.size() >= _ROUND and not self._append():
                return
        if self._taken:
            self._append()

    def _read(self, connection: Connection) -> None:
        rest = connection.rest
        start = len(rest)
        if start:
            self._buffer[:start] = rest
        room = min(READ, len(self._buffer) - start)
        try:
            size = connection.socket.recv_into(self._view[start:], room, socket.MSG_PEEK)
        except BlockingIOError:
            if not connection.ended:
                del self._ready[connection]  # the next edge comes with the next bytes
                return
            size = 0
        except OSError:  # reset, timed out
            size = 0
        end = start + size
        if not size:
            connection.ended = True
        elif connection.fresh and (other := recognize(bytes(self._view[: min(end, LOOK)]))):
            self._refuse(connection, other)
            return
        conn = connection.conn
        now_ns = self._writer.now_ns = time.time_ns()
        connection.last_read = time.monotonic()
        full = self._writer.feed_syslog(conn, self._buffer, 0, end) == BATCH_FULL
        consumed = int(conn.consumed)
        if connection.fresh and consumed:
            connection.fresh = False
            if is_unreadable(bytes(self._view[:1])):
                self._counts.unreadable.note(connection.sender, now_ns / 1e9)
        if self._writer.frames_cut != self._cut:
            self._note_cut(connection, now_ns / 1e9)
        last = connection.ended and size < room and not full
        if last and consumed < end:
            full = self._writer.finish_syslog(conn, self._buffer, consumed, end) == BATCH_FULL
            last = not full
            if last:
                self._counts.unterminated.note(connection.sender, now_ns / 1e9)
                consumed = end
        if full:
            size = max(consumed - start, 0)  # the rest is read again, once there is room for its messages
            end = start + size
        elif not last and start + room > end:
            del self._ready[connection]
        self._taken.append(_Taken(connection, size, bytes(self._view[consumed:end]), last))

    def _refuse(self, connection: Connection, other: Foreign) -> None:
        self._counts.foreign.setdefault(other.key, Trouble()).note(connection.sender, time.time())
        log.warning("a sender does not speak syslog", extra={"peer": connection.sender, "speaks": other.name})
        try:
            connection.socket.send(other.answer)
            # What stands unread would make the kernel reset the connection, and take the answer back.
            connection.socket.recv_into(self._view, READ, socket.MSG_TRUNC)
        except OSError:
            pass
        self._over(connection)

    def _note_cut(self, connection: Connection, now: float) -> None:
        new = int(self._writer.frames_cut) - self._cut
        self._cut += new
        self._counts.cut.note(connection.sender, now)
        self._counts.cut.count += new - 1

    # ---- appending -----------------------------------------------------------------------------

    def _append(self) -> bool:
        """Append what was cut, and take it out of the sockets. False: there is no room now."""
        writer, counts = self._writer, self._counts
        if not self._lines:
            self._lines = writer.take()
        if self._lines and not self._handover.append(self._lines):
            if not counts.blocked_since:
                counts.blocked_since = time.time()
                log.warning(
                    "senders are held back: nothing can be stored", extra={"reason": self._handover.full_reason}
                )
            counts.blocked = self._handover.full_reason or "no room"
            self._next_try = time.monotonic() + _RETRY
            return False
        if counts.blocked_since:
            log.info("reading from senders again", extra={"seconds": round(time.time() - counts.blocked_since, 1)})
            counts.blocked, counts.blocked_since = "", 0.0
        self._lines = b""
        taken, self._taken = self._taken, []
        for each in taken:
            self._take_out(each)
        if self._writer.max_message != self._max_message:
            self.counted()
            self._set_up()
        return True

    def _take_out(self, taken: _Taken) -> None:
        connection, size = taken.connection, taken.size
        self._rests += len(taken.rest) - len(connection.rest)
        connection.rest = taken.rest
        if self._table is not None and not taken.last:
            self._table.save(connection)
        try:
            while size:
                gone = connection.socket.recv_into(self._view, min(size, READ), socket.MSG_TRUNC)
                if not gone:
                    break
                size -= gone
        except OSError:
            self.end(connection)
        if taken.last:
            self._over(connection)
        elif taken.rest and self._rests > _RESTS:
            log.warning(
                "unfinished messages of all connections need too much memory", extra={"peer": connection.sender}
            )
            self._over(connection)

    def counted(self) -> None:
        """Add what was cut since the last call to the counters."""
        writer = self._writer
        self._counts.messages += sum(writer.messages)
        self._counts.bytes += sum(writer.octets)
        for index in range(len(writer.messages)):
            writer.messages[index] = writer.octets[index] = 0
