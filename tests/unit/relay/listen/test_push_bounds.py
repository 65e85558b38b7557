"""What a push costs is bounded by what it weighs, and every form that real clients send is taken."""

import gzip
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import cramjam
import pytest

from appliance.relay.listen.push_decode import PushRefused, decode_push, decode_raw
from appliance.relay.listen.push_proto import PushedStream, add_metadata, chunks, encode_entry, first_end
from tests.loki_double.proto import LabelPair, PushRequest

LIMIT = 16 * 2**20
PROTO, JSON = "application/x-protobuf", "application/json"
NOW = 1_795_000_000_000_000_000


def snappy(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))


def stream_field(labels: bytes, entries: bytes, more: bytes = b"") -> bytes:
    inner = b"\x0a" + varint(len(labels)) + labels + entries + more
    return b"\x0a" + varint(len(inner)) + inner


def cost(action: Callable[[], object]) -> tuple[float, int]:
    """CPU seconds and peak bytes of Python's memory; a push that is refused has its cost, too."""
    tracemalloc.start()
    started = time.process_time()
    try:
        action()
    except PushRefused:
        pass
    finally:
        seconds = time.process_time() - started
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return seconds, peak


def entries_of(stream: PushedStream) -> list[tuple[int, bytes, dict[str, str]]]:
    push = PushRequest.FromString(stream_field(b"{}", stream.entries))
    found = []
    for entry in push.streams[0].entries:
        pairs = [LabelPair.FromString(pair) for pair in entry.metadata]
        stamp = entry.timestamp.seconds * 10**9 + entry.timestamp.nanos
        found.append((stamp, entry.line, {pair.name.decode(): pair.value.decode() for pair in pairs}))
    return found


# ---- bounds --------------------------------------------------------------------------------------


def test_an_unknown_field_costs_no_object_for_each_entry() -> None:
    """94 kB on the wire cost 187 MiB and 1.6 s before (finding 2)."""
    raw = stream_field(b'{a="b"}', b"\x12\x00" * 400_000, b"\x18\x2a")
    body = snappy(raw)
    assert len(body) < 100_000
    [stream] = decode_push(body, PROTO, "", LIMIT)
    assert stream.count == 400_000
    seconds, peak = cost(lambda: decode_push(body, PROTO, "", LIMIT))
    assert peak < 6 * len(raw)
    assert seconds < 5  # traced; some 0.1 s else


def test_time_stamps_that_cannot_be_said_cost_no_object_for_each_entry() -> None:
    entry = b"\x12\x0d\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
    raw = stream_field(b'{a="b"}', entry * 100_000)
    [stream] = decode_push(snappy(raw), PROTO, "", LIMIT)
    assert (stream.count, stream.oldest_ns) == (100_000, 0)
    _, peak = cost(lambda: decode_push(snappy(raw), PROTO, "", LIMIT))
    assert peak < 8 * len(raw)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(snappy(stream_field(b'{a="b"}', b"\x12\x00" * (8 * 2**20))), PROTO, id="entries"),
        pytest.param(snappy(b"\x0a\x00" * (8 * 2**20)), PROTO, id="streams"),
        pytest.param(b'{"streams":[' + b'{"values":[]},' * 1_000_000 + b"{}]}", JSON, id="JSON streams"),
        pytest.param(
            b'{"streams":[{"stream":{"a":"b"},"values":[' + b'["1"],' * 2_000_000 + b'["1"]]}]}',
            JSON,
            id="JSON entries",
        ),
        pytest.param(
            b'{"streams":[{"labels":"{}","entries":[' + b'{"ts":"1"},' * 1_000_000 + b'{"ts":"1"}]}]}',
            JSON,
            id="old JSON entries",
        ),
    ],
)
def test_a_body_of_very_many_small_things_is_413_in_little_memory_and_time(body: bytes, content_type: str) -> None:
    with pytest.raises(PushRefused) as refused:
        decode_push(body, content_type, "", LIMIT)
    assert refused.value.status == 413
    seconds, peak = cost(lambda: decode_push(body, content_type, "", LIMIT))
    assert peak < 64 * 2**20
    assert seconds < 10


def test_the_largest_json_push_that_is_taken_fits_into_memory() -> None:
    values = ",".join(f'["{NOW + n}","l",{{"a":{n}}}]' for n in range(190_000))
    body = f'{{"streams":[{{"stream":{{"a":"b"}},"values":[{values}]}}]}}'.encode()
    assert decode_push(body, JSON, "", LIMIT)[0].count == 190_000
    _, peak = cost(lambda: decode_push(body, JSON, "", LIMIT))
    assert peak < 100 * 2**20


def test_bytes_that_are_no_utf8_do_not_make_a_body_larger_than_the_limit() -> None:
    body = b'{"streams":[{"stream":{"a":"b"},"values":[["1","' + b"\xff" * 15_000_000 + b'"]]}]}'
    with pytest.raises(PushRefused) as refused:
        decode_push(body, JSON, "", LIMIT)
    assert refused.value.status == 413


