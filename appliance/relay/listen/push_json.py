"""JSON bodies of Loki's push API, of today and of old, to encoded streams.

Today: `{"streams": [{"stream": {…}, "values": [["<ns>", "line", {…}]]}]}`. Old, of /api/prom/push:
`{"streams": [{"labels": "{…}", "entries": [{"ts": "<RFC 3339>", "line": "…"}]}]}`. Either is taken
wherever it comes. Metadata that is no text is kept as its JSON.
Source: loki/pkg/loghttp/query.go, loki/pkg/util/unmarshal/legacy.
"""

import codecs
import re

import msgspec
from msgspec import UNSET, UnsetType

from appliance.relay.hot import encode_pair, parse_timestamp
from appliance.relay.listen.push_compression import Body
from appliance.relay.listen.push_proto import PushedStream, encode_entry
from appliance.relay.listen.push_refused import PushRefused, too_large
from appliance.relay.loki.label_syntax import LabelSyntaxError, format_labels, parse_labels

_LATEST = 2**63 - 1  # nanoseconds
_ENTRIES = 200_000  # in one push; each is an object of some 200 bytes while it is decoded
_ENTRY = re.compile(rb'\[\s*"|"ts"')  # how an entry begins; within a string a quote stands after a backslash
_ENTRY_HINT = 2 * 2**20  # bytes of a body below which entries need not be counted beforehand
_VALUES = 1_000_000  # arrays and objects, roughly: brackets within lines count as well


class _Entry(msgspec.Struct, array_like=True, gc=False):
    """`["<ns>", "line", {metadata}]`; what stands after is passed over, as Loki does."""

    timestamp: str
    line: str = ""
    # Decoded one at a time: a body of many tiny mappings must not become as many dicts at once.
    metadata: msgspec.Raw = msgspec.Raw()


class _OldEntry(msgspec.Struct, gc=False):
    ts: str
    line: str = ""


class _Stream(msgspec.Struct):
    stream: dict[str, str] = {}
    values: list[_Entry | None] | UnsetType | None = UNSET
    labels: str = ""
    entries: list[_OldEntry | None] | UnsetType | None = UNSET


class _Push(msgspec.Struct):
    streams: list[_Stream] | None = None


_json = msgspec.json.Decoder(_Push)
_metadata = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)


def from_json(body: Body, limit: int, max_streams: int) -> list[PushedStream]:
    """Return the streams of a JSON push, in order. Raise PushRefused."""
    if len(body) > _ENTRY_HINT:
        if body.count(b"[") + body.count(b"{") > _VALUES:
            raise PushRefused(413, f"more than {_VALUES} values in one push", "too_large")
        # A line that ends with a bracket looks like the beginning of an entry, too: hence twice.
        if sum(1 for _ in _ENTRY.finditer(body)) > 2 * _ENTRIES:
            raise PushRefused(413, f"more than {_ENTRIES} entries in one push", "too_large")
    try:
        try:
            push = _json.decode(body)
        except UnicodeDecodeError:
            # Loki stores such lines; what is no UTF-8 becomes U+FFFD.
            push = _json.decode(_as_utf8(body, limit))
        streams = push.streams or []
        if len(streams) > max_streams:
            raise PushRefused(413, f"more than {max_streams} streams in one push", "too_large")
        if sum(len(stream.values or ()) + len(stream.entries or ()) for stream in streams) > _ENTRIES:
            raise PushRefused(413, f"more than {_ENTRIES} entries in one push", "too_large")
        return [_stream(stream, number) for number, stream in enumerate(streams)]
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise PushRefused(400, f"loghttp.PushRequest.Streams: {error}", "json") from None


def _as_utf8(body: Body, limit: int) -> bytearray:
    """Return the body with U+FFFD for what is no UTF-8, which may make it three times as long."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    out = bytearray()
    for at in range(0, len(body), 65536):
        out += decoder.decode(bytes(body[at : at + 65536]), at + 65536 >= len(body)).encode()
        if len(out) > limit:
            raise too_large(limit)
    return out


def _stream(stream: _Stream, number: int) -> PushedStream:
    if stream.values is UNSET and stream.entries is UNSET:
        raise ValueError(f"stream {number} has neither values nor entries")
    try:
        labels = parse_labels(format_labels(stream.stream))
        if stream.labels:
            labels = {**parse_labels(stream.labels), **labels}
        canonical = format_labels(labels)
    except LabelSyntaxError as error:
        raise PushRefused(400, f"couldn't parse labels: {error}", "labels") from None
    pieces = bytearray()
    count, oldest, newest = 0, _LATEST, 0
    for entry in stream.values or ():
        if entry is not None:
            stamp = _nanoseconds(entry.timestamp)
            oldest, newest, count = min(oldest, stamp), max(newest, stamp), count + 1
            pieces += encode_entry(stamp, entry.line.encode(), _pairs(bytes(entry.metadata)))
    for old in stream.entries or ():
        if old is not None:
            stamp = _moment(old.ts)
            oldest, newest, count = min(oldest, stamp), max(newest, stamp), count + 1
            pieces += encode_entry(stamp, old.line.encode(), b"")
    return PushedStream(canonical, bytes(pieces), count, oldest if count else 0, newest)


def _pairs(metadata: bytes) -> bytes:
    if not metadata or metadata == b"null":
        return b""
    pairs = _metadata.decode(metadata)
    texts = ((name.encode(), bytes(raw)) for name, raw in pairs.items())
    return b"".join([encode_pair(name, _value(raw)) for name, raw in texts if raw != b"null"])


def _value(raw: bytes) -> bytes:
    """Return a value of metadata as text: of a number, a boolean or something nested, its JSON."""
    if raw[:1] == b'"':
        return _text.decode(raw).encode()
    return bytes(msgspec.json.format(raw, indent=-1)) if raw[:1] in (b"{", b"[") else raw


def _nanoseconds(text: str) -> int:
    digits = text[1:] if text.startswith("-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("Value is not a number of nanoseconds")
    if len(digits) > 19 or int(digits) > _LATEST:
        raise ValueError("Value is number, but overflowed while parsing")
    return max(0, int(text))


def _moment(text: str) -> int:
    """RFC 3339, or a number of nanoseconds."""
    stamp: int = parse_timestamp(text.encode())
    return stamp if stamp >= 0 else _nanoseconds(text)
