"""Loki's push format: a PushRequest in protobuf, read and written field by field.

Pure functions over bytes, without a protobuf library; the reference for the compiled scan in
`hot/`, which is used where it is there. Neither compression nor what Loki accepts is known here.
Source: grafana/loki pkg/push/push.proto: PushRequest.streams=1 {labels=1, entries=2 {timestamp=1
{seconds=1, nanos=2}, line=2, structuredMetadata=3 {name=1, value=2}}}.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, cast

import msgspec

from appliance.relay import hot
from appliance.relay.loki.label_syntax import LabelSyntaxError, parse_labels

_STREAM = _LABELS = _TIMESTAMP = _NAME = 0x0A  # field 1, length-delimited
_ENTRIES = _LINE = _VALUE = 0x12  # field 2, length-delimited
_METADATA = 0x1A  # field 3, length-delimited
_SECONDS, _NANOS = 0x08, 0x10  # fields 1 and 2, varint
_SURROGATES = "surrogateescape"  # what is no UTF-8 comes through unharmed


class MalformedPush(ValueError):
    """The bytes are not a PushRequest; the message says where it breaks."""


class StreamPart(NamedTuple):
    """One `streams` field of a PushRequest."""

    labels: str
    """As it stands in the push, such as `{host="a", job="syslog"}`."""
    offset: int
    length: int
    """Of the whole field in the uncompressed push, tag and length included."""
    entries: int
    oldest_ns: int
    newest_ns: int
    """Unix nanoseconds; 0 for an entry without timestamp."""


class Entry(NamedTuple):
    """One log line; `metadata` as pairs in the order they came."""

    timestamp_ns: int
    line: bytes
    metadata: tuple[tuple[str, str], ...] = ()


# ---- reading -----------------------------------------------------------------------------------


def scan(body: bytes) -> list[StreamPart]:
    """Return the streams of a push, in order. Raise MalformedPush."""
    found = _compiled(body) if _compiled is not None else None
    # The compiled scan says only that it does not understand; the plain one says why.
    return scan_plain(body) if found is None else list(map(_as_part, found))


def scan_streams(body: bytes | bytearray, size: int = -1) -> hot.BatchStreams:
    """Return what `scan` does, without an object for each stream. Raise MalformedPush.

    `size` are the bytes of the push, if `body` has more behind it.
    """
    found = hot.scan_push(body, False, size) if _compiled is not None else None
    return hot.batch_streams(scan_plain(bytes(body[:size] if size >= 0 else body)) if found is None else found)


def list_parts(streams: hot.BatchStreams) -> list[StreamPart]:
    """Return the streams of a push as values."""
    return list(map(_as_part, streams.parts()))


# `StreamPart._make` without its detour through Python: a large push has thousands of parts.
_as_part = cast(Callable[[tuple[str, int, int, int, int, int]], StreamPart], partial(tuple.__new__, StreamPart))
_compiled: Callable[[bytes], list[tuple[str, int, int, int, int, int]] | None] | None = (
    hot.scan_push if hot.compiled() else None
)


def scan_plain(body: bytes) -> list[StreamPart]:
    """Return what `scan` does, in plain Python. Raise MalformedPush."""
    parts = []
    for tag, field, start, end in _fields(body, 0, len(body)):
        if tag != _STREAM:
            continue
        labels, entries, oldest, newest = b"", 0, 0, 0
        for inner, _, first, last in _fields(body, start, end):
            if inner == _LABELS:
                labels = body[first:last]
            elif inner == _ENTRIES:
                stamp = _entry_timestamp(body, first, last)
                oldest = stamp if not entries or stamp < oldest else oldest
                newest = stamp if not entries or stamp > newest else newest
                entries += 1
        parts.append(StreamPart(labels.decode("utf-8", "replace"), field, end - field, entries, oldest, newest))
    return parts


def entries_of(body: bytes, part: StreamPart) -> list[Entry]:
    """Return the entries of one part, in order. Raise MalformedPush."""
    _, start = _varint(body, part.offset + 1, len(body))
    return [
        _entry(body, first, last)
        for tag, _, first, last in _fields(body, start, part.offset + part.length)
        if tag == _ENTRIES
    ]


class RawEntry(NamedTuple):
    """One entry of a part as it is encoded, of which only the timestamp is known."""

    timestamp_ns: int
    field: bytes
    """The whole field, tag and length included."""
    rest: bytes | None
    """What follows the timestamp, line and metadata; None if that does not come first."""

    def decoded(self) -> Entry:
        """Return the entry. Raise MalformedPush."""
        _, _, first, last = next(_fields(self.field, 0, len(self.field)))
        return _entry(self.field, first, last)

    def restamped(self, timestamp_ns: int, more: Iterable[tuple[str, str]]) -> bytes:
        """Return the field with another timestamp, and pairs added to its metadata; `rest` must be known."""
        assert self.rest is not None
        return _bytes_field(_ENTRIES, _encode_timestamp(timestamp_ns) + self.rest + _encode_metadata(more))


def raw_entries(body: bytes, part: StreamPart) -> Iterator[RawEntry]:
    """Yield the entries of one part, in order, undecoded. Raise MalformedPush."""
    _, start = _varint(body, part.offset + 1, len(body))
    for tag, field, first, last in _fields(body, start, part.offset + part.length):
        if tag == _ENTRIES:
            # The length of a timestamp is a number below 128.
            behind = first + 2 + body[first + 1] if last - first > 1 and body[first] == _TIMESTAMP else last + 1
            rest = body[behind:last] if behind <= last else None
            yield RawEntry(_entry_timestamp(body, first, last), body[field:last], rest)


def longest_entry(body: bytes, part: StreamPart) -> int:
    """Return bytes of the longest entry of a part, metadata included; cheaper than decoding them."""
    _, start = _varint(body, part.offset + 1, len(body))
    fields = _fields(body, start, part.offset + part.length)
    return max((last - first for tag, _, first, last in fields if tag == _ENTRIES), default=0)


def _entry_timestamp(body: bytes, start: int, end: int) -> int:
    stamp = 0
    for tag, _, first, last in _fields(body, start, end):
        if tag == _TIMESTAMP:
            stamp = _timestamp(body, first, last)
    return stamp


def _entry(body: bytes, start: int, end: int) -> Entry:
    stamp, line, metadata = 0, b"", []
    for tag, _, first, last in _fields(body, start, end):
        if tag == _TIMESTAMP:
            stamp = _timestamp(body, first, last)
        elif tag == _LINE:
            line = body[first:last]
        elif tag == _METADATA:
            metadata.append(_pair(body, first, last))
    return Entry(stamp, line, tuple(metadata))


def _timestamp(body: bytes, start: int, end: int) -> int:
    seconds = nanos = 0
    for tag, _, value, _ in _fields(body, start, end):
        if tag == _SECONDS:
            seconds = _signed(value)
        elif tag == _NANOS:
            nanos = _signed(value)
    return seconds * 1_000_000_000 + nanos


def _pair(body: bytes, start: int, end: int) -> tuple[str, str]:
    name = value = b""
    for tag, _, first, last in _fields(body, start, end):
        if tag == _NAME:
            name = body[first:last]
        elif tag == _VALUE:
            value = body[first:last]
    return name.decode("utf-8", _SURROGATES), value.decode("utf-8", _SURROGATES)


def _fields(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(tag, where the field starts, where its content starts, where it ends); a varint's value stands
    in place of its start."""
    while at < end:
        field = at
        tag, at = _varint(body, at, end)
        wire = tag & 7
        if wire == 2:
            size, at = _varint(body, at, end)
            if size > end - at:
                raise MalformedPush(f"a field at byte {field} is longer than what holds it")
            yield tag, field, at, at + size
            at += size
        elif wire == 0:
            value, at = _varint(body, at, end)
            yield tag, field, value, at
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
            if at > end:
                raise MalformedPush(f"a field at byte {field} is longer than what holds it")
        else:
            raise MalformedPush(f"byte {field} starts no known kind of field")
        if tag >> 3 == 0:
            raise MalformedPush(f"byte {field} starts a field numbered 0")


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    start = at
    while at < end:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, at
        shift += 7
        if shift > 63:
            break
    raise MalformedPush(f"byte {start} starts a number that does not end")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


