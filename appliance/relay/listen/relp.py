"""RELP, server side: sessions, commands, and acknowledgement once a message is on disk.

`syslog` frames are taken by the hot path; this module answers `open` and `close`, sends what the
intake says is durable, and notices when a sender waits. Source: the RELP specification
(rsyslog's librelp, doc/relp.html): `TXNR SP COMMAND SP DATALEN [SP DATA] LF`.
"""

import asyncio
import logging
import re
import select
import time

from appliance import __version__
from appliance.relay.hot import PROTOCOL_ERROR, RELP_COMMAND, relp_acknowledge
from appliance.relay.listen.intake import Intake
from appliance.relay.listen.tcp import Connection, Listener

log = logging.getLogger(__name__)

_FRAME = re.compile(rb"([0-9]{1,9}) ([a-z]{1,32}) ([0-9]{1,6})(?: |(?=\n))")
_LONGEST_COMMAND = 16 * 1024  # bytes of the data of a command that is not syslog
_AT_ONCE = 0.02  # seconds: a sender that goes on this soon after an acknowledgement has waited for it
_SILENT = 0.04  # seconds without data after which a sender may be waiting
_OFFERS = f"relp_version=0\nrelp_software=forwarder-appliance,{__version__}\ncommands=syslog"


class RelpSession(Connection):
    """One RELP connection; the intake's `Session`."""

    input = "relp"
    acknowledged = True

    def __init__(self, intake: Intake, listener: Listener) -> None:
        super().__init__(intake, listener)
        self._window = max(intake.config.relay.relp_window // 2, 1)
        self._limit = self._window
        """Messages after which this sender is taken to wait; found out by watching it."""
        self._stalled_at = 0
        self._acknowledged_at = 0.0
        self._closing: bytes | None = None
        self._gone: select.poll | None = None

    def feed(self, end: int) -> None:
        before = self.conn.unacked
        start = 0
        while True:
            result = self._intake.take("feed_relp", self.conn, start, end, self)
            if result == PROTOCOL_ERROR:
                self._protocol_error("what came is no RELP frame")
                self.conn.consumed = end
                return
            if result != RELP_COMMAND:
                break
            consumed = self._command(bytes(memoryview(self._intake.buffer)[self.conn.consumed : end]))
            if consumed < 0:
                self.conn.consumed = end
                return
            if consumed == 0:
                break
            start = self.conn.consumed + consumed
            self.conn.consumed = start
            if start >= end:
                break
        unacked = self.conn.unacked
        if unacked == before:
            return  # nothing whole
        if self._stalled_at and self.last_read - self._acknowledged_at < _AT_ONCE:
            self._limit = self._stalled_at  # it went on at once: it had been waiting
        self._stalled_at = 0
        if unacked > self._limit:
            self._limit = min(self._limit * 2, self._window)
        if unacked >= self._limit:
            self._intake.sender_waits()

    def waits(self, now: float) -> bool:
        if now - self.last_read < _SILENT:
            return False
        self._stalled_at = self.conn.unacked
        return bool(self.conn.unacked >= self._limit)

    @property
    def leaving(self) -> bool:
        return self._closing is not None

    def hung_up(self) -> bool:
        """Return whether the sender has gone without a word, so that its data may be only in the socket."""
        if self._gone is None:
            self._gone = select.poll()
            self._gone.register(self.transport.get_extra_info("socket"), select.POLLRDHUP)
        return bool(self._gone.poll(0))

    def acknowledge(self, ranges: list[tuple[int, int]]) -> None:
        # To write to one that has gone would break the connection, and with it what is not yet read of it.
        if not self.transport.is_closing() and not self.hung_up():
            self.transport.write(b"".join(relp_acknowledge(first, count) for first, count in ranges))
        self._acknowledged_at = time.monotonic()
        if self._closing is not None:
            asyncio.get_running_loop().call_soon(self._finish)

    def _command(self, data: bytes) -> int:
        """Answer the command at the start of `data`; bytes consumed, 0 for more needed, -1 after an error."""
        match = _FRAME.match(data)
        if not match:
            if len(data) > 64:
                self._protocol_error("what came is no RELP frame")
                return -1
            return 0
        transaction, command, size = match[1], match[2], int(match[3])
        if size > _LONGEST_COMMAND:
            self._protocol_error("a RELP command is too long")
            return -1
        end = match.end() + size
        if len(data) <= end:
            return 0
        if data[end] != 10:
            self._protocol_error("a RELP frame does not end where it says")
            return -1
        body = data[match.end() : end]
        if command == b"open":
            self._answer(transaction, "200 OK\n" + _OFFERS if b"syslog" in body else "500 syslog must be offered")
        elif command == b"close":
            self._closing = transaction
            self._intake.sender_waits()
            self._finish()
        elif command != b"rsp":
            self._answer(transaction, "500 unknown command")
        return end + 1

    def _answer(self, transaction: bytes, text: str) -> None:
        data = text.encode()
        self.transport.write(b"%b rsp %d %b\n" % (transaction, len(data), data))

    def _finish(self) -> None:
        """Answer a `close` once everything before it is acknowledged."""
        if self._closing is not None and self._intake.acknowledged(self):
            if not self.transport.is_closing():
                self.transport.write(b"%b rsp 0\n0 serverclose 0\n" % self._closing)
                self.transport.close()
            self._closing = None

    def server_close(self) -> None:
        """Tell the sender that we are closing; it keeps what was not acknowledged and reconnects."""
        if not self.transport.is_closing():
            self.transport.write(b"0 serverclose 0\n")
            self.transport.close()

    def _protocol_error(self, message: str) -> None:
        self._intake.protocol_error()
        log.warning(message, extra={"key": "relp protocol", "peer": self.peer})
        # What was received before it is complete and will be acknowledged, if the sender stays to hear it.
        self._intake.sender_waits()
        self.transport.close()

    def ended(self, rest: bytes) -> None:
        self._intake.forget_session(self)


def listener(intake: Intake) -> Listener:
    return Listener(intake, RelpSession, idle_closes=False)
