"""OTLP's logs become what Loki would make of them; answers are as the protocol says; cost is bounded by weight."""

import base64
import gzip
import json
import math
import random
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.relay.http.messages import Response
from appliance.relay.listen.otlp import Logs, decode_otlp, failure, success, valid_name
from appliance.relay.listen.otlp_records import as_text
from appliance.relay.listen.push_proto import PushedStream
from appliance.relay.listen.push_refused import PushRefused
from tests.loki_double.proto import LabelPair, PushRequest
from tests.unit.relay.listen.otlp_messages import Request, ResponseMessage, Status, fill, put

PROTO, JSON = "application/x-protobuf", "application/json"
LIMIT = 16 * 2**20
NOW = 1_795_000_000_000_000_000


def decode(body: bytes, kind: str = PROTO, encoding: str = "") -> Logs:
    return decode_otlp(body, kind, encoding, LIMIT, NOW)


def entries_of(stream: PushedStream) -> list[tuple[int, str, dict[str, str]]]:
    size, prefix = len(stream.entries), bytearray()
    while size >= 0x80:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    push = PushRequest.FromString(b"\x0a" + bytes(prefix) + stream.entries)
    found = []
    for entry in push.streams[0].entries:
        pairs = [LabelPair.FromString(pair) for pair in entry.metadata]
        stamp = entry.timestamp.seconds * 10**9 + entry.timestamp.nanos
        found.append((stamp, entry.line.decode(), {pair.name.decode(): pair.value.decode() for pair in pairs}))
    return found


def request(resource: dict[str, object], *records: dict[str, Any], scope: dict[str, Any] | None = None) -> Any:
    made = Request()
    logs = made.resource_logs.add()
    put(logs.resource.attributes, resource)
    inner = logs.scope_logs.add()
    if scope:
        inner.scope.name, inner.scope.version = scope.get("name", ""), scope.get("version", "")
        put(inner.scope.attributes, scope.get("attributes", {}))
    for fields in records:
        record = inner.log_records.add()
        for name, value in fields.items():
            if name == "attributes":
                put(record.attributes, value)
            elif name == "body":
                fill(record.body, value)
            else:
                setattr(record, name, value)
    return made


POD = {"service.name": "shop", "k8s.namespace.name": "prod", "k8s.pod.name": "shop-1", "host.name": "n1"}


def test_resource_attributes_become_labels_as_loki_documents_and_the_rest_metadata() -> None:
    record = {
        "time_unix_nano": NOW + 5,
        "observed_time_unix_nano": NOW + 9,
        "severity_number": 17,
        "severity_text": "ERROR",
        "body": "disk full",
        "attributes": {"http.method": "GET", "code": 507, "ok": False, "user": {"id": 7, "na me": "x"}},
        "trace_id": bytes(range(16)),
        "span_id": bytes(range(8)),
        "flags": 1,
        "event_name": "disk",
    }
    scope = {"name": "lib", "version": "1.2", "attributes": {"a.b": "c"}}
    [stream] = decode(request(POD, record, scope=scope).SerializeToString()).streams
    assert stream.labels == '{k8s_namespace_name="prod", k8s_pod_name="shop-1", service_name="shop"}'
    assert (stream.count, stream.oldest_ns, stream.newest_ns) == (1, NOW + 5, NOW + 5)
    assert entries_of(stream) == [
        (
            NOW + 5,
            "disk full",
            {
                "http_method": "GET", "code": "507", "ok": "false", "user_id": "7", "user_na_me": "x",
                "observed_timestamp": str(NOW + 9), "severity_number": "17", "severity_text": "ERROR", "level": "error",
                "trace_id": "000102030405060708090a0b0c0d0e0f", "span_id": "0001020304050607", "flags": "1",
                "event_name": "disk", "host_name": "n1", "a_b": "c", "scope_name": "lib", "scope_version": "1.2",
            },
        )
    ]  # fmt: skip


