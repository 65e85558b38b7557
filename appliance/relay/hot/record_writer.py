# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=False, auto_pickle=False
"""Hand-over lines of what the receiver's connections carry; the relay reads them (`Packer.feed_handover`)."""

from collections.abc import Sequence

import cython

from appliance.relay.inputs import INPUTS, Input

if cython.compiled:
    from cython.cimports.appliance.relay.hot.framing import Conn, Framing  # type: ignore[import-not-found]
    from cython.cimports.appliance.relay.hot.primitives import CR, DEL, LF, NUL, copy  # type: ignore[import-not-found]
    from cython.cimports.libc.string import memcpy  # type: ignore[import-not-found]
else:
    from appliance.relay.hot.framing import Conn, Framing
    from appliance.relay.hot.primitives import CR, DEL, LF, NUL, copy

_PREFIX_ROOM = cython.declare(cython.int, 512)  # bytes that stand before the message in a hand-over line, at most
_WRITER_ROOM = cython.declare(cython.Py_ssize_t, 1 << 20)  # bytes of hand-over lines held before they must be taken


@cython.final
@cython.cclass
class RecordWriter(Framing):
    """Makes hand-over lines of messages: `UNIX.FRACTION SENDER INPUT[;WORD,…] RAW LF`, RAW as it came.

    Control characters of RAW but TAB are written as 0x01 and three octal digits, as rsyslog does
    on receipt. Not thread-safe.
    """

    buffer: bytearray
    used: cython.Py_ssize_t
    # What stands before the message, as it was for the one before: those of one read share it.
    prefix: bytes
    prefix_conn: Conn
    prefix_ns: cython.longlong

    def __init__(self, max_message: int, *, inputs: Sequence[Input] = INPUTS) -> None:
        super().__init__(max_message, inputs)
        # Takes one more line of any size when it is nearly full.
        self.buffer = bytearray(_WRITER_ROOM + 4 * max_message + _PREFIX_ROOM)
        self.used = 0
        self.prefix = b""
        self.prefix_conn = Conn(0, b"")
        self.prefix_ns = -1

    @cython.cfunc
    @cython.exceptval(check=False)
    def _full(self) -> cython.bint:
        return self.used >= _WRITER_ROOM

    def size(self) -> int:
        """Bytes of lines that wait to be taken."""
        return self.used

    def take(self) -> bytes:
        """The lines since the last call, each with its LF."""
        lines = bytes(memoryview(self.buffer)[: self.used])
        self.used = 0
        return lines

    @cython.cfunc
    def _prefix(self, conn: Conn) -> bytes:
        seconds: cython.longlong = self.now_ns // 1000000000
        micros: cython.longlong = (self.now_ns - seconds * 1000000000) // 1000
        name: str = self.inputs[conn.input].handed_over
        if self.words:
            name += ";" + ",".join(self.words)
            self.words = []
        return b"%d.%06d %b %b " % (seconds, micros, conn.sender or b"-", name.encode())

    @cython.cfunc
    def _frame(self, conn: Conn, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> object:
        control: cython.uchar = 0
        k: cython.Py_ssize_t
        c: cython.uchar
        to: cython.p_uchar = self.buffer
        at: cython.Py_ssize_t = self.used
        prefix: bytes
        while end > start and (p[end - 1] == LF or p[end - 1] == CR or p[end - 1] == NUL):
            end -= 1
        if end == start:
            if self.words:
                self.words = []
            return None
        self.input_messages[conn.input] += 1
        self.input_octets[conn.input] += end - start
        if self.words:
            prefix = self._prefix(conn)
        else:
            if self.prefix_ns != self.now_ns or self.prefix_conn is not conn:
                self.prefix = self._prefix(conn)
                self.prefix_ns = self.now_ns
                self.prefix_conn = conn
            prefix = self.prefix
        if cython.compiled:
            memcpy(to + at, cython.cast(cython.p_char, prefix), len(prefix))
            for k in range(start, end):
                control |= ((p[k] < 32) & (p[k] != 9)) | (p[k] == DEL)
        else:
            to[at : at + len(prefix)] = prefix
            control = 1
        at += len(prefix)
        if control:
            for k in range(start, end):
                c = p[k]
                if (c < 32 and c != 9) or c == DEL:
                    to[at] = 1
                    to[at + 1] = 48 + (c >> 6)
                    to[at + 2] = 48 + ((c >> 3) & 7)
                    to[at + 3] = 48 + (c & 7)
                    at += 4
                else:
                    to[at] = c
                    at += 1
        else:
            copy(to, at, p, start, end - start)
            at += end - start
        to[at] = 10
        self.used = at + 1
        return None
