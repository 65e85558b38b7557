"""Content-Encoding of a push undone within bounds: gzip, deflate, and snappy's block format.

What comes out is bounded by the limit on bodies, and by a multiple of what came in, so that a few
kilobytes cannot keep the relay busy with megabytes. What is inside is not known here.
"""

import zlib

import cramjam

from appliance.relay.listen.push_refused import PushRefused, too_large

Body = bytes | bytearray

_GZIP_MEMBERS = 1000
# Logs shrink to a tenth; one line repeated shrinks to a hundredth, its timestamps being different.
_RATIO = 100
_JSON_TIMES = 4  # bytes of objects for each of a JSON body
_ALWAYS = 4 * 2**20  # bytes that may come out of however little


def decompress(body: Body, content_encoding: str, limit: int) -> Body:
    """Return the body as it was before Content-Encoding. Raise PushRefused.

    `snappy` is left alone: it is part of the protobuf encoding and undone by `unsnap`.
    """
    if content_encoding in ("", "identity", "snappy"):
        return body
    limit = min(limit, _ALWAYS + _RATIO * len(body)) if len(body) else limit
    if content_encoding == "gzip":
        return _gunzip(body, limit)
    if content_encoding == "deflate":
        # RFC 9110 means zlib's wrapping by it, Go and Loki the bare stream. Both come.
        wrapped = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
        return _inflate(body, 15 if wrapped else -15, limit)
    raise PushRefused(400, f'Content-Encoding "{content_encoding[:100]}" not supported', "content_encoding")


def expected_size(body: Body, media_type: str, content_encoding: str, limit: int) -> int:
    """About how many bytes of memory decoding will take; nothing is decompressed for it."""
    size = 10 * len(body) if content_encoding in ("gzip", "deflate") else len(body)
    if media_type == "application/json":
        return min(size, limit) * _JSON_TIMES
    # A body that is no snappy block announces anything.
    return min(max(size, min(announced(body), 30 * len(body))), limit)


def _gunzip(body: Body, limit: int) -> bytearray:
    """Return all members of a gzip stream; `limit` holds for what comes out of them together."""
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
            return out
    raise PushRefused(400, f"gzip: more than {_GZIP_MEMBERS} members", "compression")


def _inflate(body: Body, window: int, limit: int) -> bytes:
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


def unsnap(body: Body, limit: int) -> bytearray:
    """Return what is in a snappy block. Raise PushRefused."""
    size = announced(body)
    if size > limit:
        raise too_large(limit)
    if size < 0 or size > 64 * len(body):  # a block of three bytes says 64 at most
        raise PushRefused(400, "snappy: corrupt input", "compression")
    out = bytearray(size)
    try:
        written = cramjam.snappy.decompress_raw_into(body, out)
    except cramjam.DecompressionError:
        raise PushRefused(400, "snappy: corrupt input", "compression") from None
    if written != size:
        raise PushRefused(400, "snappy: corrupt input", "compression")
    return out


def announced(body: Body) -> int:
    """Return the size a snappy block says it has uncompressed; -1 when it says none."""
    value = 0
    for position, byte in enumerate(body[:5]):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value if value < 2**32 else -1
    return -1