def test_json_says_the_same_as_protobuf() -> None:
    body = {
        "resourceLogs": [
            {
                "resource": {
                    "attributes": [
                        {"key": "service.name", "value": {"stringValue": "shop"}},
                        {"key": "host.name", "value": {"stringValue": "n1"}},
                    ]
                },
                "scopeLogs": [
                    {
                        "scope": {"name": "lib", "version": "1.2"},
                        "logRecords": [
                            {
                                "timeUnixNano": str(NOW + 5),
                                "observedTimeUnixNano": NOW + 9,
                                "severityNumber": "SEVERITY_NUMBER_WARN2",
                                "severityText": "Warning",
                                "body": {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "5"}}]}},
                                "attributes": [
                                    {"key": "d", "value": {"doubleValue": 1.5}},
                                    {"key": "b", "value": {"bytesValue": base64.b64encode(b"\x00\xff").decode()}},
                                    {"key": "l", "value": {"arrayValue": {"values": [{"boolValue": True}, {}]}}},
                                    {"key": "n"},
                                ],
                                "traceId": "000102030405060708090A0B0C0D0E0F",
                                "spanId": "",
                                "flags": 1,
                                "unknown": {"more": 1},
                            }
                        ],
                    }
                ],
            }
        ]
    }
    [stream] = decode(json.dumps(body).encode(), JSON).streams
    record = {
        "time_unix_nano": NOW + 5, "observed_time_unix_nano": NOW + 9, "severity_number": 14,
        "severity_text": "Warning", "body": {"a": 5}, "trace_id": bytes(range(16)), "flags": 1,
        "attributes": {"d": 1.5, "b": b"\x00\xff", "l": [True, None], "n": None},
    }  # fmt: skip
    made = request({"service.name": "shop", "host.name": "n1"}, record, scope={"name": "lib", "version": "1.2"})
    [other] = decode(made.SerializeToString()).streams
    assert entries_of(stream) == entries_of(other)
    assert stream.labels == other.labels
    (entry,) = entries_of(stream)
    assert entry[1] == '{"a":5}'
    assert (entry[2]["l"], entry[2]["b"], entry[2]["d"], entry[2]["n"]) == ("[true,null]", "AP8=", "1.5", "")


def test_gzip_is_taken_and_other_forms_are_refused() -> None:
    body = request(POD, {"body": "x"}).SerializeToString()
    assert decode(gzip.compress(body), encoding="gzip").streams[0].count == 1
    for kind, encoding, data in (
        ("text/plain", "", body), ("", "", body), (PROTO, "zstd", body), (JSON, "", body), (PROTO, "", b"\x0a\xff"),
        (JSON, "", b'{"resourceLogs": 5}'), (PROTO, "", b"\x00\x00"), (PROTO, "", b"\x0b"), (JSON, "", b"[" * 100_000),
    ):  # fmt: skip
        with pytest.raises(PushRefused) as refused:
            decode(data, kind, encoding)
        assert refused.value.status == 400


def test_a_record_without_a_time_has_that_of_its_observation_or_of_receipt() -> None:
    made = request(
        POD, {"body": "a", "observed_time_unix_nano": 7}, {"body": "b"}, {"body": "c", "time_unix_nano": 2**64 - 1}
    )
    [stream] = decode(made.SerializeToString()).streams
    assert [stamp for stamp, *_ in entries_of(stream)] == [7, NOW, 2**63 - 1]