# ---- writing -----------------------------------------------------------------------------------


def encode_stream(labels: str, entries: Iterable[Entry]) -> bytes:
    """Return one `streams` field; streams put one after the other are a PushRequest."""
    return encode_raw(labels, map(encode_entry, entries))


def encode_raw(labels: str, entries: Iterable[bytes | memoryview]) -> bytes:
    """Return one `streams` field with entries that are encoded already."""
    content = [b"", _bytes_field(_LABELS, labels.encode("utf-8", _SURROGATES)), *entries]
    content[0] = bytes((_STREAM,)) + _number(sum(map(len, content)))
    return b"".join(content)


def encode_entry(entry: Entry) -> bytes:
    """Return one `entries` field."""
    return _bytes_field(_ENTRIES, _encode_entry(entry))


def _encode_entry(entry: Entry) -> bytes:
    line = _bytes_field(_LINE, entry.line) if entry.line else b""
    return _encode_timestamp(entry.timestamp_ns) + line + _encode_metadata(entry.metadata)


def _encode_timestamp(timestamp_ns: int) -> bytes:
    seconds, nanos = divmod(timestamp_ns, 1_000_000_000)
    stamp = (b"\x08" + _number(seconds) if seconds else b"") + (b"\x10" + _number(nanos) if nanos else b"")
    return _bytes_field(_TIMESTAMP, stamp)