def test_a_few_kilobytes_of_gzip_do_not_unpack_to_megabytes_without_end() -> None:
    body = gzip.compress(b'{"streams":[{"stream":{"a":"b"},"values":[["1","' + b"x" * 15_000_000 + b'"]]}]}', 9)
    assert len(body) < 20_000
    with pytest.raises(PushRefused) as refused:
        decode_push(body, JSON, "gzip", LIMIT)
    assert refused.value.status == 413
    # One line again and again, as a device in a loop writes it, is no bomb.
    values = [[str(NOW + n), "connection from 10.0.0.9 refused, trying again in 5 seconds"] for n in range(50_000)]
    real = gzip.compress(json.dumps({"streams": [{"stream": {"a": "b"}, "values": values}]}).encode(), 9)
    assert decode_push(real, JSON, "gzip", LIMIT)[0].count == 50_000


def test_labels_longer_than_any_loki_takes_are_refused() -> None:
    value = "x" * 100_000
    for body, kind in (
        (snappy(stream_field(f'{{a="{value}"}}'.encode(), b"\x12\x00")), PROTO),
        (json.dumps({"streams": [{"stream": {"a": value}, "values": [["1", "x"]]}]}).encode(), JSON),
    ):
        with pytest.raises(PushRefused) as refused:
            decode_push(body, kind, "", LIMIT)
        assert (refused.value.status, "labels" in refused.value.text) == (400, True)


# ---- forms -------------------------------------------------------------------------------------


def test_hash_and_unknown_fields_anywhere_in_a_stream_are_passed_over() -> None:
    one = encode_entry(NOW, b"one", b"")
    two = encode_entry(NOW + 1, b"two", b"")
    inner = b"\x18\x07" + one + b"\x22\x01x" + b"\x0a\x07" + b'{a="b"}' + two + b"\x29" + bytes(8) + b"\x18\x09"
    [stream] = decode_push(snappy(b"\x0a" + varint(len(inner)) + inner), PROTO, "", LIMIT)
    assert (stream.labels, stream.count) == ('{a="b"}', 2)
    assert stream.entries == one + two
    assert (stream.oldest_ns, stream.newest_ns) == (NOW, NOW + 1)


def test_empty_entries_are_entries() -> None:
    [stream] = decode_push(snappy(stream_field(b'{a="b"}', b"\x12\x00" * 3)), PROTO, "", LIMIT)
    assert (stream.count, stream.oldest_ns) == (3, 0)


def test_the_old_apis_json_is_taken() -> None:
    body = json.dumps(
        {
            "streams": [
                {
                    "labels": '{job="x", a="1"}',
                    "entries": [
                        {"ts": "2026-11-27T06:30:01.000000005Z", "line": "one"},
                        {"ts": "2026-11-27T07:30:01+01:00", "line": "two"},
                    ],
                }
            ]
        }
    ).encode()
    [stream] = decode_push(body, JSON, "", LIMIT)
    assert stream.labels == '{a="1", job="x"}'
    assert entries_of(stream) == [(1795761001000000005, b"one", {}), (1795761001000000000, b"two", {})]
    assert (stream.count, stream.oldest_ns) == (2, 1795761001000000000)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("5", "5"),
        ("-1.50e3", "-1.50e3"),
        ("true", "true"),
        ('"é"', "é"),
        ('{"b" : [1, "x y"]}', '{"b":[1,"x y"]}'),
        ("[]", "[]"),
        ("12345678901234567890123", "12345678901234567890123"),
    ],
)
def test_metadata_that_is_no_text_is_stored_as_text(value: str, text: str) -> None:
    body = f'{{"streams":[{{"stream":{{"a":"b"}},"values":[["{NOW}","l",{{"k":{value}}}]]}}]}}'.encode()
    [stream] = decode_push(body, JSON, "", LIMIT)
    assert entries_of(stream) == [(NOW, b"l", {"k": text})]


def test_metadata_that_is_null_is_none() -> None:
    body = b'{"streams":[{"stream":{"a":"b"},"values":[["1","l",{"k":null}],["2","l",null]]}]}'
    [stream] = decode_push(body, JSON, "", LIMIT)
    assert [metadata for *_, metadata in entries_of(stream)] == [{}, {}]


def test_plain_lines_become_entries_in_order() -> None:
    [stream] = decode_raw(b"one\r\n\n  two \xff\nthree", "", LIMIT, NOW)
    assert entries_of(stream) == [(NOW, b"one", {}), (NOW + 1, "  two �".encode(), {}), (NOW + 2, b"three", {})]
    assert decode_raw(b"\n\n", "", LIMIT, NOW) == []
    assert decode_raw(gzip.compress(b"x\n"), "gzip", LIMIT, NOW)[0].count == 1


# ---- entries as bytes ----------------------------------------------------------------------------


def test_entries_are_cut_into_runs_and_given_metadata_without_being_decoded() -> None:
    lines = [b"x" * (n % 300) for n in range(1000)]
    entries = b"".join(encode_entry(NOW + n, line, b"") for n, line in enumerate(lines))
    runs = list(chunks(entries, 5000, 100))
    assert b"".join(run.entries for run in runs) == entries
    assert all(len(run.entries) <= 5000 and run.count <= 100 for run in runs)
    assert sum(run.count for run in runs) == 1000
    assert [(run.oldest_ns, run.newest_ns) for run in runs][:1] == [(NOW, NOW + runs[0].count - 1)]
    more = PushedStream("", add_metadata(entries, b"\x1a\x06\x0a\x01k\x12\x01v"), 1000, 0, 0)
    found: list[Any] = entries_of(more)
    assert found == [(NOW + n, line, {"k": "v"}) for n, line in enumerate(lines)]
    assert entries[: first_end(entries)] == encode_entry(NOW, lines[0], b"")