@pytest.mark.parametrize(
    ("resource", "service"),
    [
        ({}, "unknown_service"),
        ({"service.name": ""}, "unknown_service"),
        ({"k8s.container.name": "c", "k8s.job.name": "j"}, "c"),
        ({"k8s.job.name": "j"}, "j"),
        ({"service.name": "s", "k8s.job.name": "j"}, "s"),
    ],
)
def test_a_stream_always_has_the_name_of_a_service(resource: dict[str, object], service: str) -> None:
    [stream] = decode(request(resource, {"body": "x"}).SerializeToString()).streams
    assert f'service_name="{service}"' in stream.labels


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("http.method", "http_method"), ("a..b", "a_b"), ("a__b", "a_b"), ("1st", "key_1st"), ("_a", "_a"),
        ("__reserved.x__", "__reserved_x__"), ("é", "_"), ("a-", "a_"), ("aB9", "aB9"),
    ],
)  # fmt: skip
def test_names_are_made_valid_as_loki_makes_them(name: str, made: str) -> None:
    assert valid_name(name) == made


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"), (1.5, "1.5"), (1e20, "100000000000000000000"), (1e21, "1e+21"), (1e-6, "0.000001"), (1e-7, "1e-7"),
        (1.25e-9, "1.25e-9"), (-0.1, "-0.1"), (0.0, "0"), (math.inf, "Infinity"), (2**63 - 1, str(2**63 - 1)),
    ],
)  # fmt: skip
def test_numbers_are_written_as_loki_writes_them(value: float, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("number", "text", "level"),
    [(1, "", "trace"), (8, "", "debug"), (9, "", "info"), (16, "", "warn"), (20, "", "error"), (24, "", "fatal"),
     (0, "Warning", "warn"), (0, "Information", "info"), (0, "odd", None), (99, "", None)],
)  # fmt: skip
def test_severity_becomes_level(number: int, text: str, level: str | None) -> None:
    made = request(POD, {"body": "x", "severity_number": number, "severity_text": text})
    [stream] = decode(made.SerializeToString()).streams
    assert entries_of(stream)[0][2].get("level") == level


# ---- bounds --------------------------------------------------------------------------------------


def nested(depth: int) -> object:
    value: object = "x"
    for _ in range(depth):
        value = [value]
    return value


def test_a_record_that_cannot_be_taken_is_reported_and_the_others_are_stored() -> None:
    made = request(POD, {"body": "good"}, {"body": nested(60)}, {"attributes": {"a": nested(70)}, "body": "deep"})
    found = decode(made.SerializeToString())
    assert found.rejected == 1
    assert next(line for _, line, _ in entries_of(found.streams[0])) == "good"
    answer = ResponseMessage.FromString(success(PROTO, found.rejected, found.why).body)
    assert (answer.partial_success.rejected_log_records, bool(answer.partial_success.error_message)) == (1, True)
    assert json.loads(success(JSON, 1, "why").body) == {
        "partialSuccess": {"rejectedLogRecords": "1", "errorMessage": "why"}
    }


def test_answers_are_the_protocols() -> None:
    assert success(PROTO, 0, "").body == b""
    assert json.loads(success(JSON, 0, "").body) == {"partialSuccess": {}}
    refused = failure(PROTO, Response.text(503, "the spool is full", Retry_After="10"))
    assert Status.FromString(refused.body).message == "the spool is full"
    assert (refused.status, refused.headers) == (503, (("Retry-After", "10"),))
    assert json.loads(failure(JSON, Response.text(400, "bad")).body) == {"message": "bad"}


def test_what_a_resource_shares_does_not_multiply_the_request() -> None:
    made = request({f"a{n}": "x" * 500 for n in range(100)}, *({"body": ""} for _ in range(20_000)))
    body = made.SerializeToString()
    [stream] = decode(body).streams
    assert stream.count == 20_000
    assert len(stream.entries) < 4 * len(body) + 300_000 + 20_000 * 60
    metadata = [pairs for *_, pairs in entries_of(stream)]
    assert len(metadata[0]) == 100
    assert metadata[-1] == {"attributes_left_out": "100"}


def test_an_entry_has_no_more_metadata_than_loki_takes() -> None:
    attributes = {**{f"a{n}": "x" for n in range(500)}, "stack": "y" * 100_000}
    first = request(POD, {"body": "x", "attributes": {"stack": "y" * 100_000, "b": "z"}})
    [stream] = decode(first.SerializeToString()).streams
    ((_, _, metadata),) = entries_of(stream)
    assert 50_000 < len(metadata["stack"]) < 60_000
    [stream] = decode(request(POD, {"body": "x", "attributes": attributes}).SerializeToString()).streams
    ((_, _, metadata),) = entries_of(stream)
    assert len(metadata) <= 128
    assert metadata["attributes_left_out"]


