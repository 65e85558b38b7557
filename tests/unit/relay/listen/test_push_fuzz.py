"""Fuzzing of what takes pushes from the network: protobuf, JSON, lines, OTLP. Each body has a bound of memory and time.

`FUZZ_EXAMPLES` says how many bodies each test makes: some hundred by default, `FUZZ_EXAMPLES=300000` takes
about an hour. What is found becomes a test of its own beside the decoder.
"""

import gzip
import json
import os
import time
import tracemalloc
import zlib
from collections.abc import Callable

import cramjam
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.relay.listen.otlp import decode_otlp
from appliance.relay.listen.push_decode import decode_push, decode_raw
from appliance.relay.listen.push_proto import PushedStream
from appliance.relay.listen.push_refused import PushRefused
from appliance.relay.loki.label_syntax import format_labels, parse_labels
from tests.loki_double.proto import PushRequest

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
LIMIT = 2**20  # bytes of a body, unpacked
MEMORY = 40 * 2**20  # bytes that decoding may take at most
SECONDS = 20.0  # of processor time, traced
PROTO, JSON = "application/x-protobuf", "application/json"
fuzz = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))


def bounded(decode: Callable[[], list[PushedStream]]) -> None:
    """Decode within the bounds; what comes out is sound, what does not is refused."""
    tracemalloc.start()
    started = time.process_time()
    try:
        streams = decode()
    except PushRefused as refused:
        assert refused.status in (400, 413, 422)
        assert refused.text and refused.reason
        streams = []
    finally:
        seconds = time.process_time() - started
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MEMORY, peak
    assert seconds < SECONDS, seconds
    for stream in streams:
        assert format_labels(parse_labels(stream.labels)) == stream.labels
        assert stream.count > 0 and 0 <= stream.oldest_ns <= stream.newest_ns < 2**63
        if len(stream.entries) < 100_000:
            inner = b"\x0a\x02{}" + stream.entries
            push = PushRequest.FromString(b"\x0a" + varint(len(inner)) + inner)
            assert len(push.streams[0].entries) == stream.count


# ---- what bodies are made of ---------------------------------------------------------------------

SMALL = st.binary(max_size=12)
LABELS = st.sampled_from([b'{a="b"}', b"{}", b"", b'{a="b", c="\\""}', b"{a=}", b"\xff", b'{job="x"}' * 3])
NUMBERS = st.one_of(st.integers(1, 12), st.sampled_from([0, 15, 16, 1000, 2**29 - 1, 2**29]))


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def a_field(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.builds(message, NUMBERS, inner),
        st.builds(lambda n, v: varint(n << 3) + varint(v), NUMBERS, st.integers(0, 2**64 - 1)),
        st.builds(lambda n, v: varint(n << 3 | 1) + v, NUMBERS, st.binary(min_size=8, max_size=8)),
        st.builds(lambda n, v: varint(n << 3 | 5) + v, NUMBERS, st.binary(min_size=4, max_size=4)),
    )


TREES = st.recursive(
    st.one_of(SMALL, LABELS),
    lambda inner: st.builds(b"".join, st.lists(a_field(inner), max_size=5)),
    max_leaves=25,
)
MULTIPLIED = st.builds(
    lambda tree, piece, times, number: tree + message(number, piece * times),
    TREES, st.one_of(TREES, st.sampled_from([b"\x12\x00", b"\x0a\x00", b"\x12\x02\x0a\x00", b"\x18\x01"])),
    st.sampled_from([1, 2, 100, 20_000]), st.sampled_from([1, 2]),
).filter(lambda body: len(body) < LIMIT)  # fmt: skip
PROTOBUF = st.one_of(TREES, MULTIPLIED, st.builds(lambda body: message(1, message(1, b'{a="b"}') + body), MULTIPLIED))

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=6),
    st.sampled_from(["1", "1795000000000000000", "2026-11-27T06:30:01Z", '{a="b"}', "9223372036854775808"]),
)  # fmt: skip
KEYS = st.sampled_from([
    "streams", "stream", "values", "labels", "entries", "ts", "line", "resourceLogs", "resource", "attributes",
    "scopeLogs", "scope", "logRecords", "body", "key", "value", "stringValue", "intValue", "arrayValue", "kvlistValue",
    "bytesValue", "doubleValue", "boolValue", "timeUnixNano", "traceId", "severityNumber", "service.name", "x",
])  # fmt: skip
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.builds(lambda item: [item] * 30, inner),
    ),
    max_leaves=20,
)
LOKI_JSON = st.builds(
    lambda labels, values: {"streams": [{"stream": labels, "values": values}]},
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3),
    st.lists(st.lists(JSON_VALUES, max_size=4), max_size=4),
)
OTLP_JSON = st.builds(
    lambda attributes, records: {
        "resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [{"logRecords": records}]}]
    },
    st.lists(st.dictionaries(KEYS, JSON_VALUES, max_size=3), max_size=3),
    st.lists(st.dictionaries(KEYS, JSON_VALUES, max_size=5), max_size=3),
)


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


@st.composite
def damaged(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """A body with some of its bytes changed, and cut anywhere."""
    body = bytearray(draw(bodies))
    for _ in range(draw(st.integers(0, 3))):
        if body:
            body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body[: draw(st.integers(0, len(body)))]) if draw(st.booleans()) else bytes(body)


def packed(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "gzip":
            return gzip.compress(body)
        case "deflate":
            return zlib.compress(body)
    return body


ENCODINGS = st.sampled_from(["", "", "snappy", "gzip", "deflate", "identity", "br"])


# ---- the decoders --------------------------------------------------------------------------------


@fuzz
@given(damaged(PROTOBUF), ENCODINGS, st.booleans())
def test_protobuf_pushes(body: bytes, encoding: str, snappy: bool) -> None:
    block = bytes(cramjam.snappy.compress_raw(body)) if snappy else body
    bounded(lambda: decode_push(packed(block, encoding), PROTO, encoding, LIMIT))


@fuzz
@given(damaged(st.one_of(LOKI_JSON, JSON_VALUES).map(as_json)), ENCODINGS)
def test_json_pushes(body: bytes, encoding: str) -> None:
    bounded(lambda: decode_push(packed(body, encoding), JSON, encoding, LIMIT))


@fuzz
@given(st.binary(max_size=300), ENCODINGS)
def test_plain_lines(body: bytes, encoding: str) -> None:
    bounded(lambda: decode_raw(packed(body, encoding), encoding, LIMIT, time.time_ns()))


@fuzz
@given(damaged(PROTOBUF), ENCODINGS)
def test_otlp_protobuf(body: bytes, encoding: str) -> None:
    bounded(lambda: decode_otlp(packed(body, encoding), PROTO, encoding, LIMIT, time.time_ns()).streams)


@fuzz
@given(damaged(st.one_of(OTLP_JSON, JSON_VALUES).map(as_json)), ENCODINGS)
def test_otlp_json(body: bytes, encoding: str) -> None:
    bounded(lambda: decode_otlp(packed(body, encoding), JSON, encoding, LIMIT, time.time_ns()).streams)
