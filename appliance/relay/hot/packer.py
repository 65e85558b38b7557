# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=False, auto_pickle=False
"""Bytes of a connection or of a hand-over file in, one encoded Loki push out.

Frames of RELP and hand-over lines are cut, headers of RFC 5424 and RFC 3164 read, entries encoded as
protobuf into an arena, and a full arena is put in order by stream. No Python object is made for a
message. What is rare (a header in no such form, a time stamp that is not believable, text that is not
UTF-8) goes to the plain Python callbacks of the `Packer`'s resolver, see `parse` and `labels/resolver.py`.
"""

import re
from array import array
from collections.abc import Sequence
from typing import Any

import cython

from appliance.relay import local_time
from appliance.relay.hot.encoding import valid_name, varint
from appliance.relay.inputs import INPUTS, Input

if cython.compiled:
    from cython.cimports.appliance.relay.hot.batch_streams import BatchStreams  # type: ignore[import-not-found]
    from cython.cimports.appliance.relay.hot.framing import Conn, Framing  # type: ignore[import-not-found]
    from cython.cimports.appliance.relay.hot.primitives import (
        BACKSLASH,
        CLOSE,
        COLON,
        CR,
        DASH,
        DOT,
        EQUALS,
        GT,
        LF,
        LT,
        NUL,
        OPEN,
        QUOTE,
        SEMICOLON,
        SP,
        begins,
        copy,
        digit,
        find,
        put_varint,
        take,
        two_digits,
        varint_size,
    )  # type: ignore[import-not-found]
    from cython.cimports.appliance.relay.hot.timestamps import days_in, days_since_1970, month_of, rfc3339, year_of  # type: ignore[import-not-found]
    from cython.cimports.cpython.bytearray import PyByteArray_Resize  # type: ignore[import-not-found]
    from cython.cimports.libc.string import memcmp, memcpy  # type: ignore[import-not-found]
else:
    from appliance.relay.hot.batch_streams import BatchStreams
    from appliance.relay.hot.framing import Conn, Framing
    from appliance.relay.hot.primitives import (
        BACKSLASH,
        CLOSE,
        COLON,
        CR,
        DASH,
        DOT,
        EQUALS,
        GT,
        LF,
        LT,
        NUL,
        OPEN,
        QUOTE,
        SEMICOLON,
        SP,
        begins,
        copy,
        digit,
        find,
        put_varint,
        take,
        two_digits,
        varint_size,
    )
    from appliance.relay.hot.timestamps import days_in, days_since_1970, month_of, rfc3339, year_of

NEED_MORE, BATCH_FULL, RELP_COMMAND, PROTOCOL_ERROR = 0, 1, 2, 3  # as in `framing`
_MAX_ENTRIES = cython.declare(cython.int, 65536)  # of one batch
_META_ROOM = cython.declare(cython.int, 60000)  # bytes of metadata kept of an entry; Loki refuses more than 64 KB
_META_PAIRS = cython.declare(cython.int, 110)  # Loki refuses an entry with more than 128
ROUTE_META_ROOM = 32768
"""Bytes of metadata that a route may give all its entries."""
_SD_ESCAPED = re.compile(rb'\\(["\\\]])')  # RFC 5424 section 6.3.3
_PREFIX_ROOM = cython.declare(cython.int, 512)  # bytes that stand before the message in a hand-over line, at most

# What a byte may be in a header of RFC 3164.
_ALNUM = cython.declare(cython.int, 1)
_LETTER = cython.declare(cython.int, 2)
_IN_HOST = cython.declare(cython.int, 4)
_NAMES_HOST = cython.declare(cython.int, 8)  # one of these makes it a name or an address
_IN_TAG = cython.declare(cython.int, 16)
_FIRST_OF_TAG = cython.declare(cython.int, 32)
_IN_PROCESS = cython.declare(cython.int, 64)


def _kinds() -> bytes:
    letters = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    alnum = letters | frozenset(b"0123456789")
    kinds = (
        (1, alnum),
        (2, letters),
        (4, alnum | frozenset(b"._:-")),
        (8, letters | frozenset(b":.")),
        (16, alnum | frozenset(b"_./@+~-")),
        (32, alnum | frozenset(b"_./")),
        (64, alnum | frozenset(b"_.-")),
    )
    return bytes(sum(bit for bit, members in kinds if byte in members) for byte in range(256))


_KINDS = _kinds()
_NEAR_SLOTS = cython.declare(cython.Py_ssize_t, 16384)
_NEAR_SLOT = cython.declare(cython.Py_ssize_t, 64)
_NEAR_KEY = cython.declare(cython.Py_ssize_t, 55)  # bytes of the longest key in a slot
_NEAR_ROUTE = cython.declare(cython.Py_ssize_t, 56)
_SPARE = 2  # bodies of past batches kept for the next ones
_ROUTE_BYTES = 16 * 2**20  # of headers and metadata remembered with routes, before all are forgotten


@cython.no_gc
@cython.cclass
class Target:
    """One stream of Loki: its labels as encoded bytes, and its place in the batch being filled."""

    # What each entry changes stands together, for the cache's sake. What of the stream is in the batch
    # being filled, if that has this epoch:
    epoch: cython.longlong
    slot: cython.int
    entries: cython.int
    size: cython.longlong
    oldest: cython.longlong
    newest: cython.longlong
    last_ns: cython.longlong
    bump: cython.int
    sent: cython.bint  # was in a batch before
    labels = cython.declare(str, visibility="public")
    field = cython.declare(bytes, visibility="public")
    last_used = cython.declare(cython.longlong, visibility="public")

    def __init__(self, labels: str) -> None:
        encoded = labels.encode()
        self.labels = labels
        self.field = b"\x0a" + varint(len(encoded)) + encoded
        self.last_used = 0
        self.epoch = -1
        self.slot = 0
        self.entries = 0
        self.size = 0
        self.oldest = 0
        self.newest = 0
        self.sent = False
        self.last_ns = -1
        self.bump = 0


@cython.cclass
class Tally:
    """Messages of one sender by one input in the batch being filled."""

    name = cython.declare(str, visibility="public")
    input = cython.declare(str, visibility="public")
    count = cython.declare(cython.int, visibility="public")
    epoch: cython.longlong

    def __init__(self, name: str, input: str) -> None:
        self.name = name
        self.input = input
        self.count = 0
        self.epoch = -1


