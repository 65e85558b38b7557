# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# mypy: disable-error-code="untyped-decorator"
"""A PushRequest from outside, taken apart into streams whose entries stay the bytes they are.

Stricter than the scan of our own batches: every nested message is walked, as one that Loki cannot
decode would make it refuse the whole batch it ended up in. Labels are not parsed here.
Written in Cython's pure Python mode, as hot.py: compiled for speed, the same source runs as Python.
Source: loki/pkg/push/push.proto, protobuf.dev/programming-guides/encoding.
"""

import cython

from appliance.relay.hot import varint

_NANO = 1_000_000_000
_LAST_SECOND = 9223372035  # the last second whose every nanosecond fits into an int64


class MalformedPushRequest(ValueError):
    """Bytes that are not a PushRequest; the message has the form of Go's protobuf errors."""


class TooManyStreams(ValueError):
    """A push with more streams than are taken at once: two bytes each, unpacked, would fill the memory."""


@cython.cclass
class _Cursor:
    """A position in a message; `bad` once something there cannot be."""

    at: cython.Py_ssize_t
    bad: cython.bint
    odd: cython.bint  # a time stamp outside what nanoseconds of an int64 can say


@cython.cfunc
@cython.exceptval(check=False)
def _varint(p: cython.p_uchar, cursor: _Cursor, end: cython.Py_ssize_t) -> cython.ulonglong:
    value: cython.ulonglong = 0
    shift: cython.int = 0
    byte: cython.ulonglong
    while cursor.at < end and shift < 64:
        byte = p[cursor.at]
        cursor.at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value if cython.compiled else value & (2**64 - 1)
        shift += 7
    cursor.bad = True
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _length(p: cython.p_uchar, cursor: _Cursor, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Reads a length; returns where what it measures ends. On anything wrong `end`, with `bad` set."""
    size: cython.ulonglong = _varint(p, cursor, end)
    if cursor.bad or size > cython.cast(cython.ulonglong, end - cursor.at):
        cursor.bad = True
        return end
    return cursor.at + cython.cast(cython.Py_ssize_t, size)


@cython.cfunc
@cython.exceptval(check=False)
def _skip(p: cython.p_uchar, cursor: _Cursor, end: cython.Py_ssize_t, tag: cython.ulonglong) -> cython.void:
    """Passes over the value of a field that is not known."""
    wire: cython.int = tag & 7
    if tag >> 3 == 0:
        cursor.bad = True
    elif wire == 0:
        _varint(p, cursor, end)
    elif wire == 2:
        cursor.at = _length(p, cursor, end)
    elif wire == 1 and end - cursor.at >= 8:
        cursor.at += 8
    elif wire == 5 and end - cursor.at >= 4:
        cursor.at += 4
    else:
        cursor.bad = True


@cython.cfunc
@cython.exceptval(check=False)
def _timestamp(p: cython.p_uchar, cursor: _Cursor, end: cython.Py_ssize_t) -> cython.longlong:
    """Nanoseconds of a Timestamp; 0 with `odd` set when they do not fit."""
    tag: cython.ulonglong
    seconds: cython.ulonglong = 0
    nanos: cython.ulonglong = 0
    while cursor.at < end and not cursor.bad:
        tag = _varint(p, cursor, end)
        if tag == 8:
            seconds = _varint(p, cursor, end)
        elif tag == 16:
            nanos = _varint(p, cursor, end)
        elif tag >> 3 == 1 or tag >> 3 == 2:
            cursor.bad = True
        else:
            _skip(p, cursor, end, tag)
    if seconds > 9223372035 or nanos >= 1000000000:
        cursor.odd = True
        return 0
    return cython.cast(cython.longlong, seconds) * 1000000000 + cython.cast(cython.longlong, nanos)


@cython.cfunc
@cython.exceptval(check=False)
def _pair(p: cython.p_uchar, cursor: _Cursor, end: cython.Py_ssize_t) -> cython.void:
    tag: cython.ulonglong
    while cursor.at < end and not cursor.bad:
        tag = _varint(p, cursor, end)
        if tag == 10 or tag == 18:
            cursor.at = _length(p, cursor, end)
        elif tag >> 3 == 1 or tag >> 3 == 2:
            cursor.bad = True
        else:
            _skip(p, cursor, end, tag)


@cython.cfunc
@cython.exceptval(check=False)
def _entry(p: cython.p_uchar, cursor: _Cursor, end: cython.Py_ssize_t) -> cython.longlong:
    """Walks one entry to `end`; returns its time."""
    tag: cython.ulonglong
    field: cython.ulonglong
    stop: cython.Py_ssize_t
    stamp: cython.longlong = 0
    while cursor.at < end and not cursor.bad:
        tag = _varint(p, cursor, end)
        if tag == 18:
            cursor.at = _length(p, cursor, end)
        elif tag == 10:
            stop = _length(p, cursor, end)
            stamp = _timestamp(p, cursor, stop)
        elif tag == 26 or tag == 34:
            stop = _length(p, cursor, end)
            _pair(p, cursor, stop)
        else:
            field = tag >> 3
            if field >= 1 and field <= 4:
                cursor.bad = True
            else:
                _skip(p, cursor, end, tag)
    return stamp


def split_push(body: bytes, max_streams: int) -> list[tuple[bytes, bytes, int, int, int]]:
    """The streams of a PushRequest as (labels, entries, count, oldest ns, newest ns), in order.

    `entries` is the concatenation of the stream's `entries` fields with their tags. A time stamp
    that does not fit into int64 nanoseconds is replaced by the nearest that does. Raises
    MalformedPushRequest or TooManyStreams.
    """
    p: cython.p_uchar = body
    end: cython.Py_ssize_t = len(body)
    c: _Cursor = _Cursor()
    c.at = 0
    c.bad = False
    c.odd = False
    tag: cython.ulonglong
    stop: cython.Py_ssize_t
    stream_end: cython.Py_ssize_t
    labels_start: cython.Py_ssize_t
    labels_end: cython.Py_ssize_t
    field: cython.Py_ssize_t
    kept: cython.Py_ssize_t
    count: cython.longlong
    stamp: cython.longlong
    oldest: cython.longlong
    newest: cython.longlong
    streams: list[tuple[bytes, bytes, int, int, int]] = []
    while c.at < end and not c.bad:
        tag = _varint(p, c, end)
        if tag != 10:
            if tag >> 3 == 1:
                c.bad = True
            else:
                _skip(p, c, end, tag)
            continue
        if len(streams) >= max_streams:
            raise TooManyStreams(f"more than {max_streams} streams in one push")
        stream_end = _length(p, c, end)
        labels_start = labels_end = 0
        count = oldest = newest = 0
        pieces: list[bytes] = []
        kept = c.at  # start of the entries that are not yet in `pieces`
        while c.at < stream_end and not c.bad:
            field = c.at
            tag = _varint(p, c, stream_end)
            if tag == 18:
                stop = _length(p, c, stream_end)
                stamp = _entry(p, c, stop)
                if c.odd and not c.bad:
                    pieces.append(body[kept:field])
                    stamp, rebuilt = _rebuild(body[field:stop])
                    pieces.append(rebuilt)
                    kept = stop
                    c.odd = False
                if count == 0 or stamp < oldest:
                    oldest = stamp
                if count == 0 or stamp > newest:
                    newest = stamp
                count += 1
                continue
            if tag == 10:
                stop = _length(p, c, stream_end)
                labels_start, labels_end = c.at, stop
                c.at = stop
            elif tag >> 3 == 1 or tag >> 3 == 2:
                c.bad = True
            else:
                _skip(p, c, stream_end, tag)
            if kept < field:
                pieces.append(body[kept:field])
            kept = c.at
        if c.bad:
            break
        pieces.append(body[kept:stream_end])
        entries = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        streams.append((body[labels_start:labels_end], entries, count, oldest, newest))
    if c.bad:
        raise MalformedPushRequest(f"proto: PushRequest cannot be decoded at byte {c.at} of {end}")
    return streams


def _rebuild(field: bytes) -> tuple[int, bytes]:
    """The time and the bytes of an `entries` field (walked before) with a time that int64 nanoseconds can say."""
    fields = [(tag, value) for tag, value in _fields(field) if tag == 18]
    seconds = nanos = 0
    rest = b""
    for tag, value in _fields(fields[0][1]):
        if tag == 10:
            stamp = dict(_fields(value))
            seconds, nanos = _signed(stamp.get(8, b"")), _signed(stamp.get(16, b""))
        else:
            rest += varint(tag) + (varint(len(value)) if tag & 7 == 2 else b"") + value
    time_ns = min(max(seconds * _NANO + nanos, 0), _LAST_SECOND * _NANO)
    entry = encode_timestamp(time_ns) + rest
    return time_ns, b"\x12" + varint(len(entry)) + entry


def _fields(message: bytes) -> list[tuple[int, bytes]]:
    """Tags and values of a well-formed message; a varint's value is its bytes, not decoded."""
    found = []
    at = 0
    while at < len(message):
        tag, at = _read(message, at)
        if tag & 7 == 2:
            size, at = _read(message, at)
            stop = at + size
        elif tag & 7 == 0:
            stop = _read(message, at)[1]
        else:
            stop = at + (8 if tag & 7 == 1 else 4)
        found.append((tag, message[at:stop]))
        at = stop
    return found


def _read(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
        shift += 7


def _signed(encoded: bytes) -> int:
    value = _read(encoded, 0)[0] if encoded else 0
    return value - 2**64 if value >> 63 else value


def encode_timestamp(time_ns: int) -> bytes:
    """The timestamp field of an entry; `time_ns` is not negative."""
    seconds, nanos = divmod(time_ns, _NANO)
    inner = (b"\x08" + varint(seconds) if seconds else b"") + (b"\x10" + varint(nanos) if nanos else b"")
    return b"\x0a" + varint(len(inner)) + inner


def encode_entry(time_ns: int, line: bytes, metadata: bytes) -> bytes:
    """An `entries` field; `metadata` are its encoded pairs (hot.encode_pair)."""
    entry = encode_timestamp(time_ns) + b"\x12" + varint(len(line)) + line + metadata
    return b"\x12" + varint(len(entry)) + entry
