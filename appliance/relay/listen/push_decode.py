"""The body of a push, from the wire to streams: compression, protobuf or JSON, labels.

Functions over bytes; what is wrong is raised as `PushRefused` with the status and the words Loki
would use. Limits on lines, labels and rates are the sender's; durability is the intake's.
Source: loki/pkg/loghttp/push/push.go, pkg/loghttp/query.go, and answers of a real Loki.
"""

import zlib

import cramjam
import msgspec

from appliance.relay.hot import encode_pair
from appliance.relay.listen.intake import PushedStream
from appliance.relay.listen.push_proto import MalformedPushRequest, TooManyStreams, encode_entry, split_push
from appliance.relay.loki.label_syntax import LabelSyntaxError, format_labels, parse_labels

_LATEST = 2**63 - 1  # nanoseconds
_GZIP_MEMBERS = 1000
_LABELS_KEPT = 4096  # canonical forms remembered
_STREAMS = 20_000  # in one push; Loki takes 5,000 of a tenant
# Arrays and objects of a JSON body, each of which takes some 130 bytes once decoded. Counted in
# larger bodies only, and roughly: brackets within lines count as well.
_JSON_VALUES = 1_000_000
_JSON_COUNTED = 2 * 2**20


class PushRefused(Exception):
    """The push is answered with this status and text; nothing of it is stored."""

    def __init__(self, status: int, text: str, reason: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.reason = reason  # for the counter: a word of a closed set


class _Entry(msgspec.Struct, array_like=True, gc=False):
    """`["<ns>", "line", {metadata}]`; what stands after is passed over, as Loki does."""

    timestamp: str
    line: str = ""
    # Decoded one at a time: a body of many tiny mappings must not become as many dicts at once.
    metadata: msgspec.Raw = msgspec.Raw()


class _Stream(msgspec.Struct):
    stream: dict[str, str] = {}
    values: list[_Entry | None] | None = None


class _Push(msgspec.Struct):
    streams: list[_Stream] | None = None


_json = msgspec.json.Decoder(_Push)
_json_metadata = msgspec.json.Decoder(dict[str, str])
_canonical: dict[bytes, str] = {}


def decode_push(body: bytes, content_type: str, content_encoding: str, limit: int) -> list[PushedStream]:
    """The streams that have entries, in order, with canonical labels. Raise PushRefused.

    `limit` bounds the bytes before and after decompression.
    """
    body = _decompress(body, content_encoding, limit)
    media_type = content_type.partition(";")[0].strip().lower()
    if not media_type:
        raise PushRefused(400, "mime: no media type", "content_type")
    # Loki takes everything that is not JSON for protobuf.
    streams = _from_json(body) if media_type == "application/json" else _from_protobuf(body, limit)
    if not streams:
        raise PushRefused(422, "error at least one valid stream is required for ingestion", "no_streams")
    return [stream for stream in streams if stream.count]


# ---- compression -----------------------------------------------------------------------------


def _decompress(body: bytes, content_encoding: str, limit: int) -> bytes:
    if content_encoding in ("", "snappy"):  # snappy is part of the protobuf encoding and undone there
        return body
    if content_encoding == "gzip":
        return _gunzip(body, limit)
    if content_encoding == "deflate":
        # RFC 9110 means zlib's wrapping by it, Go and Loki the bare stream. Both come.
        wrapped = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
        return _inflate(body, 15 if wrapped else -15, limit)
    raise PushRefused(400, f'Content-Encoding "{content_encoding[:100]}" not supported', "content_encoding")


def _gunzip(body: bytes, limit: int) -> bytes:
    """All members of a gzip stream; `limit` holds for what comes out of them together."""
    out = bytearray()
    view = memoryview(body)
    if not view:
        raise PushRefused(400, "EOF", "compression")
    for _ in range(_GZIP_MEMBERS):
        inflater = zlib.decompressobj(31)
        while not inflater.eof:
            if not view:
                raise PushRefused(400, "unexpected EOF", "compression")
            chunk = view[:65536]  # unused_data copies what is left of a chunk: keep that small
            try:
                out += inflater.decompress(chunk, limit + 1 - len(out))
            except zlib.error:
                raise PushRefused(400, "gzip: invalid header or checksum", "compression") from None
            if len(out) > limit:
                raise too_large(limit)
            view = view[len(chunk) - len(inflater.unused_data) - len(inflater.unconsumed_tail) :]
        if not view:
            return bytes(out)
    raise PushRefused(400, f"gzip: more than {_GZIP_MEMBERS} members", "compression")


def _inflate(body: bytes, window: int, limit: int) -> bytes:
    inflater = zlib.decompressobj(window)
    try:
        out = inflater.decompress(body, limit + 1)
    except zlib.error:
        raise PushRefused(400, "flate: corrupt input", "compression") from None
    if len(out) > limit:
        raise too_large(limit)
    if not inflater.eof:
        raise PushRefused(400, "unexpected EOF", "compression")
    return out


def too_large(limit: int) -> PushRefused:
    return PushRefused(413, f"the body is larger than {limit} bytes", "too_large")


def _announced(body: bytes) -> int:
    """The size a snappy block says it has uncompressed; -1 when it says none."""
    value = 0
    for position, byte in enumerate(body[:5]):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value if value < 2**32 else -1
    return -1


# ---- protobuf ----------------------------------------------------------------------------------


def _from_protobuf(body: bytes, limit: int) -> list[PushedStream]:
    announced = _announced(body)
    if announced > limit:
        raise too_large(limit)
    try:
        if announced < 0:
            raise PushRefused(400, "snappy: corrupt input", "compression")
        raw = bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError:
        raise PushRefused(400, "snappy: corrupt input", "compression") from None
    try:
        parts = split_push(raw, _STREAMS)
    except TooManyStreams as error:
        raise PushRefused(413, str(error), "too_large") from None
    except MalformedPushRequest as error:
        raise PushRefused(400, str(error), "protobuf") from None
    return [PushedStream(_labels(part[0]), part[1], part[2], part[3], part[4]) for part in parts]


def _labels(written: bytes) -> str:
    known = _canonical.get(written)
    if known is not None:
        return known
    try:
        canonical = format_labels(parse_labels(written.decode("utf-8"))) if written else "{}"
    except UnicodeDecodeError:
        raise PushRefused(400, "couldn't parse labels: invalid UTF-8", "labels") from None
    except LabelSyntaxError as error:
        raise PushRefused(400, f"couldn't parse labels: {error}", "labels") from None
    if len(_canonical) >= _LABELS_KEPT:
        _canonical.clear()
    if len(written) <= 1024:
        _canonical[written] = canonical
    return canonical


# ---- JSON --------------------------------------------------------------------------------------


def _from_json(body: bytes) -> list[PushedStream]:
    if len(body) > _JSON_COUNTED and body.count(b"[") + body.count(b"{") > _JSON_VALUES:
        raise PushRefused(413, f"more than {_JSON_VALUES} values in one push", "too_large")
    try:
        try:
            push = _json.decode(body)
        except UnicodeDecodeError:
            # Loki stores such lines; what is no UTF-8 becomes U+FFFD.
            push = _json.decode(body.decode("utf-8", "replace").encode())
        if push.streams and len(push.streams) > _STREAMS:
            raise PushRefused(413, f"more than {_STREAMS} streams in one push", "too_large")
        return [_json_stream(stream) for stream in push.streams or ()]
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise PushRefused(400, f"loghttp.PushRequest.Streams: {error}", "json") from None


def _json_stream(stream: _Stream) -> PushedStream:
    try:
        canonical = format_labels(parse_labels(format_labels(stream.stream)))
    except LabelSyntaxError as error:
        raise PushRefused(400, f"couldn't parse labels: {error}", "labels") from None
    pieces = []
    oldest, newest = _LATEST, 0
    for entry in stream.values or ():
        if entry is None:
            continue
        stamp = _nanoseconds(entry.timestamp)
        oldest = min(oldest, stamp)
        newest = max(newest, stamp)
        metadata = b""
        if bytes(entry.metadata):
            pairs = _json_metadata.decode(entry.metadata)
            metadata = b"".join([encode_pair(name.encode(), value.encode()) for name, value in pairs.items()])
        pieces.append(encode_entry(stamp, entry.line.encode(), metadata))
    return PushedStream(canonical, b"".join(pieces), len(pieces), oldest if pieces else 0, newest)


def _nanoseconds(text: str) -> int:
    digits = text[1:] if text.startswith("-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("Value is not a number of nanoseconds")
    if len(digits) > 19 or int(digits) > _LATEST:
        raise ValueError("Value is number, but overflowed while parsing")
    return max(0, int(text))