@cython.no_gc  # there may be 65,536, none of them part of a cycle
@cython.cclass
class Route:
    """Where records with one key go: a target (None drops them), metadata they all get, who sends them."""

    target = cython.declare(Target, visibility="readonly")
    meta = cython.declare(bytes, visibility="readonly")
    tally = cython.declare(Tally, visibility="readonly")
    meta_size: cython.Py_ssize_t

    def __init__(self, target: Target | None, meta: bytes, tally: Tally) -> None:
        self.target = target
        self.meta = meta
        self.tally = tally
        self.meta_size = len(meta)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _hash(p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """A number of 30 bits that depends on all bytes; compiled only."""
    state: cython.ulonglong = end - start
    word: cython.ulonglong = 0
    if cython.compiled:
        while end - start >= 8:
            memcpy(cython.address(word), p + start, 8)
            state = (state ^ word) * cython.cast(cython.ulonglong, 0x9E3779B97F4A7C15)
            state ^= state >> 32
            start += 8
        if end > start:
            word = 0
            memcpy(cython.address(word), p + start, end - start)
            state = (state ^ word) * cython.cast(cython.ulonglong, 0x9E3779B97F4A7C15)
            state ^= state >> 32
    return state & 0x3FFFFFFF


@cython.cfunc
@cython.exceptval(check=False)
def _unescape(
    to: cython.p_uchar, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Undo the escapes of a hand-over line, into `to`, which has room for as much; the bytes written."""
    at: cython.Py_ssize_t = 0
    i: cython.Py_ssize_t = start
    while i < end:
        if p[i] == 1 and i + 3 < end and 48 <= p[i + 1] <= 51 and 48 <= p[i + 2] <= 55 and 48 <= p[i + 3] <= 55:
            to[at] = (p[i + 1] - 48) * 64 + (p[i + 2] - 48) * 8 + (p[i + 3] - 48)
            i += 4
        else:
            to[at] = p[i]
            i += 1
        at += 1
    return at


@cython.final
@cython.cclass
class Packer(Framing):
    """Fills one batch at a time. Not thread-safe: it belongs to the loop's thread.

    `routes` maps a record's key to its Route. `resolver` is asked for what is not there:
    `resolve(pri, host, app, procid, msgid, sd, sender, input) -> Route`, all bytes but the numbers;
    `salvage(record, sender, input, now_ns) -> (Route, ns, text, metadata pairs, words)`, for what is
    not RFC 5424; `believe(stamp_ns, received_ns, has_zone, sender, stamp) -> (ns, repair)` decides about a
    time stamp out of range; `can_be_host(name)` whether what stands in a host's place is one.
    """

    resolver = cython.declare(object, visibility="public")
    routes = cython.declare(dict, visibility="public")
    max_routes = cython.declare(cython.int, visibility="public")
    # The routes used last, found without an object made and in one line of the processor's cache: slots of
    # 64 bytes with the key's size, the key, and its route, which the list keeps alive.
    near: bytearray
    near_routes: list
    route_bytes: cython.longlong
    # What becomes metadata, and whether more than priority, host and application decides the labels.
    with_process = cython.declare(cython.bint, visibility="public")
    with_message_id = cython.declare(cython.bint, visibility="public")
    with_sender = cython.declare(cython.bint, visibility="public")
    with_input = cython.declare(cython.bint, visibility="public")
    with_structured = cython.declare(cython.bint, visibility="public")
    with_repairs = cython.declare(cython.bint, visibility="public")
    wide_key = cython.declare(cython.bint, visibility="public")
    # Time: entries inside these distances (ns) from their receipt are believed without asking.
    always_ask = cython.declare(cython.bint, visibility="public")
    max_past = cython.declare(cython.longlong, visibility="public")
    max_past_without_zone = cython.declare(cython.longlong, visibility="public")
    max_future = cython.declare(cython.longlong, visibility="public")
    # Counters.
    repaired = cython.declare(dict, visibility="public")
    dropped = cython.declare(cython.longlong, visibility="public")
    # The batch.
    batch_size = cython.declare(cython.Py_ssize_t, visibility="public")
    arena: bytearray
    room: cython.Py_ssize_t
    used: cython.Py_ssize_t
    label_bytes: cython.Py_ssize_t
    count = cython.declare(cython.int, visibility="public")
    epoch: cython.longlong
    targets: list
    tallies: list
    spare: list
    entry_slot: cython.int[::1]
    entry_size: cython.int[::1]
    # The message being read: how it came, and where in its bytes the parts of its header stand.
    handed_over: dict
    last_input: bytes
    last_source: cython.int
    scratch: bytearray
    source: cython.int
    received: cython.longlong
    sender: cython.p_uchar
    sender0: cython.Py_ssize_t
    sender1: cython.Py_ssize_t
    pri: cython.int
    has_zone: cython.bint
    no_stamp: bytes  # what stands for its time and is none
    plain: cython.bint  # its header is that of RFC 3164
    local: cython.bint  # its time is `Mmm dd hh:mm:ss` of a local clock
    stamp: cython.longlong
    stamp0: cython.Py_ssize_t
    stamp1: cython.Py_ssize_t
    host0: cython.Py_ssize_t
    host1: cython.Py_ssize_t
    app0: cython.Py_ssize_t
    app1: cython.Py_ssize_t
    proc0: cython.Py_ssize_t
    proc1: cython.Py_ssize_t
    id0: cython.Py_ssize_t
    id1: cython.Py_ssize_t
    sd0: cython.Py_ssize_t
    sd1: cython.Py_ssize_t
    # Metadata of the entry being made.
    meta: bytearray
    meta_used: cython.Py_ssize_t
    meta_pairs: cython.int
    # Times are remembered by the second: RFC 3339 with its zone, and the wall clock with the moments of
    # receipt for which it was read.
    second_text: cython.uchar[19]
    second_zone: cython.uchar[6]
    second_zone_size: cython.int
    second_ns: cython.longlong
    local_text: cython.uchar[15]
    local_ns: cython.longlong
    local_offset: cython.longlong
    local_from: cython.longlong
    local_until: cython.longlong
    offsets: dict

    def __init__(self, resolver: Any, *, batch_size: int, max_message: int, inputs: Sequence[Input] = INPUTS) -> None:
        super().__init__(max_message, inputs)
        self.handed_over = {each.handed_over.encode(): at for at, each in enumerate(inputs) if each.handed_over}
        self.last_input = b""
        self.last_source = -1
        self.scratch = bytearray(4 * max_message + _PREFIX_ROOM)
        self.offsets = {}
        self.second_zone_size = -1
        self.local_until = 0
        self.no_stamp = b""
        self.resolver = resolver
        self.routes = {}
        self.max_routes = 65536
        self.near = bytearray()
        self.near_routes = []
        self.forget_routes()
        self.with_process = True
        self.with_message_id = True
        self.with_sender = True
        self.with_input = False
        self.with_structured = True
        self.with_repairs = True
        self.wide_key = False
        self.always_ask = False
        self.max_past = 6 * 86400 * 1000000000
        self.max_past_without_zone = 3000 * 1000000000
        self.max_future = 300 * 1000000000
        self.repaired = {}
        self.dropped = 0
        self.batch_size = batch_size
        # The arena takes one more entry of any size when the batch is nearly at its size.
        self.room = batch_size + max_message * 4 + _META_ROOM + ROUTE_META_ROOM + 4096
        self.arena = bytearray(self.room)
        self.meta = bytearray(_META_ROOM + 70000)
        self._fresh_entries()
        self.epoch = 0
        self.spare = []
        self._clear()

    @cython.cfunc
    def _clear(self) -> cython.void:
        self.used = 0
        self.label_bytes = 0
        self.count = 0
        self.epoch += 1
        self.targets = []
        self.tallies = []

    def follow(self, packer: Any) -> None:
        """Go on counting where another packer stopped, to which nothing is given any more.

        The numbers of batches go on too: by them streams and senders know that they are in this one.
        """
        before: Packer = cython.cast(Packer, packer)
        self.epoch = before.epoch + 1
        self.repaired = before.repaired
        self.dropped = before.dropped
        self.frames_cut = before.frames_cut
        self.other_protocols = before.other_protocols
        self.messages[:] = before.messages
        self.octets[:] = before.octets

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def _full(self) -> cython.bint:
        return self.used + self.label_bytes >= self.batch_size or self.count >= _MAX_ENTRIES

    def size(self) -> int:
        """Bytes of the batch so far."""
        return self.used + self.label_bytes

    # ---- framing -------------------------------------------------------------------------------

    def feed_relp(self, conn: Conn, buffer: bytearray, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> int:
        """Take all whole `syslog` frames of [start, end): `TXNR SP COMMAND SP DATALEN [SP DATA] LF`.

        Stops with RELP_COMMAND before a frame with another command, with PROTOCOL_ERROR before
        what is no frame. `conn.consumed` is where the unread rest begins.
        """
        p: cython.p_uchar = buffer
        i: cython.Py_ssize_t = start
        j: cython.Py_ssize_t
        number: cython.longlong
        size: cython.longlong
        while i < end:
            if conn.discard > 0:
                size = min(conn.discard, end - i)
                conn.discard -= size
                i += size
                continue
            if p[i] == LF:  # the trailer of a frame that was cut
                i += 1
                continue
            if self._full():
                conn.consumed = i
                return BATCH_FULL
            number = 0
            j = i
            while j < end and j - i < 10 and digit(p[j]):
                number = number * 10 + (p[j] - 48)
                j += 1
            if j == end:
                if j - i < 10:
                    break
                conn.consumed = i
                return PROTOCOL_ERROR
            if p[j] != SP or j == i:
                conn.consumed = i
                return PROTOCOL_ERROR
            j += 1
            if end - j < 7:
                if end - j > 0 and not (97 <= p[j] <= 122):
                    conn.consumed = i
                    return PROTOCOL_ERROR
                if find(p, j, end, LF) < 0:
                    break
                conn.consumed = i
                return RELP_COMMAND
            if not begins(p, j, end, b"syslog "):
                conn.consumed = i
                return RELP_COMMAND
            j += 7
            size = 0
            at: cython.Py_ssize_t = j
            while j < end and j - at < 10 and digit(p[j]):
                size = size * 10 + (p[j] - 48)
                j += 1
            if j == end:
                if j - at < 10:
                    break
                conn.consumed = i
                return PROTOCOL_ERROR
            if j == at or (p[j] != SP and not (p[j] == LF and size == 0)):
                conn.consumed = i
                return PROTOCOL_ERROR
            if p[j] == SP:
                j += 1
            if size > self.max_message:
                if end - j < self.max_message:
                    break
                self._cut(conn, p, j)
                conn.discard = size - self.max_message
                i = j + self.max_message
            else:
                if j + size >= end:
                    break
                if p[j + size] != LF:
                    conn.consumed = i
                    return PROTOCOL_ERROR
                if size:
                    self._frame(conn, p, j, j + size)
                i = j + size + 1
            if conn.txn_count and number == conn.txn_first + conn.txn_count:
                conn.txn_count += 1
            else:
                if conn.txn_count:
                    conn.ranges.append((conn.txn_first, conn.txn_count))
                conn.txn_first = number
                conn.txn_count = 1
            conn.unacked += 1
        conn.consumed = i
        return NEED_MORE

    # ---- hand-over lines -----------------------------------------------------------------------

    def feed_handover(self, conn: Conn, buffer: bytearray, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> int:
        """Take all whole lines of [start, end): `UNIX.FRACTION SENDER INPUT[;WORD,…] MESSAGE LF`.

        `conn.consumed` is where the unread rest begins, always with a line. What has no such prefix
        is kept as text, as the sender and the input of `conn`, with the word `handover`.
        """
        p: cython.p_uchar = buffer
        i: cython.Py_ssize_t = start
        j: cython.Py_ssize_t
        longest: cython.Py_ssize_t = 4 * self.max_message + _PREFIX_ROOM
        escape: cython.Py_ssize_t = start - 1  # where the next escaped character stands
        while i < end:
            j = find(p, i, end, LF)
            if conn.skip_line:
                if j < 0:
                    i = end
                    break
                conn.skip_line = False
                i = j + 1
                continue
            if self._full():
                conn.consumed = i
                return BATCH_FULL
            if j < 0 and end - i < longest:
                break
            if j < 0 or j - i > longest:  # nobody writes such a line: its beginning is kept
                j = i + longest
                conn.skip_line = True
            if escape < i:
                escape = find(p, i, end, 1)
                if escape < 0:
                    escape = end
            if j > i:
                self._line(conn, p, i, j, escape < j)
            i = j if conn.skip_line else j + 1
        conn.consumed = i
        return NEED_MORE

    @cython.cfunc
    def _line(
        self, conn: Conn, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t, escaped: cython.bint
    ) -> object:
        """Take one hand-over line without its LF; `escaped` says whether 0x01 stands in it."""
        at: cython.Py_ssize_t = self._prefix(p, start, end)
        to: cython.p_uchar = p
        if at < 0:
            self._word("handover")
            self._received_by(conn)
            at = start
        if escaped:
            to = self.scratch
            end = _unescape(to, p, at, end)
            at = 0
        if end - at > self.max_message:
            self._word("cut")
            self.frames_cut += 1
            end = at + self.max_message
        return self._message(to, at, end)

    @cython.cfunc
    def _prefix(self, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read what stands before the message of a hand-over line; where that begins, or -1 with nothing set."""
        i: cython.Py_ssize_t = start
        j: cython.Py_ssize_t
        stop: cython.Py_ssize_t
        sender: cython.Py_ssize_t
        source: cython.int
        received: cython.longlong = 0
        scale: cython.longlong = 100000000
        while i < end and digit(p[i]) and i - start < 11:
            received = received * 10 + (p[i] - 48)
            i += 1
        if i == start or received > 9223372035:
            return -1
        received *= 1000000000
        if i < end and p[i] == DOT:
            i += 1
            while i < end and digit(p[i]):
                received += scale * (p[i] - 48)
                scale //= 10
                i += 1
        if i >= end or p[i] != SP:
            return -1
        sender = i + 1
        i = find(p, sender, min(end, sender + 256), SP)
        if i <= sender:
            return -1
        j = i + 1
        stop = find(p, j, min(end, j + 256), SP)
        if stop < 0:
            stop = end  # no message: what a sender left empty
        source = self._input(p, j, stop)
        if source < 0:
            return -1
        self.received = received
        self.source = source
        self.sender = p
        self.sender0 = sender
        self.sender1 = i
        if i - sender == 1 and p[sender] == DASH:
            self.sender1 = sender
        return min(stop + 1, end)

    @cython.cfunc
    def _input(self, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """The index of the input of that name in a hand-over, or -1; words behind a `;` are noted."""
        semicolon: cython.Py_ssize_t
        source: cython.int
        name: bytes = self.last_input
        if begins(p, start, end, name) and len(name) == end - start:
            return self.last_source
        semicolon = find(p, start, end, SEMICOLON)
        name = take(p, start, end if semicolon < 0 else semicolon)
        found: object = self.handed_over.get(name)
        if found is None:
            return -1
        source = found
        if semicolon >= 0:
            for word in take(p, semicolon + 1, end).decode("utf-8", "replace").split(","):
                self._word(word)
        else:
            self.last_input = name
            self.last_source = source
        return source

    # ---- one message ---------------------------------------------------------------------------

    @cython.cfunc
    def _word(self, word: str) -> cython.int:
        """Note what was repaired in the entry being made."""
        self.words.append(word)
        self.repaired[word] = self.repaired.get(word, 0) + 1
        return 0

    @cython.cfunc
    def _received_by(self, conn: Conn) -> cython.void:
        """The message being made came by this connection, now."""
        self.source = conn.input
        self.received = self.now_ns
        self.sender = conn.sender
        self.sender0 = 0
        self.sender1 = len(conn.sender)

    @cython.cfunc
    def _sender(self) -> bytes:
        return take(self.sender, self.sender0, self.sender1)

    @cython.cfunc
    def _frame(self, conn: Conn, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> object:
        self._received_by(conn)
        return self._message(p, start, end)

    @cython.cfunc
    def _message(self, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> object:
        """Read one message and add its entry."""
        at: cython.Py_ssize_t
        route: Route
        self.meta_used = 0
        self.meta_pairs = 0
        while end > start and (p[end - 1] == LF or p[end - 1] == CR or p[end - 1] == NUL):
            end -= 1
        if end == start:
            if self.words:
                self.words = []
            return None
        at = self._header(p, start, end)
        if at < 0:
            return self._salvage(p, start, end)
        found: object = self._route(p)
        if found is None:
            return self._salvage(p, start, end)
        route = cython.cast(Route, found)
        self.input_messages[self.source] += 1
        self.input_octets[self.source] += end - start
        if route.target is None:
            self.dropped += 1
            if self.words:
                self.words = []
            return None
        self._time(p)
        self._describe(p)
        self._entry(route, self.stamp, p, at, end)
        return None

    @cython.cfunc
    def _header(self, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read the priority and what stands before the text; where the text begins, or -1 if it is not well-formed."""
        i: cython.Py_ssize_t = start + 1
        pri: cython.int = 0
        if p[start] != LT:
            return -1
        while i < end and digit(p[i]) and i < start + 4:
            pri = pri * 10 + (p[i] - 48)
            i += 1
        if i + 3 >= end or i == start + 1 or pri > 191 or p[i] != GT:
            return -1
        self.pri = pri
        if p[i + 1] == 49 and p[i + 2] == SP:
            return self._rfc5424(p, i + 3, end)
        return self._rfc3164(p, i + 1, end)

    @cython.cfunc
    def _rfc5424(self, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read `TIME HOST APP PROCID MSGID [SD] ` at `start` (RFC 5424 section 6); where the text begins, or -1."""
        i: cython.Py_ssize_t
        self.stamp0 = start
        self.stamp1 = find(p, self.stamp0, end, SP)
        if self.stamp1 < 0:
            return -1
        self.host0 = self.stamp1 + 1
        self.host1 = find(p, self.host0, end, SP)
        if self.host1 < 0:
            return -1
        self.app0 = self.host1 + 1
        self.app1 = find(p, self.app0, end, SP)
        if self.app1 < 0:
            return -1
        self.proc0 = self.app1 + 1
        self.proc1 = find(p, self.proc0, end, SP)
        if self.proc1 < 0:
            return -1
        self.id0 = self.proc1 + 1
        self.id1 = find(p, self.id0, end, SP)
        if self.id1 < 0:
            self.id1 = end
        self.has_zone = True
        self.plain = False
        self.local = False
        self.stamp = self._stamp(p, start, self.stamp1)
        if self.stamp < 0 and not (self.stamp1 - start == 1 and p[start] == DASH):
            # A time in another notation, or none: what that means is for the parser to say.
            if not digit(p[start]):
                self.no_stamp = take(p, start, self.stamp1)
            return -1
        if self.id0 < end and p[self.id0] == OPEN:  # neither message id nor NILVALUE was sent
            i = self.id0
            self.id1 = i
        else:
            i = min(self.id1 + 1, end)
        if self.stamp1 - start == 1 and p[start] == DASH:
            self._word("notime")
        if self.host1 - self.host0 == 1 and p[self.host0] == DASH:
            self._word("nohost")
        self.sd0 = i
        self.sd1 = i
        if i < end and p[i] == DASH and (i + 1 == end or p[i + 1] == SP):
            return min(i + 2, end)
        if i < end and p[i] == OPEN:
            self.sd1 = self._structured(p, i, end)
            if self.sd1 > 0:
                i = self.sd1
                return i + 1 if i < end and p[i] == SP else i
            self.sd1 = self.sd0  # not well-formed: it stays in the text
            self._word("structured_data")
        elif i < end:
            self._word("structured_data")
        return i

    @cython.cfunc
    def _rfc3164(self, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read `TIME HOST TAG[PROCESS]: ` at `start` (RFC 3164 section 4.1); where the text begins, or -1.

        The time is `Mmm dd hh:mm:ss[.f…]` or RFC 3339. Only what can be nothing else is taken, which is
        what `parse.rfc3164.plain` takes: a dialect may look much the same.
        """
        kinds: cython.p_uchar = _KINDS
        self.plain = True
        i: cython.Py_ssize_t
        seen: cython.uchar
        self.stamp0 = start
        if digit(p[start]):
            i = find(p, start, min(end, start + 40), SP)
            if i < 0:
                return -1
            self.stamp = self._stamp(p, start, i)
            self.has_zone = True
            self.local = False
        else:
            i = self._traditional(p, start, end)
            if i < 0:
                return -1
            self.has_zone = False
            self.local = True
        if self.stamp < 0:
            return -1
        self.stamp1 = i
        i += 1
        self.host0 = i
        seen = 0
        while i < end and kinds[p[i]] & _IN_HOST:
            seen |= kinds[p[i]]
            i += 1
        self.host1 = i
        if (
            i + 1 >= end
            or i == self.host0
            or p[i] != SP
            or not seen & _NAMES_HOST
            or not kinds[p[self.host0]] & kinds[p[i - 1]] & _ALNUM
        ):
            return -1
        i += 1
        self.app0 = i
        if not kinds[p[i]] & _FIRST_OF_TAG:
            return -1
        seen = 0
        while i < end and kinds[p[i]] & _IN_TAG:
            seen |= kinds[p[i]]
            i += 1
        self.app1 = i
        self.proc0 = i
        self.proc1 = i
        if i >= end or not seen & _LETTER:
            return -1
        if p[i] == OPEN:
            i += 1
            self.proc0 = i
            while i < end and kinds[p[i]] & _IN_PROCESS:
                i += 1
            self.proc1 = i
            if i >= end or i == self.proc0 or p[i] != CLOSE:
                return -1
            i += 1
        if i >= end or p[i] != COLON or (i + 1 < end and p[i + 1] != SP):
            return -1
        self.id0 = i
        self.id1 = i
        self.sd0 = i
        self.sd1 = i
        return min(i + 2, end)

    @cython.cfunc
    def _traditional(self, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read `Mmm dd hh:mm:ss[.f…]` without year and zone into `stamp`, -1 for no such time; where it ends."""
        at: cython.Py_ssize_t = start + 15
        nanos: cython.longlong = 0
        scale: cython.longlong = 100000000
        if (
            end - start < 20
            or p[start + 3] != SP
            or p[start + 6] != SP
            or p[start + 9] != COLON
            or p[start + 12] != COLON
        ):
            return -1
        if p[at] == DOT:
            at += 1
            while at < end and digit(p[at]):
                nanos += scale * (p[at] - 48)
                scale //= 10
                at += 1
            if at == start + 16 or at >= end:
                return -1
        if p[at] != SP:
            return -1
        if not (
            cython.compiled
            and self.local_from <= self.received < self.local_until
            and memcmp(p + start, cython.address(self.local_text[0]), 15) == 0
        ):
            self.local_until = 0
            if not self._local_second(p, start):
                self.stamp = -1
                return at
            if cython.compiled:
                memcpy(cython.address(self.local_text[0]), p + start, 15)
        self.stamp = self.local_ns + nanos
        return at

    @cython.cfunc
    def _local_second(self, p: cython.p_uchar, start: cython.Py_ssize_t) -> cython.bint:
        """Find the moment that the wall clock `Mmm dd hh:mm:ss` names: `local_ns`. False if there is none.

        It is in the year that brings its date nearest to that of the receipt, and where the clock shows
        the same hour twice it is the one nearer to the receipt.
        """
        month: cython.int = month_of(p, start)
        day: cython.int = two_digits(p, start + 4)
        hour: cython.int = two_digits(p, start + 7)
        minute: cython.int = two_digits(p, start + 10)
        second: cython.int = two_digits(p, start + 13)
        if p[start + 4] == SP:
            day = p[start + 5] - 48
            if day > 9:
                return False
        if month == 0 or day < 1 or not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 60):
            return False
        quarter: cython.longlong = self.received // 900000000000
        today: cython.longlong = quarter // 96
        year: cython.longlong = year_of(today)
        days: cython.longlong = 0
        best: cython.longlong = -1
        candidate: cython.longlong
        distance: cython.longlong
        for candidate in range(year - 1, year + 2):
            if day <= days_in(candidate, month):
                distance = days_since_1970(candidate, month, day) - today
                if best < 0 or abs(distance) < best:
                    best = abs(distance)
                    days = distance + today
        if best < 0:
            return False
        wall: cython.longlong = days * 86400 + hour * 3600 + minute * 60 + second
        offsets: tuple = self._offsets(wall // 900)
        earlier: cython.longlong = offsets[0]
        later: cython.longlong = offsets[1]
        moment: cython.longlong = (wall - earlier) * 1000000000
        other: cython.longlong = (wall - later) * 1000000000
        self.local_offset = earlier
        if earlier != later and abs(other - self.received) < abs(moment - self.received):
            moment = other
            self.local_offset = later
        if moment < 0:
            return False
        self.local_ns = moment
        self.local_from = quarter * 900000000000
        self.local_until = self.local_from + 900000000000
        return True

    @cython.cfunc
    def _offsets(self, quarter: cython.longlong) -> tuple:
        """`local_time.offsets` of that quarter of an hour of the wall clock, remembered."""
        found: object = self.offsets.get(quarter)
        if found is None:
            if len(self.offsets) >= 1000:
                self.offsets.clear()
            found = self.offsets[quarter] = local_time.offsets(quarter * 900)
        return cython.cast(tuple, found)

    @cython.cfunc
    def _route(self, p: cython.p_uchar) -> Route | None:
        """Who: the route decides the labels, and is kept from the last time where it can be.

        None for a header that has no host after all.
        """
        key: object
        last: cython.uchar
        host0: cython.Py_ssize_t = self.host0
        start: cython.Py_ssize_t = host0 - 2
        size: cython.Py_ssize_t = self.app1 - start
        slot: cython.Py_ssize_t = -1
        near: cython.p_uchar = self.near
        found: object
        # What RFC 3164 has for a host may be none: routes of its headers are kept apart, looked at when made.
        source: cython.int = self.source | 128 if self.plain else self.source
        if self.wide_key or (self.host1 - host0 == 1 and p[host0] == DASH):
            key = (
                self.pri,
                source,
                take(p, host0, self.id1 if self.wide_key else self.app1),
                self._sender(),
                take(p, self.sd0, self.sd1) if self.wide_key else b"",
            )
        elif cython.compiled:
            # The key is host and application as they stand, and input and priority in the two bytes before
            # them, which are put back at once.
            last = p[start]
            p[start] = source
            p[start + 1] = self.pri
            if size <= _NEAR_KEY:
                slot = (_hash(p, start, self.app1) & (_NEAR_SLOTS - 1)) * _NEAR_SLOT
                if near[slot] != size or memcmp(near + slot + 1, p + start, size) != 0:
                    slot ^= _NEAR_SLOT
                if near[slot] == size and memcmp(near + slot + 1, p + start, size) == 0:
                    p[start] = last
                    p[start + 1] = 32
                    return cython.cast(Route, cython.cast(cython.pp_void, near + slot + _NEAR_ROUTE)[0])
            key = take(p, start, self.app1)
            p[start] = last
            p[start + 1] = 32
        else:
            key = bytes([source, self.pri]) + bytes(p[host0 : self.app1])
        found = self.routes.get(key)
        if found is None:
            found = self._resolve(p, source)
            if found is None:
                return None
            self.routes[key] = found
        if slot >= 0:
            self._put_near(slot ^ _NEAR_SLOT, key, found)
        return cython.cast(Route, found)

    @cython.cfunc
    def _resolve(self, p: cython.p_uchar, source: cython.int) -> object:
        """A route that is not known yet, for which there is room; None for a header that has no host after all."""
        host: bytes = take(p, self.host0, self.host1)
        route: Route
        if source != self.source and not self.resolver.can_be_host(host):
            return None
        route = self.resolver.resolve(
            self.pri,
            host,
            take(p, self.app0, self.app1),
            take(p, self.proc0, self.proc1),
            take(p, self.id0, self.id1),
            take(p, self.sd0, self.sd1),
            self._sender(),
            self.inputs[self.source].name,
        )
        if not self.routes or len(self.routes) >= self.max_routes or self.route_bytes > _ROUTE_BYTES:
            self.forget_routes()
        self.route_bytes += self.app1 - self.host0 + len(route.meta)
        if self.wide_key:
            self.route_bytes += self.id1 - self.app1 + self.sd1 - self.sd0
        return route

    @cython.cfunc
    def _put_near(self, slot: cython.Py_ssize_t, key: bytes, route: object) -> cython.int:
        """Remember a route in its first slot; what was there goes to its second one."""
        near: cython.p_uchar = self.near
        other: cython.Py_ssize_t = slot ^ _NEAR_SLOT
        if cython.compiled:
            if near[slot]:
                memcpy(near + other, near + slot, _NEAR_SLOT)
                self.near_routes[other // _NEAR_SLOT] = self.near_routes[slot // _NEAR_SLOT]
            near[slot] = len(key)
            memcpy(near + slot + 1, cython.cast(cython.p_char, key), len(key))
            cython.cast(cython.pp_void, near + slot + _NEAR_ROUTE)[0] = cython.cast(cython.p_void, route)
            self.near_routes[slot // _NEAR_SLOT] = route
        return 0

    def forget_routes(self) -> None:
        """Ask the resolver anew for every route."""
        self.routes.clear()
        self.route_bytes = 0
        if cython.compiled:
            # Zero pages: memory is used only for slots that are.
            self.near = bytearray(_NEAR_SLOTS * _NEAR_SLOT)
            self.near_routes = [None] * _NEAR_SLOTS

    @cython.cfunc
    def _time(self, p: cython.p_uchar) -> cython.int:
        """When: the message's own time while it is believable, else that of its receipt."""
        stamp: cython.longlong = self.stamp
        if stamp < 0:
            self.stamp = self.received
        elif (
            self.always_ask
            or stamp > self.received + self.max_future
            or stamp < self.received - (self.max_past if self.has_zone else self.max_past_without_zone)
        ):
            believed: tuple = self.resolver.believe(
                stamp, self.received, self.has_zone, self._sender(), self._stamp_text(p)
            )
            self.stamp = believed[0]
            if believed[1]:
                self._word(believed[1])
                if self.with_repairs:
                    self._add_bytes(b"original_timestamp", self._stamp_text(p))
        return 0

    @cython.cfunc
    def _stamp_text(self, p: cython.p_uchar) -> bytes:
        """The time of the message as RFC 3339, or what stands there instead."""
        if self.local:
            return local_time.rfc3339(
                self.local_ns // 1000000000, take(p, self.stamp0 + 15, self.stamp1), self.local_offset
            )
        return take(p, self.stamp0, self.stamp1)

    @cython.cfunc
    def _describe(self, p: cython.p_uchar) -> cython.int:
        """What goes with it: the metadata of the header and of its way here."""
        if (
            self.with_process
            and self.proc1 > self.proc0
            and not (self.proc1 - self.proc0 == 1 and p[self.proc0] == DASH)
        ):
            self._add(b"\x0a\x0aprocess_id\x12", p, self.proc0, self.proc1)
        if self.with_message_id and not (self.id1 - self.id0 == 1 and p[self.id0] == DASH) and self.id1 > self.id0:
            self._add(b"\x0a\x0amessage_id\x12", p, self.id0, self.id1)
        if self.with_sender and self.sender1 > self.sender0:
            self._add(b"\x0a\x06sender\x12", self.sender, self.sender0, self.sender1)
        if self.with_input:
            self._add_bytes(b"input", self.inputs[self.source].name.encode())
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def _stamp(self, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.longlong:
        """`rfc3339`, remembering the last second and zone: most messages share them with the one before."""
        stamp: cython.longlong
        at: cython.Py_ssize_t = start + 19
        nanos: cython.longlong = 0
        digits: cython.int = 0
        if not cython.compiled or end - start < 20:
            return rfc3339(p, start, end)
        if p[at] == DOT:
            at += 1
            while at < end and digits < 10 and digit(p[at]):
                nanos = nanos * 10 + (p[at] - 48)
                digits += 1
                at += 1
        if (
            end - at == self.second_zone_size
            and memcmp(p + start, cython.address(self.second_text[0]), 19) == 0
            and memcmp(p + at, cython.address(self.second_zone[0]), self.second_zone_size) == 0
        ):
            if digits == 6:
                return self.second_ns + nanos * 1000
            if digits == 3:
                return self.second_ns + nanos * 1000000
            if digits == 0 and at == start + 19:
                return self.second_ns
        stamp = rfc3339(p, start, end)
        if stamp >= 0 and end - at <= 6:
            memcpy(cython.address(self.second_text[0]), p + start, 19)
            memcpy(cython.address(self.second_zone[0]), p + at, end - at)
            self.second_zone_size = end - at
            self.second_ns = stamp - stamp % 1000000000
        return stamp

    @cython.cfunc
    def _salvage(self, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> object:
        """Take a message in no form that is read here, by the plain Python of `parse`."""
        words: list = self.words
        body: cython.p_uchar
        self.input_messages[self.source] += 1
        self.input_octets[self.source] += end - start
        record: bytes = take(p, start, end)
        self.words = []
        salvaged: tuple = self.resolver.salvage(record, self._sender(), self.inputs[self.source].name, self.received)
        route: Route = salvaged[0]
        text: bytes = salvaged[2]
        if route.target is None:
            self.dropped += 1
            self.no_stamp = b""
            return None
        self.meta_used = 0
        self.meta_pairs = 0
        for word in words:
            self.words.append(word)
        for word in salvaged[4]:
            self._word(word)
        if self.no_stamp and self.with_repairs:
            self._add_bytes(b"original_timestamp", self.no_stamp)
        self.no_stamp = b""
        for name, value in salvaged[3]:
            self._add_bytes(name, value)
        if cython.compiled:
            body = cython.cast(cython.p_uchar, cython.cast(cython.p_char, text))
        else:
            body = bytearray(text)
        self._entry(route, salvaged[1], body, 0, len(text))
        return None

    @cython.cfunc
    def _structured(self, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read the SD elements at `start` into metadata; where they end, or -1 with nothing added."""
        used: cython.Py_ssize_t = self.meta_used
        pairs: cython.int = self.meta_pairs
        i: cython.Py_ssize_t = start
        while 0 <= i < end and p[i] == OPEN:
            i = self._element(p, i, end)
        if i < 0:
            self.meta_used = used
            self.meta_pairs = pairs
        return i

    @cython.cfunc
    def _element(self, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read one SD element, `[ID NAME="VALUE" …]`; where it ends, or -1.

        One without parameters is none: `[warn]` is how many programs begin their text.
        """
        i: cython.Py_ssize_t = start + 1
        id1: cython.Py_ssize_t
        name0: cython.Py_ssize_t
        value0: cython.Py_ssize_t
        escaped: cython.bint
        parameters: cython.int = 0
        while i < end and p[i] > 32 and p[i] < 127 and p[i] != CLOSE and p[i] != EQUALS and p[i] != QUOTE:
            i += 1
        id1 = i
        if id1 == start + 1:
            return -1
        while i < end and p[i] == SP:
            while i < end and p[i] == SP:
                i += 1
            name0 = i
            while i < end and p[i] > 32 and p[i] < 127 and p[i] != EQUALS and p[i] != CLOSE and p[i] != QUOTE:
                i += 1
            if i == name0:
                break
            if i + 1 >= end or p[i] != EQUALS or p[i + 1] != QUOTE:
                return -1
            value0 = i + 2
            i = value0
            escaped = False
            while i < end and p[i] != QUOTE:
                if p[i] == BACKSLASH and i + 1 < end:
                    escaped = True
                    i += 1
                i += 1
            if i >= end:
                return -1
            if self.with_structured:
                self._add_parameter(p, start + 1, id1, name0, value0 - 2, value0, i, escaped)
            parameters += 1
            i += 1
        if i >= end or p[i] != CLOSE or parameters == 0:
            return -1
        return i + 1

    @cython.cfunc
    def _add_parameter(
        self,
        p: cython.p_uchar,
        id0: cython.Py_ssize_t,
        id1: cython.Py_ssize_t,
        name0: cython.Py_ssize_t,
        name1: cython.Py_ssize_t,
        value0: cython.Py_ssize_t,
        value1: cython.Py_ssize_t,
        escaped: cython.bint,
    ) -> cython.int:
        """One SD parameter as metadata <id>_<name>, its name made of letters, digits and _."""
        name: bytes = valid_name(take(p, id0, id1) + b"_" + take(p, name0, name1))
        value: bytes = take(p, value0, value1)
        if escaped:
            value = _SD_ESCAPED.sub(rb"\1", value)
        self._add_bytes(name, value)
        return 0

    @cython.cfunc
    def _add_bytes(self, name: bytes, value: bytes) -> cython.int:
        body: cython.p_uchar
        if cython.compiled:
            body = cython.cast(cython.p_uchar, cython.cast(cython.p_char, value))
        else:
            body = bytearray(value)
        self._add(b"\x0a" + varint(len(name)) + name + b"\x12", body, 0, len(value))
        return 0

    @cython.cfunc
    def _add(self, head: bytes, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Add one pair of metadata; `head` is the encoded name and the tag of the value."""
        size: cython.Py_ssize_t = end - start
        high: cython.uchar = 0
        k: cython.Py_ssize_t
        if cython.compiled:
            for k in range(start, end):
                high |= p[k]
        else:
            high = 0x80
        if high & 0x80:
            value: bytes = take(p, start, end)
            text: bytes = value.decode("utf-8", "replace").encode()
            if text != value:
                own: cython.p_uchar
                if cython.compiled:
                    own = cython.cast(cython.p_uchar, cython.cast(cython.p_char, text))
                else:
                    own = bytearray(text)
                self._word("utf8")
                self._put_pair(head, own, 0, len(text))
                return 0
        self._put_pair(head, p, start, size)
        return 0

    @cython.cfunc
    def _put_pair(
        self, head: bytes, p: cython.p_uchar, start: cython.Py_ssize_t, size: cython.Py_ssize_t
    ) -> cython.int:
        headsize: cython.Py_ssize_t = len(head)
        inner: cython.Py_ssize_t = headsize + varint_size(size) + size
        at: cython.Py_ssize_t = self.meta_used
        if at + inner + 8 > _META_ROOM or self.meta_pairs >= _META_PAIRS:
            self._word("metadata")
            return 0
        to: cython.p_uchar = self.meta
        to[at] = 0x1A
        at = put_varint(to, at + 1, inner)
        if cython.compiled:
            memcpy(to + at, cython.cast(cython.p_char, head), headsize)
        else:
            to[at : at + headsize] = head
        at = put_varint(to, at + headsize, size)
        copy(to, at, p, start, size)
        self.meta_used = at + size
        self.meta_pairs += 1
        return 0

    @cython.cfunc
    def _entry(
        self, route: Route, stamp: cython.longlong, p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> object:
        """Encode one entry: EntryAdapter {timestamp=1 {seconds=1, nanos=2}, line=2, structuredMetadata=3}."""
        # Bytes, so that the compiler looks at sixteen or more at a time.
        high: cython.uchar = 0
        low: cython.uchar = 0
        k: cython.Py_ssize_t
        text: bytes = b""
        if end - start >= 3 and p[start] == 0xEF and p[start + 1] == 0xBB and p[start + 2] == 0xBF:
            start += 3  # RFC 5424's BOM says UTF-8; it is not part of the text
        if cython.compiled:
            for k in range(start, end):
                high |= p[k]
                low |= p[k] < 2
        else:
            high = 0x80
        if high & 0x80 or low:
            text = take(p, start, end)
            if b"\0" in text:
                self._word("nul")
                text = text.replace(b"\0", b"#000")
            try:
                text.decode()
            except UnicodeDecodeError:
                self._word("utf8")
                text = text.decode("utf-8", "replace").encode()
            if cython.compiled:
                p = cython.cast(cython.p_uchar, cython.cast(cython.p_char, text))
            else:
                p = bytearray(text)
            start = 0
            end = len(text)
        if self.words:
            if self.with_repairs:
                self._add_bytes(b"repaired", ",".join(dict.fromkeys(self.words)).encode())
            self.words = []
        tally: Tally = route.tally
        if tally.epoch != self.epoch:
            tally.epoch = self.epoch
            tally.count = 0
            self.tallies.append(tally)
        tally.count += 1
        target: Target = route.target
        # Loki takes an entry with the time, line and metadata of the one before for a repetition and
        # drops it, and keeps no order among equal times: make them differ by a nanosecond.
        if stamp == target.last_ns:
            target.bump += 1
            stamp += target.bump
        else:
            target.last_ns = stamp
            target.bump = 0
        slot: cython.int
        if target.epoch != self.epoch:
            target.epoch = self.epoch
            slot = len(self.targets)
            target.slot = slot
            target.last_used = self.now_ns
            target.entries = 0
            target.size = 0
            target.oldest = stamp
            target.newest = stamp
            self.targets.append(target)
            self.label_bytes += len(target.field) + 8
        else:
            slot = target.slot
            if stamp < target.oldest:
                target.oldest = stamp
            elif stamp > target.newest:
                target.newest = stamp
        seconds: cython.longlong = stamp // 1000000000
        nanos: cython.longlong = stamp - seconds * 1000000000
        stamp_size: cython.int = 1 + varint_size(seconds)
        if nanos:
            stamp_size += 1 + varint_size(nanos)
        size: cython.Py_ssize_t = end - start
        constant: cython.Py_ssize_t = route.meta_size
        inner: cython.Py_ssize_t = 2 + stamp_size + 1 + varint_size(size) + size + constant + self.meta_used
        to: cython.p_uchar = self.arena
        at: cython.Py_ssize_t = self.used
        to[at] = 0x12
        at = put_varint(to, at + 1, inner)
        to[at] = 0x0A
        to[at + 1] = stamp_size
        to[at + 2] = 0x08
        at = put_varint(to, at + 3, seconds)
        if nanos:
            to[at] = 0x10
            at = put_varint(to, at + 1, nanos)
        to[at] = 0x12
        at = put_varint(to, at + 1, size)
        copy(to, at, p, start, size)
        at += size
        if constant:
            if cython.compiled:
                memcpy(to + at, cython.cast(cython.p_char, route.meta), constant)
            else:
                to[at : at + constant] = route.meta
            at += constant
        if self.meta_used:
            meta: cython.p_uchar = self.meta
            copy(to, at, meta, 0, self.meta_used)
            at += self.meta_used
        self.entry_slot[self.count] = slot
        self.entry_size[self.count] = at - self.used
        target.entries += 1
        target.size += at - self.used
        self.count += 1
        self.used = at
        return None

    # ---- the batch -----------------------------------------------------------------------------

    def close(self) -> tuple[bytearray, BatchStreams, list[Tally]]:
        """The batch as a PushRequest, entries of a stream together and in order of arrival.

        Streams that are in a batch for the first time are the last of it: Loki's answer is about the
        last stream, so that it tells whether there was room for them. Returns (body, what is in it,
        who sent how much) and begins anew; a body that is not needed any more may be given to `reuse`.
        """
        slots: cython.int = len(self.targets)
        slot: cython.int
        total: cython.Py_ssize_t = 0
        size: cython.Py_ssize_t
        target: Target
        place: cython.longlong[::1] = array("q", bytes(8 * max(slots, 1)))
        streams: BatchStreams = BatchStreams(slots)
        ordered: list = []
        new: list = []
        for slot in range(slots):
            target = cython.cast(Target, self.targets[slot])
            if target.sent:
                ordered.append(target)
            else:
                target.sent = True
                new.append(target)
        ordered += new
        for slot in range(slots):
            target = cython.cast(Target, ordered[slot])
            size = len(target.field) + target.size
            size += 1 + varint_size(size)
            streams.add(target.labels, total, size, target.entries, target.oldest, target.newest)
            total += size
        body: bytearray
        if cython.compiled:
            body = self.spare.pop() if self.spare else bytearray()
            PyByteArray_Resize(body, total)
        else:
            body = bytearray(total)
        to: cython.p_uchar = body
        at: cython.Py_ssize_t = 0
        for slot in range(slots):
            target = cython.cast(Target, ordered[slot])
            size = len(target.field) + target.size
            to[at] = 0x0A
            at = put_varint(to, at + 1, size)
            if cython.compiled:
                memcpy(to + at, cython.cast(cython.p_char, target.field), len(target.field))
            else:
                to[at : at + len(target.field)] = target.field
            place[target.slot] = at + len(target.field)
            at += size
        source: cython.p_uchar = self.arena
        start: cython.Py_ssize_t = 0
        k: cython.int
        for k in range(self.count):
            slot = self.entry_slot[k]
            size = self.entry_size[k]
            copy(to, place[slot], source, start, size)
            place[slot] += size
            start += size
        result = (body, streams, self.tallies)
        self._clear()
        return result

    def reuse(self, body: bytearray) -> None:
        """Take back the memory of a batch, which costs less than fresh memory of the system. Thread-safe."""
        if len(self.spare) < _SPARE:
            self.spare.append(body)

    def _fresh_entries(self) -> None:
        """Take memory for the entries of a batch, which is none until it is written to."""
        self.entry_slot = memoryview(bytearray(4 * _MAX_ENTRIES)).cast("i")
        self.entry_size = memoryview(bytearray(4 * _MAX_ENTRIES)).cast("i")

    def forget_spare(self) -> None:
        """Free the memory that is kept for the next batches; the arena, too, when nothing is in it.

        A new arena costs nothing until it is written to.
        """
        self.spare.clear()
        if not self.count:
            self.arena = bytearray(self.room)
            self._fresh_entries()
