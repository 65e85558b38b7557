"""The body of a push, from the wire to streams: compression, then protobuf, JSON or plain lines.

Functions over bytes; problems are raised as `PushRefused` with the status and the words Loki
would use. Time and memory are bounded by the body's size. Limits on lines, labels and rates are the
sender's; durability is the intake's.
Source: loki/pkg/loghttp/push/push.go, and answers of a real Loki.
"""

from appliance.relay.listen.push_compression import Body, decompress, unsnap
from appliance.relay.listen.push_json import from_json
from appliance.relay.listen.push_proto import (
    MalformedPushRequest,
    PushedStream,
    PushTooLarge,
    encode_entry,
    split_push,
)
from appliance.relay.listen.push_refused import PushRefused
from appliance.relay.loki.label_syntax import LabelSyntaxError, format_labels, parse_labels

__all__ = ["PushRefused", "decode_push", "decode_raw"]

_LABELS_KEPT = 4096  # canonical forms remembered
_STREAMS = 20_000  # in one push; Loki takes 5,000 of a tenant
_ENTRIES = 500_000  # in one push; none of them becomes an object
_LINES = 200_000  # in one push of plain lines
_LONGEST_LABELS = 64 * 1024  # bytes of a stream's labels; Loki's limits come to some 45,000

_canonical: dict[bytes, str] = {}


def decode_push(body: Body, content_type: str, content_encoding: str, limit: int) -> list[PushedStream]:
    """Return the streams that have entries, in order, with canonical labels. Raise PushRefused.

    `limit` bounds the bytes before and after decompression.
    """
    body = decompress(body, content_encoding, limit)
    media_type = content_type.partition(";")[0].strip().lower()
    if not media_type:
        raise PushRefused(400, "mime: no media type", "content_type")
    # Loki takes everything that is not JSON for protobuf.
    streams = from_json(body, limit, _STREAMS) if media_type == "application/json" else _from_protobuf(body, limit)
    if not streams:
        raise PushRefused(422, "error at least one valid stream is required for ingestion", "no_streams")
    for stream in streams:
        if len(stream.labels) > _LONGEST_LABELS:
            raise PushRefused(400, f"the labels of a stream are longer than {_LONGEST_LABELS} bytes", "labels")
    return [stream for stream in streams if stream.count]


def decode_raw(body: Body, content_encoding: str, limit: int, now_ns: int) -> list[PushedStream]:
    """Plain lines, each an entry of now, as Promtail takes them at /promtail/api/v1/raw. Raise PushRefused.

    Their order is kept by one nanosecond each. The stream's labels are for the caller to say.
    """
    body = decompress(body, content_encoding, limit)
    if body.count(b"\n") >= _LINES:
        raise PushRefused(413, f"more than {_LINES} lines in one push", "too_large")
    entries = bytearray()
    count = at = 0
    while at < len(body):
        stop = body.find(b"\n", at)
        stop = len(body) if stop < 0 else stop
        line = bytes(body[at:stop]).rstrip(b"\r")
        if line:
            entries += encode_entry(now_ns + count, line.decode("utf-8", "replace").encode(), b"")
            count += 1
        at = stop + 1
    return [PushedStream("{}", bytes(entries), count, now_ns, now_ns + count - 1)] if count else []


def _from_protobuf(body: Body, limit: int) -> list[PushedStream]:
    raw = unsnap(body, limit)
    del body
    try:
        parts = split_push(raw, _STREAMS, _ENTRIES)
    except PushTooLarge as error:
        raise PushRefused(413, str(error), "too_large") from None
    except MalformedPushRequest as error:
        raise PushRefused(400, str(error), "protobuf") from None
    return [PushedStream(_labels(part.labels), *part[1:]) for part in parts]


def _labels(written: bytes) -> str:
    known = _canonical.get(written)
    if known is not None:
        return known
    if len(written) > 2 * _LONGEST_LABELS:
        raise PushRefused(400, f"the labels of a stream are longer than {_LONGEST_LABELS} bytes", "labels")
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
