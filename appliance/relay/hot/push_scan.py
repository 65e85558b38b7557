# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=False, auto_pickle=False
"""Walks through a PushRequest in protobuf, as others send it and as it lies in the spool."""

from typing import Any

import cython

if cython.compiled:
    from cython.cimports.appliance.relay.hot.primitives import take  # type: ignore[import-not-found]
else:
    from appliance.relay.hot.primitives import take


@cython.cclass
class _Cursor:
    """A position in a protobuf message; `bad` once something there cannot be."""

    at: cython.Py_ssize_t
    bad: cython.bint
    odd: cython.bint  # a time stamp outside what nanoseconds of an int64 can say


@cython.cfunc
@cython.exceptval(check=False)
def _get_varint(p: cython.p_uchar, c: _Cursor, end: cython.Py_ssize_t) -> cython.ulonglong:
    value: cython.ulonglong = 0
    shift: cython.int = 0
    byte: cython.ulonglong
    while c.at < end and shift < 64:
        byte = p[c.at]
        c.at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value if cython.compiled else value & (2**64 - 1)
        shift += 7
    c.bad = True
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _get_length(p: cython.p_uchar, c: _Cursor, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Read a length; where what it measures ends. On anything wrong `end`, with `bad` set."""
    size: cython.ulonglong = _get_varint(p, c, end)
    if c.bad or size > cython.cast(cython.ulonglong, end - c.at):
        c.bad = True
        return end
    return c.at + cython.cast(cython.Py_ssize_t, size)


@cython.cfunc
@cython.exceptval(check=False)
def _skip(p: cython.p_uchar, c: _Cursor, end: cython.Py_ssize_t, tag: cython.ulonglong) -> cython.void:
    """Pass over the value of a field that is not known."""
    wire: cython.int = tag & 7
    if tag >> 3 == 0 or tag > 0xFFFFFFFF:  # no field has such a number
        c.bad = True
    elif wire == 0:
        _get_varint(p, c, end)
    elif wire == 2:
        c.at = _get_length(p, c, end)
    elif wire == 1 and end - c.at >= 8:
        c.at += 8
    elif wire == 5 and end - c.at >= 4:
        c.at += 4
    else:
        c.bad = True


def scan_push(body: bytes | bytearray, plain_from: bool = False, size: int = -1) -> list[tuple[Any, ...]] | None:
    """The streams of a PushRequest as (labels, offset, length, entries, oldest ns, newest ns).

    Offset and length are those of the whole `streams` field, tag included. With `plain_from` comes
    where the stream's entries begin, if nothing but entries with proper time stamps follows its
    labels; else 0, and the stream needs a closer look; labels that are no UTF-8 come escaped. Every
    message inside is walked. None when the bytes are not a well-formed PushRequest. An entry without
    a time stamp counts as time 0. `size` are the bytes of the push, if `body` has more behind it.
    """
    p: cython.p_uchar = body
    end: cython.Py_ssize_t = len(body) if size < 0 else size
    c: _Cursor = _Cursor()
    c.at = 0
    c.bad = False
    c.odd = False
    result: list = []
    tag: cython.ulonglong
    first: cython.Py_ssize_t
    stop: cython.Py_ssize_t
    part_end: cython.Py_ssize_t
    plain: cython.Py_ssize_t
    stamp: cython.longlong
    oldest: cython.longlong
    newest: cython.longlong
    entries: cython.int
    while c.at < end:
        first = c.at
        tag = _get_varint(p, c, end)
        if tag != 10:
            c.bad |= tag >> 3 == 1
            _skip(p, c, end, tag)
            if c.bad:
                return None
            continue
        stop = _get_length(p, c, end)
        labels: str = ""
        entries = 0
        plain = 0
        oldest = 0
        newest = 0
        while c.at < stop and not c.bad:
            tag = _get_varint(p, c, stop)
            if tag == 18:
                part_end = _get_length(p, c, stop)
                stamp = _walk_entry(p, c, part_end)
                if c.odd:
                    c.odd = False
                    plain = 0
                if entries == 0 or stamp < oldest:
                    oldest = stamp
                if entries == 0 or stamp > newest:
                    newest = stamp
                entries += 1
                continue
            plain = 0
            if tag == 10:
                part_end = _get_length(p, c, stop)
                if c.bad:
                    return None
                try:
                    labels = take(p, c.at, part_end).decode("utf-8", "surrogateescape" if plain_from else "strict")
                except UnicodeDecodeError:
                    return None
                c.at = part_end
                if entries == 0:
                    plain = part_end
            else:
                c.bad |= tag >> 3 == 1 or tag >> 3 == 2
                _skip(p, c, stop, tag)
        if c.bad:
            return None
        if plain_from:
            result.append((labels, first, stop - first, entries, oldest, newest, plain))
        else:
            result.append((labels, first, stop - first, entries, oldest, newest))
    return result


@cython.cfunc
@cython.exceptval(check=False)
def _walk_entry(p: cython.p_uchar, c: _Cursor, end: cython.Py_ssize_t) -> cython.longlong:
    """Pass over an entry; its time stamp, with `odd` set if that does not fit into int64 nanoseconds."""
    tag: cython.ulonglong
    stop: cython.Py_ssize_t
    stamp: cython.longlong = 0
    while c.at < end and not c.bad:
        tag = _get_varint(p, c, end)
        if tag == 18:
            c.at = _get_length(p, c, end)
        elif tag == 10:
            stop = _get_length(p, c, end)
            stamp = _walk_timestamp(p, c, stop)
        elif tag == 26 or tag == 34:  # structured metadata, and the pairs Loki itself adds
            stop = _get_length(p, c, end)
            while c.at < stop and not c.bad:
                tag = _get_varint(p, c, stop)
                if tag == 10 or tag == 18:
                    c.at = _get_length(p, c, stop)
                else:
                    c.bad |= tag >> 3 == 1 or tag >> 3 == 2
                    _skip(p, c, stop, tag)
        else:
            c.bad |= 1 <= tag >> 3 <= 4
            _skip(p, c, end, tag)
    return stamp


@cython.cfunc
@cython.exceptval(check=False)
def _walk_timestamp(p: cython.p_uchar, c: _Cursor, end: cython.Py_ssize_t) -> cython.longlong:
    tag: cython.ulonglong
    seconds: cython.ulonglong = 0
    nanos: cython.ulonglong = 0
    while c.at < end and not c.bad:
        tag = _get_varint(p, c, end)
        if tag == 8:
            seconds = _get_varint(p, c, end)
        elif tag == 16:
            nanos = _get_varint(p, c, end)
        else:
            c.bad |= tag >> 3 == 1 or tag >> 3 == 2
            _skip(p, c, end, tag)
    if seconds > 9223372035 or nanos >= 1000000000:
        c.odd = True
        return 0
    return cython.cast(cython.longlong, seconds) * 1000000000 + cython.cast(cython.longlong, nanos)