def cost(body: bytes, kind: str) -> tuple[float, int]:
    tracemalloc.start()
    started = time.process_time()
    try:
        decode(body, kind)
    except PushRefused:
        pass
    finally:
        seconds = time.process_time() - started
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return seconds, peak


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(field(1, field(2, b"\x12\x00" * 100_000)), id="records"),
        pytest.param(field(1, b"\x12\x00" * 100_000), id="scopes"),
        pytest.param(b"\x0a\x00" * 100_000, id="resources"),
        pytest.param(field(1, field(2, field(2, b"\x32\x00" * 100_000))), id="attributes"),
        pytest.param(field(1, field(2, field(2, b"\x08\x00" * 100_000))), id="unknown fields"),
        pytest.param(field(1, field(1, field(1, field(2, field(5, b"\x0a\x00" * 100_000))))), id="values"),
        pytest.param(
            field(1, field(2, field(2, field(6, field(1, b"n" * 1_000_000) + field(2, field(6, (
                field(1, field(1, b"k") + field(2, field(1, b"v")))) * 50_000)))))), id="a map under a long name"
        ),
    ],
)  # fmt: skip
def test_very_many_small_things_cost_bounded_time_and_memory(body: bytes) -> None:
    seconds, peak = cost(body, PROTO)
    assert peak < 3 * len(body) + 16 * 2**20
    assert seconds < 60  # traced, by a twentieth of it else


def test_very_many_small_objects_of_json_are_413() -> None:
    body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[' + b"{}," * 1_000_000 + b"{}]}]}]}"
    with pytest.raises(PushRefused) as refused:
        decode(body, JSON)
    assert refused.value.status == 413
    assert cost(body, JSON)[1] < 50 * 2**20


# ---- whatever comes ------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), TEXT, st.integers(-(2**63), 2**63 - 1), st.binary(max_size=5),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip
RECORDS = st.fixed_dictionaries(
    {
        "body": VALUES,
        "time_unix_nano": st.integers(1, 2**63 - 1),
        "attributes": st.dictionaries(TEXT, VALUES, max_size=3),
    },
    optional={"severity_number": st.integers(0, 30), "severity_text": TEXT, "trace_id": st.binary(max_size=16),
              "observed_time_unix_nano": st.integers(0, 2**64 - 1)},
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(TEXT, VALUES, max_size=4), st.lists(RECORDS, min_size=1, max_size=4))
def test_any_request_of_googles_library_is_taken_whole(resource: dict[str, object], records: list[Any]) -> None:
    found = decode(request(resource, *records).SerializeToString())
    entries = [entry for stream in found.streams for entry in entries_of(stream)]
    assert found.rejected == 0
    assert sorted((stamp, line) for stamp, line, _ in entries) == sorted(
        (record["time_unix_nano"], line_of(record["body"])) for record in records
    )


def line_of(value: object) -> str:
    """What as_text says, by other means where there are any."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bytes():
            return base64.b64encode(value).decode()
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case list() | dict():
            return as_text(as_pairs(value))
    return as_text(value)


def as_pairs(value: object) -> object:
    if isinstance(value, dict):
        return tuple((key, as_pairs(item)) for key, item in value.items())
    return [as_pairs(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80), st.sampled_from([PROTO, JSON]), st.sampled_from(["", "gzip", "deflate"]))
def test_any_bytes_are_taken_or_refused_and_nothing_else(body: bytes, kind: str, encoding: str) -> None:
    try:
        decode(body, kind, encoding)
    except PushRefused as refused:
        assert refused.status in (400, 413)


def test_a_request_damaged_anywhere_is_taken_or_refused() -> None:
    whole = request(POD, {"body": {"a": [1, 2.5, b"x"]}, "time_unix_nano": NOW}, {"body": "y"}, scope={"name": "s"})
    body = whole.SerializeToString()
    chance = random.Random(5)
    for _ in range(3000):
        damaged = bytearray(body)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            for stream in decode(bytes(damaged[: chance.randint(0, len(damaged))])).streams:
                assert len(entries_of(stream)) == stream.count
        except PushRefused as refused:
            assert refused.status in (400, 413)