def _encode_metadata(pairs: Iterable[tuple[str, str]]) -> bytes:
    encoded = b""
    for name, value in pairs:
        pair = _bytes_field(_NAME, name.encode("utf-8", _SURROGATES))
        pair += _bytes_field(_VALUE, value.encode("utf-8", _SURROGATES))
        encoded += _bytes_field(_METADATA, pair)
    return encoded


def _bytes_field(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + _number(len(content)) + content


def _number(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def select(body: bytes, parts: Iterable[StreamPart]) -> bytes:
    """Return a PushRequest of these parts of a push, in the order given."""
    view = memoryview(body)
    return b"".join([view[part.offset : part.offset + part.length] for part in parts])


def merge(labels: str, bodies: Iterable[tuple[bytes, StreamPart]]) -> bytes:
    """Return one `streams` field with the entries of several parts, in order, under the labels."""
    return encode_raw(labels, [run for body, part in bodies for run in _runs(body, part, 0, part.entries)])


def halves(body: bytes, part: StreamPart) -> tuple[bytes, bytes] | None:
    """The part as two streams fields with half of its entries each; None if it has but one."""
    if part.entries < 2:
        return None
    middle = part.entries // 2
    first, second = _runs(body, part, 0, middle), _runs(body, part, middle, part.entries)
    return encode_raw(part.labels, first), encode_raw(part.labels, second)


def _runs(body: bytes, part: StreamPart, begin: int, end: int) -> Iterator[memoryview]:
    """The entries of a part from one number to before another, as few pieces: there may be a million of two bytes."""
    view = memoryview(body)
    _, start = _varint(body, part.offset + 1, len(body))
    number, run, behind = 0, 0, -1
    for tag, field, _, last in _fields(body, start, part.offset + part.length):
        if tag != _ENTRIES:
            continue
        if begin <= number < end:
            if field != behind:
                if behind >= 0:
                    yield view[run:behind]
                run = field
            behind = last
        number += 1
    if behind >= 0:
        yield view[run:behind]


# ---- JSON --------------------------------------------------------------------------------------


def encode_json(body: bytes, parts: Sequence[StreamPart]) -> bytes:
    """Return the parts as Loki's JSON push. What is no UTF-8 becomes U+FFFD, as Loki itself would make it.

    A stream whose labels cannot be parsed is sent with them whole in a label `unparsed`.
    """
    streams = []
    for part in parts:
        try:
            labels = parse_labels(part.labels)
        except LabelSyntaxError:
            labels = {"unparsed": part.labels[:1024]}
        values: list[tuple[object, ...]] = []
        for entry in entries_of(body, part):
            line = entry.line.decode("utf-8", "replace")
            stamp = str(entry.timestamp_ns)
            if entry.metadata:
                values.append((stamp, line, {_clean(name): _clean(value) for name, value in entry.metadata}))
            else:
                values.append((stamp, line))
        streams.append({"stream": labels, "values": values})
    return msgspec.json.encode({"streams": streams})


def _clean(text: str) -> str:
    return text.encode("utf-8", _SURROGATES).decode("utf-8", "replace")
