"""A PushRequest from outside, taken apart into streams whose entries stay the bytes they are.

Every nested message is walked, as one that Loki cannot decode would make it refuse the whole batch
it ended up in: by the compiled scan for what every known client sends, by plain Python for streams
put together otherwise. Labels are not parsed here.
Source: loki/pkg/push/push.proto, protobuf.dev/programming-guides/encoding.
"""

from appliance.relay.hot import scan_push, varint

_NANO = 1_000_000_000
_LAST_SECOND = 9223372035  # the last second whose every nanosecond fits into an int64
_LABELS, _ENTRIES = 10, 18  # tags in a stream
_TIMESTAMP = 10  # tag in an entry


class MalformedPushRequest(ValueError):
    """Bytes that are not a PushRequest."""


class TooManyStreams(ValueError):
    """A push with more streams than are taken at once: two bytes each, unpacked, would fill the memory."""


def split_push(body: bytes, max_streams: int) -> list[tuple[bytes, bytes, int, int, int]]:
    """The streams of a PushRequest as (labels, entries, count, oldest ns, newest ns), in order.

    `entries` is the concatenation of the stream's `entries` fields with their tags. A time stamp
    that does not fit into int64 nanoseconds is replaced by the nearest that does. Raises
    MalformedPushRequest or TooManyStreams.
    """
    if body.count(b"\n") > max_streams and _streams(body, max_streams) > max_streams:
        raise TooManyStreams(f"more than {max_streams} streams in one push")
    found = scan_push(body, True)
    if found is None:
        raise MalformedPushRequest("proto: PushRequest cannot be decoded")
    return [
        (labels.encode(errors="surrogateescape"), body[plain : offset + length], count, oldest, newest)
        if plain
        else _closely(body[offset : offset + length])
        for labels, offset, length, count, oldest, newest, plain in found
    ]


def _streams(body: bytes, enough: int) -> int:
    """How many streams a push has, as far as it can be walked; stops counting above `enough`."""
    at = count = 0
    try:
        while at < len(body) and count <= enough:
            tag, at = _read(body, at)
            if tag & 7 == 2:
                size, at = _read(body, at)
                at += size
            elif tag & 7 == 0:
                at = _read(body, at)[1]
            else:
                at += 8 if tag & 7 == 1 else 4
            count += tag == _LABELS
    except IndexError:
        pass  # the scan says that it is malformed
    return count


def _closely(field: bytes) -> tuple[bytes, bytes, int, int, int]:
    """One `streams` field, walked before, in which labels, entries and unknown fields stand anyhow."""
    labels = b""
    entries: list[bytes] = []
    stamps: list[int] = []
    [(_, stream)] = _fields(field)
    for tag, value in _fields(stream):
        if tag == _LABELS:
            labels = value
        elif tag == _ENTRIES:
            stamp, entry = _rebuild(value)
            stamps.append(stamp)
            entries.append(entry)
    return labels, b"".join(entries), len(entries), min(stamps, default=0), max(stamps, default=0)


def _rebuild(entry: bytes) -> tuple[int, bytes]:
    """The time of an entry, and its field with a time that int64 nanoseconds can say."""
    seconds = nanos = 0
    rest = b""
    for tag, value in _fields(entry):
        if tag == _TIMESTAMP:
            stamp = dict(_fields(value))
            seconds, nanos = _signed(stamp.get(8, b"")), _signed(stamp.get(16, b""))
        else:
            rest += varint(tag) + (varint(len(value)) if tag & 7 == 2 else b"") + value
    time_ns = min(max(seconds * _NANO + nanos, 0), _LAST_SECOND * _NANO)
    rebuilt = encode_timestamp(time_ns) + rest
    return time_ns, b"\x12" + varint(len(rebuilt)) + rebuilt


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
