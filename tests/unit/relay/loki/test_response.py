"""What each answer means: every row of what Loki was seen to answer, and what others answer in its place."""

import pytest

from appliance.relay.loki.limit_table import Reason
from appliance.relay.loki.rejections import names, parse_size, parse_time, rejections_of
from appliance.relay.loki.response import Answer, Failure, Kind, diagnose, parse_retry_after

STREAM = '{job="it\'s", path="a}, b", service_name="x"}'
OLD = (
    f"entry for stream '{STREAM}' has timestamp too old: 2026-11-15T07:50:06Z, oldest acceptable timestamp is: "
    "2026-11-16T07:50:06Z"
)
LONG = f"max entry size '262144' bytes exceeded for stream '{STREAM}' while adding an entry with length '300000' bytes"
LARGE = f"stream '{STREAM}' has structured metadata too large: '70001' bytes, limit: '65536' bytes. Please see"
MANY = f"stream '{STREAM}' has too many structured metadata labels: '200', limit: '128'. Please see"
TENANT = (
    "ingestion rate limit exceeded for user fake (limit: 6291456 bytes/sec) while attempting to ingest '1900' lines "
    "totaling '1900000' bytes, reduce log volume"
)
GRPC = "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (5235045 vs. 4194304)"
NOW = 1_795_415_406.0  # 2026-11-23T06:30:06Z
BEHIND = (
    "entry with timestamp 2026-11-23 05:50:06.596056047 +0000 UTC ignored, reason: 'entry too far behind, entry "
    "timestamp is: 2026-11-23T05:50:06Z, oldest acceptable timestamp is: 2026-11-23T06:50:06Z',\n"
    f"user 'fake', total ignored: 1 out of 2 for stream: {STREAM}"
)
RATE = (
    "entry with timestamp 2026-11-23 05:50:06 +0000 UTC ignored, reason: 'Per stream rate limit exceeded (limit: "
    f"1MB/sec) while attempting to ingest for stream '{STREAM}' totaling 1000B, consider splitting a stream via "
    f"additional labels',\nuser 'fake', total ignored: 2500 out of 2500 for stream: {STREAM}"
)
FULL = (
    f"maximum active stream limit exceeded when trying to create stream {STREAM}, reduce the number of active streams"
)


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (204, "", Kind.STORED, None),
        (200, "", Kind.STORED, None),
        (400, OLD, Kind.PARTIAL, Reason.TOO_OLD),
        (400, f"entry for stream '{STREAM}' has timestamp too new: 2026-11-23T08:50:06Z", Kind.PARTIAL, Reason.TOO_NEW),
        (400, BEHIND, Kind.PARTIAL, Reason.TOO_FAR_BEHIND),
        (400, LONG, Kind.PARTIAL, Reason.LINE_TOO_LONG),
        (400, f"entry for stream '{STREAM}' has 20 label names; limit 15", Kind.PARTIAL, Reason.LABEL_NAMES),
        (400, f"stream '{STREAM}' has label name too long: 'xxx'", Kind.PARTIAL, Reason.LABEL_LENGTH),
        (400, f"stream '{STREAM}' has label value too long: 'xxx'", Kind.PARTIAL, Reason.LABEL_LENGTH),
        (400, "couldn't parse labels: 1:5: parse error: unexpected", Kind.REFUSED, Reason.LABEL_SYNTAX),
        (400, LARGE, Kind.PARTIAL, Reason.METADATA_TOO_LARGE),
        (400, MANY, Kind.PARTIAL, Reason.METADATA_TOO_MANY),
        (422, "error at least one valid stream is required for ingestion", Kind.REFUSED, None),
        (400, "loghttp.PushRequest.Streams: []loghttp.LogProtoStream", Kind.REFUSED, None),
        (400, "snappy: corrupt input", Kind.REFUSED, None),
        (400, 'Content-Encoding "zstd" not supported', Kind.CONFIGURATION, None),
        (429, TENANT, Kind.TENANT_RATE, None),
        (429, RATE, Kind.PARTIAL, Reason.STREAM_RATE),
        (429, FULL + " streams", Kind.PARTIAL, Reason.STREAM_LIMIT),
        (429, "", Kind.TENANT_RATE, None),
        (500, GRPC, Kind.TOO_LARGE, None),
        (413, "<html>", Kind.TOO_LARGE, None),
        (404, "404 page not found", Kind.CONFIGURATION, None),
        (401, "no org id", Kind.CONFIGURATION, None),
        (403, "", Kind.CONFIGURATION, None),
        (260, "", Kind.CONFIGURATION, None),
        (301, "", Kind.CONFIGURATION, None),
        (200, "<!doctype html><title>Welcome</title>", Kind.CONFIGURATION, None),
        (400, "Client sent an HTTP request to an HTTPS server.", Kind.CONFIGURATION, None),
        (503, "Ingester not ready: waiting for 15s after being ready", Kind.RETRY, None),
        (500, "", Kind.RETRY, None),
        (408, "", Kind.RETRY, None),
        (599, "\x00\xff{}", Kind.RETRY, None),
        (418, "I'm a teapot", Kind.REFUSED, None),
    ],
)
def test_each_answer_has_its_kind_and_reason(status: int, body: str, kind: Kind, reason: Reason | None) -> None:
    diagnosis = diagnose(Answer(status, body), NOW)
    assert diagnosis.kind is kind
    assert [rejection.reason for rejection in diagnosis.rejections] == ([reason] if reason else [])
    assert kind is Kind.STORED or (diagnosis.cause and diagnosis.remedy)
    if diagnosis.rejections and reason is not Reason.LABEL_SYNTAX:
        assert diagnosis.rejections[0].stream == STREAM


