# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=False, auto_pickle=False
"""What a connection carries, cut into messages: octet-counted or by LF (RFC 6587). Types are in `framing.pxd`.

What becomes of a message is the subclass's: `packer.py` reads it, `record_writer.py` hands it over.
"""

import re
from array import array
from collections.abc import Sequence

import cython

from appliance.relay.inputs import Input

if cython.compiled:
    from cython.cimports.appliance.relay.hot.primitives import CR, GT, LF, LT, NUL, SP, ZERO, digit, find, take  # type: ignore[import-not-found]
else:
    from appliance.relay.hot.primitives import CR, GT, LF, LT, NUL, SP, ZERO, digit, find, take

# Why `feed_*` returned.
NEED_MORE = 0
BATCH_FULL = 1
RELP_COMMAND = 2
PROTOCOL_ERROR = 3


_HTTP = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE|PRI) [!-~]+ HTTP/[0-9.]{1,3}\r?\n")
_FIRST_BYTES = 2048  # that show the protocol of a connection


def _protocol(data: bytes) -> str | None:
    """What a connection that begins with `data` speaks, if not syslog: "tls" (a handshake record of
    RFC 8446 section 5.1), "http" (a request line of RFC 9112 section 3) or "". None: too little to say.
    """
    if data.startswith(b"\x16"):
        return None if len(data) == 1 else "tls" if data[1] == 3 else ""
    if data[0:1].isupper() and b"\n" not in data and len(data) < _FIRST_BYTES:
        return None
    return "http" if _HTTP.match(data) else ""


class Conn:
    """What the framing has to remember of one connection between two reads.

    `protocol` is "tls" or "http" once the first bytes have shown that the sender does not speak syslog.
    """

    def __init__(self, input: int, sender: bytes) -> None:
        self.input = input
        self.sender = sender
        self.octets = False
        self.protocol = ""
        self.known = False
        self.discard = 0
        self.skip_line = False
        self.txn_first = 0
        self.txn_count = 0
        self.ranges = []
        self.unacked = 0
        self.consumed = 0

    def take_ranges(self) -> list[tuple[int, int]]:
        """RELP transactions received since the last call, as (first, count), oldest first."""
        ranges: list[tuple[int, int]] = self.ranges
        if self.txn_count:
            ranges.append((self.txn_first, self.txn_count))
            self.txn_count = 0
        self.ranges = []
        return ranges


