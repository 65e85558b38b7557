"""A PushRequest from outside, taken apart into streams whose entries stay the bytes they are.

Every nested message is walked by the compiled scan, as one that Loki cannot decode would make it
refuse the whole batch it ended up in. What else stands in a stream (`hash`, fields of tomorrow) is
left out, and a timestamp that int64 nanoseconds cannot say is replaced: both without an object for
each entry. Labels are not parsed here.
Source: loki/pkg/push/push.proto, protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator
from typing import NamedTuple

from appliance.relay.hot import scan_push, varint

_NANO = 1_000_000_000
_LAST_SECOND = 9223372035  # the last second whose every nanosecond fits into an int64
_LABELS, _ENTRIES = 10, 18  # tags in a stream
_TIMESTAMP, _LINE, _METADATA = 10, 18, 26  # tags in an entry


class MalformedPushRequest(ValueError):
    """Bytes that are not a PushRequest."""


class PushTooLarge(ValueError):
    """More streams or entries than are taken at once: two bytes each, unpacked, would fill the memory."""


class SplitStream(NamedTuple):
    """One stream of a push: `entries` are its `entries` fields with their tags, one after the other."""

    labels: bytes
    entries: bytes
    count: int  # type: ignore[assignment]  # shadows tuple.count, which nobody calls
    oldest_ns: int
    newest_ns: int


class PushedStream(NamedTuple):
    """One stream of a push, its labels in their one spelling, its entries encoded as in SplitStream."""

    labels: str
    entries: bytes
    count: int  # type: ignore[assignment]  # shadows tuple.count, which nobody calls
    oldest_ns: int
    newest_ns: int


def split_push(body: bytes | bytearray, max_streams: int, max_entries: int = 2**31) -> list[SplitStream]:
    """Return the streams of a PushRequest, in order.

    A timestamp that does not fit into int64 nanoseconds is replaced by the nearest that does. Raises
    MalformedPushRequest or PushTooLarge.
    """
    if body.count(b"\n") > max_streams and _streams(body, max_streams) > max_streams:
        raise PushTooLarge(f"more than {max_streams} streams in one push")
    found = scan_push(body, True)
    if found is None:
        raise MalformedPushRequest("proto: PushRequest cannot be decoded")
    if sum([part[3] for part in found]) > max_entries:
        raise PushTooLarge(f"more than {max_entries} entries in one push")
    view = memoryview(body)
    return [
        SplitStream(
            labels.encode(errors="surrogateescape"), bytes(view[plain : offset + length]), count, oldest, newest
        )
        if plain
        else _closely(body, offset, offset + length, count)
        for labels, offset, length, count, oldest, newest, plain in found
    ]


def _streams(body: bytes | bytearray, enough: int) -> int:
    """Return how many streams a push has, as far as it can be walked; stops counting above `enough`."""
    at = count = 0
    try:
        while at < len(body) and count <= enough:
            tag, at = read_varint(body, at)
            at = _behind(body, at, tag)
            count += tag == _LABELS
    except IndexError:
        pass  # the scan says that it is malformed
    return count


def _closely(body: bytes | bytearray, at: int, end: int, count: int) -> SplitStream:
    """Return the `streams` field [at, end), walked before, in which labels, entries and unknown fields stand anyhow."""
    _, at = read_varint(body, at)
    _, at = read_varint(body, at)
    labels = b""
    entries = bytearray(_WRAP)
    run = at  # body[run:at] are entries
    while at < end:
        if body[at] == _ENTRIES and body[at + 1] < 0x80:  # nearly all
            at += 2 + body[at + 1]
            continue
        start = at
        tag, at = read_varint(body, at)
        content = at
        at = _behind(body, at, tag)
        if tag == _ENTRIES:
            continue
        entries += memoryview(body)[run:start]
        run = at
        if tag == _LABELS:
            labels = bytes(body[read_varint(body, content)[1] : at])
    entries += memoryview(body)[run:end]
    # Once more, now that nothing else stands in it: what is still odd is odd by its timestamps.
    oldest, newest, plain = _scan_wrapped(entries)
    del entries[:_WRAP]
    if plain or not count:
        return SplitStream(labels, bytes(entries), count, oldest, newest)
    rebuilt, oldest, newest = _restamped(bytes(entries))
    return SplitStream(labels, rebuilt, count, oldest, newest)


_WRAP = 8  # bytes in front of entries that make a whole push of them


def _scan_wrapped(entries: bytearray) -> tuple[int, int, bool]:
    """Return oldest and newest timestamp of entries that have _WRAP bytes in front, and whether all can be said."""
    size = len(entries) - 6
    entries[0] = 0x0A
    for place in range(5):  # a number may be written longer than it need be
        entries[1 + place] = size >> 7 * place & 0x7F | (0x80 if place < 4 else 0)
    entries[6:8] = b"\x0a\x00"
    found = scan_push(entries, True)
    assert found is not None and len(found) == 1
    _, _, _, _, oldest, newest, plain = found[0]
    return oldest, newest, bool(plain)


def _restamped(entries: bytes) -> tuple[bytes, int, int]:
    """Return entries with timestamps that int64 nanoseconds can say, their oldest and their newest."""
    out = bytearray()
    oldest, newest = 2**63, 0
    at = 0
    while at < len(entries):
        _, at = read_varint(entries, at)
        size, at = read_varint(entries, at)
        stop = at + size
        seconds = nanos = 0
        rest = bytearray()
        while at < stop:
            start = at
            tag, at = read_varint(entries, at)
            content = at
            at = _behind(entries, at, tag)
            if tag == _TIMESTAMP:
                seconds, nanos = _timestamp(entries, read_varint(entries, content)[1], at)
            else:
                rest += entries[start:at]
        time_ns = min(max(seconds * _NANO + nanos, 0), _LAST_SECOND * _NANO)
        oldest, newest = min(oldest, time_ns), max(newest, time_ns)
        rest[:0] = encode_timestamp(time_ns)
        out += b"\x12" + varint(len(rest)) + rest
    return bytes(out), oldest, newest


def _timestamp(message: bytes, at: int, stop: int) -> tuple[int, int]:
    seconds = nanos = 0
    while at < stop:
        tag, at = read_varint(message, at)
        if tag == 8:
            seconds = _signed(read_varint(message, at)[0])
        elif tag == 16:
            nanos = _signed(read_varint(message, at)[0])
        at = _behind(message, at, tag)
    return seconds, nanos


def _behind(message: bytes | bytearray, at: int, tag: int) -> int:
    """Return where the field ends whose content begins at `at`."""
    kind = tag & 7
    if kind == 2:
        size, at = read_varint(message, at)
        return at + size
    if kind == 0:
        return read_varint(message, at)[1]
    return at + (8 if kind == 1 else 4)


def read_varint(message: bytes | bytearray, at: int) -> tuple[int, int]:
    """Return the number at `at`, and where it ends. Raise IndexError where the message ends within."""
    byte = message[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = message[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at + 1
        shift += 7
        if shift > 63:
            raise IndexError("a number that does not end")


def _signed(value: int) -> int:
    return value - 2**64 if value >> 63 else value


def encode_timestamp(time_ns: int) -> bytes:
    """Return the timestamp field of an entry; `time_ns` is not negative."""
    seconds, nanos = divmod(time_ns, _NANO)
    inner = (b"\x08" + varint(seconds) if seconds else b"") + (b"\x10" + varint(nanos) if nanos else b"")
    return b"\x0a" + varint(len(inner)) + inner


def encode_entry(time_ns: int, line: bytes, metadata: bytes) -> bytes:
    """Return an `entries` field; `metadata` are its encoded pairs (hot.encode_pair)."""
    entry = encode_timestamp(time_ns) + b"\x12" + varint(len(line)) + line + metadata
    return b"\x12" + varint(len(entry)) + entry


def add_metadata(entries: bytes, pairs: bytes) -> bytes:
    """Return the `entries` fields with encoded pairs of metadata (hot.encode_pair) added to each."""
    out = bytearray()
    more = len(pairs)
    at = 0
    while at < len(entries):
        at, stop = _entry(entries, at)
        out += b"\x12" + varint(stop - at + more)
        out += entries[at:stop]
        out += pairs
        at = stop
    return bytes(out)


def first_end(entries: bytes) -> int:
    """Return where the first of the `entries` fields ends."""
    return _entry(entries, 0)[1]


def chunks(entries: bytes, max_size: int, max_count: int) -> Iterator[SplitStream]:
    """Yield the `entries` fields in runs of at most so many bytes and entries; one that is larger comes alone."""
    at = start = count = 0
    while at < len(entries):
        _, stop = _entry(entries, at)
        if count and (stop - start > max_size or count >= max_count):
            yield _chunk(entries[start:at], count)
            start, count = at, 0
        count += 1
        at = stop
    if count:
        yield _chunk(entries[start:], count)


def _chunk(entries: bytes, count: int) -> SplitStream:
    oldest, newest, _ = _scan_wrapped(bytearray(_WRAP) + entries)
    return SplitStream(b"", entries, count, oldest, newest)


def shortened(entry: bytes, size: int) -> tuple[int, bytes, bytes]:
    """Timestamp, the first `size` bytes of the line, and the encoded metadata of one `entries` field.

    Metadata of more than `size` bytes is left out.
    """
    at, stop = _entry(entry, 0)
    seconds = nanos = 0
    line = metadata = b""
    while at < stop:
        start = at
        tag, at = read_varint(entry, at)
        content = at
        at = _behind(entry, at, tag)
        if tag == _TIMESTAMP:
            seconds, nanos = _timestamp(entry, read_varint(entry, content)[1], at)
        elif tag == _LINE:
            content = read_varint(entry, content)[1]
            line = entry[content : min(at, content + size)]
        elif tag == _METADATA and len(metadata) + at - start <= size:
            metadata += entry[start:at]
    return seconds * _NANO + nanos, line, metadata


def _entry(entries: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the `entries` field at `at` begins and ends."""
    if entries[at + 1] < 0x80 and entries[at] == _ENTRIES:
        return at + 2, at + 2 + entries[at + 1]
    _, at = read_varint(entries, at)
    size, at = read_varint(entries, at)
    return at, at + size