@pytest.mark.parametrize("failure", list(Failure))
def test_each_failure_says_what_happened_and_what_to_do(failure: Failure) -> None:
    diagnosis = diagnose(Answer(failure=failure, detail="the detail"), NOW)
    assert diagnosis.kind in (Kind.RETRY, Kind.CONFIGURATION)
    assert ("the detail" in diagnosis.cause) is (failure is not Failure.REFUSED) and diagnosis.remedy


def test_limits_that_loki_names_are_understood() -> None:
    assert diagnose(Answer(429, "ingestion rate limit exceeded for user x (limit: 99 bytes/sec)"), NOW).allowed == 99
    assert diagnose(Answer(500, "received message larger than max (5 vs. 4)"), NOW).allowed == 4
    assert rejections_of(RATE)[0].allowed == 2**20
    behind = rejections_of(BEHIND)[0]
    assert behind.cutoff_ns == 1_795_416_606 * 10**9
    assert (behind.ignored, behind.stamps_ns) == (1, (1_795_413_006_596_056_047,))


def test_several_kinds_in_one_body_are_kept_apart_and_counted() -> None:
    body = (
        "2 errors like: entry for stream '{a=\"1\"}' has timestamp too old: 2026-11-15T07:50:06Z, oldest acceptable "
        "timestamp is: 2026-11-16T07:50:06Z; 3 errors like: entry for stream '{b=\"2\"}' has timestamp too new: "
        "2026-11-23T08:50:06Z"
    )
    assert {(v.reason, v.stream, v.ignored) for v in rejections_of(body)} == {
        (Reason.TOO_OLD, '{a="1"}', 2),
        (Reason.TOO_NEW, '{b="2"}', 3),
    }


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("0", 0), ("-3", 0), ("1e9", 3600), ("", None), ("soon", None), ("nan", None),
     ("Mon, 23 Nov 2026 06:30:16 GMT", 10), ("Mon, 23 Nov 2020 06:30:16 GMT", 0)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_within_reason(text: str, seconds: float | None) -> None:
    assert parse_retry_after(text, NOW) == seconds


def test_lokis_name_of_a_stream_is_recognised_with_the_label_it_adds() -> None:
    ours = ['{a="b"}', '{a="b", c="d"}', '{c="d",a="x"}']
    assert names('{a="b", service_name="b"}', ours) == {'{a="b"}'}
    assert names('{a="x", c="d", service_name="x"}', ours) == {'{c="d",a="x"}'}
    assert names('{a="b", c="d"}', ours) == {'{a="b", c="d"}'}
    assert names('{z="b"}', ours) == set()
    assert names("nonsense", ours) == set()


def test_gos_times_and_sizes() -> None:
    assert parse_time("2026-11-23T06:30:06Z") == 1_795_415_406 * 10**9
    assert parse_time("2026-11-23 06:30:06.5 +0000 UTC") == 1_795_415_406_500_000_000
    assert parse_time("yesterday") == 0
    assert [parse_size(text) for text in ("3MB", "1.5MB", "512KB", "1000B", "7", "?")] == [
        3 * 2**20, 3 * 2**19, 2**19, 1000, 7, 0,
    ]  # fmt: skip