class Framing:
    """Cuts what a connection carries into messages (RFC 6587); what becomes of one is the subclass's."""

    def __init__(self, max_message: int, inputs: Sequence[Input]) -> None:
        self.max_message = max_message
        self.now_ns = 0
        self.frames_cut = 0
        self.inputs = tuple(inputs)
        self.messages = array("q", bytes(8 * len(inputs)))
        self.octets = array("q", bytes(8 * len(inputs)))
        self.input_messages = self.messages
        self.input_octets = self.octets
        self.other_protocols = {}
        self.words = []

    def _frame(self, conn: Conn, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> object:
        """Take one message; `words` says what the framing had to do to it."""
        raise NotImplementedError

    def _word(self, word: str) -> cython.int:
        """Note what was repaired in the message being taken."""
        self.words.append(word)
        return 0

    def _full(self) -> cython.bint:
        """Whether no further message can be taken now."""
        return False

    def _cut(self, conn: Conn, p: cython.p_uchar, start: cython.Py_ssize_t) -> object:
        """Take the first `max_message` bytes of a longer one."""
        self._word("cut")
        self.frames_cut += 1
        return self._frame(conn, p, start, start + self.max_message)

    def feed_syslog(self, conn: Conn, buffer: bytearray, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> int:
        """Take all whole frames of [start, end) (RFC 6587, octet-counted or LF, decided per frame).

        `conn.consumed` is where the unread rest begins. A frame longer than `max_message` is cut
        there and the rest of it thrown away; what is no frame costs only itself.
        """
        p: cython.p_uchar = buffer
        i: cython.Py_ssize_t = start
        j: cython.Py_ssize_t
        size: cython.longlong
        counted: cython.int
        if not conn.known:
            self._look(conn, p, start, end)
        if conn.protocol == "tls":
            conn.consumed = end
            return NEED_MORE
        while i < end:
            if conn.discard > 0:
                size = min(conn.discard, end - i)
                conn.discard -= size
                i += size
                continue
            if conn.skip_line:
                j = find(p, i, end, LF)
                if j < 0:
                    i = end
                    break
                conn.skip_line = False
                i = j + 1
                continue
            if p[i] == LF or p[i] == CR or p[i] == NUL or p[i] == SP:
                i += 1  # separators between frames, which some senders add
                continue
            if self._full():
                conn.consumed = i
                return BATCH_FULL
            if p[i] != ZERO and digit(p[i]):
                size = 0
                j = i
                while j < end and j - i < 10 and digit(p[j]):
                    size = size * 10 + (p[j] - 48)
                    j += 1
                if j == end:
                    break  # the number may go on
                counted = self._counted(conn, p, j, end, size)
                if counted < 0:
                    break
                if counted:
                    j += 1
                    conn.octets = True
                    if size > self.max_message:
                        if end - j < self.max_message:
                            break
                        self._cut(conn, p, j)
                        conn.discard = size - self.max_message
                        i = j + self.max_message
                        continue
                    if j + size > end:
                        break
                    self._frame(conn, p, j, j + size)
                    i = j + size
                    continue
            elif conn.octets and p[i] != LT:
                # A count was wrong: find the next frame, or the end of the line, whichever is first.
                j = self._resync(p, i, end)
                if j < 0:
                    if end - i < self.max_message:
                        break
                    j = i + self.max_message
                self._word("framing")
                self._frame(conn, p, i, j)
                i = j
                continue
            j = find(p, i, end, LF)
            if j < 0:
                if end - i >= self.max_message:
                    self._cut(conn, p, i)
                    conn.skip_line = True
                    i += self.max_message
                    continue
                break
            if j - i > self.max_message:
                self._cut(conn, p, i)
            else:
                self._frame(conn, p, i, j)
            i = j + 1
        conn.consumed = i
        return NEED_MORE

    def _look(self, conn: Conn, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Find out from its first bytes whether a connection speaks something else than syslog."""
        if start < end and (p[start] == LT or digit(p[start])):
            conn.known = True
            return 0
        protocol = _protocol(take(p, start, min(end, start + _FIRST_BYTES)))
        if protocol is not None:
            conn.known = True
            conn.protocol = protocol
            if protocol:
                self.other_protocols[protocol] = self.other_protocols.get(protocol, 0) + 1
        return 0

    def _counted(
        self,
        conn: Conn,
        p: cython.p_uchar,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        size: cython.longlong,
    ) -> cython.int:
        """Whether the number that ends at `at` is the count of a frame (1) or the beginning of a line (0).

        It is a count when a priority stands behind it ("123 <34>"). A sender that counts may leave out
        the priority: then what stands behind the frame must be the next one. -1: more is needed to say.
        """
        j: cython.Py_ssize_t = at + 1
        stop: cython.Py_ssize_t
        if p[at] != SP:
            return 0
        if j == end:
            return -1
        if p[j] == LT:
            j += 1
            while j < end and digit(p[j]):
                j += 1
            if j == end and j - at < 6:
                return -1
            return 1 if 0 < j - at - 2 < 4 and p[j] == GT else 0
        if not conn.octets or size > self.max_message:
            return 0
        stop = j + size
        if stop < end:
            return 1 if p[stop] == LF or p[stop] == CR or p[stop] == NUL or p[stop] == SP or digit(p[stop]) else 0
        if stop == end:
            return 1
        return -1 if find(p, j, end, LF) < 0 else 0

    def _resync(self, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where the next frame ("123 <14") begins after `start`, or the line ends; -1 if not in sight."""
        i: cython.Py_ssize_t = start
        j: cython.Py_ssize_t
        while i < end:
            if p[i] == LF:
                return i
            if p[i] != ZERO and digit(p[i]) and (i == start or not digit(p[i - 1])):
                j = i
                while j < end and digit(p[j]) and j - i < 8:
                    j += 1
                if j + 2 < end and p[j] == SP and p[j + 1] == LT and digit(p[j + 2]) and i > start:
                    return i
            i += 1
        return -1

    def finish_syslog(self, conn: Conn, buffer: bytearray, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> int:
        """Take what a sender left without a terminator when it closed the connection.

        BATCH_FULL: nothing was taken, the batch has to be closed first.
        """
        p: cython.p_uchar = buffer
        if self._full():
            return BATCH_FULL
        if end > start and not conn.skip_line and conn.discard == 0:
            self._word("unterminated")
            if end - start > self.max_message:
                self._cut(conn, p, start)
            else:
                self._frame(conn, p, start, end)
        return NEED_MORE
