"""The double answers as a real Loki 3.7.6 was seen to answer; with LOKI_BIN the real one is asked.

One test for each row observed. `refused`, `hidden` and the clock exist in the double only.
"""

import gzip
import json
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest

from tests.loki_double import InProcessLoki, Limits, LokiProcess, LokiUnderTest
from tests.loki_double.proto import encode_push

SECOND = 10**9
HOUR = 3600 * SECOND
Streams = list[tuple[str, list[tuple[int, bytes, dict[str, str]]]]]


def post(url: str, body: bytes, **headers: str) -> tuple[int, str, dict[str, str]]:
    request = urllib.request.Request(
        url, body, {"Content-Type": "application/x-protobuf"} | {k.replace("_", "-"): v for k, v in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace"), dict(error.headers)


def push(loki: LokiUnderTest, streams: Streams) -> tuple[int, str]:
    return post(loki.push_url, encode_push(streams))[:2]


def entries(count: int, line: bytes = b"good", *, at: int | None = None) -> list[tuple[int, bytes, dict[str, str]]]:
    start = at if at is not None else time.time_ns()
    return [(start + number, line, {}) for number in range(count)]


def good(name: str = "good", count: int = 1) -> tuple[str, list[tuple[int, bytes, dict[str, str]]]]:
    return f'{{job="{name}"}}', entries(count)


def in_the_past(name: str, behind: int) -> tuple[str, list[tuple[int, bytes, dict[str, str]]]]:
    return f'{{job="{name}"}}', entries(1, b"late", at=time.time_ns() - behind)


def test_accepted_is_204_with_an_empty_body(loki: LokiUnderTest) -> None:
    status, body, headers = post(loki.push_url, encode_push([good()]))
    assert (status, body) == (204, "")
    assert "Retry-After" not in headers
    assert loki.count() == 1


def test_too_old_is_reported_wherever_it_stands_and_the_rest_is_stored(loki: LokiUnderTest) -> None:
    for position in (0, 1):
        streams = [good(f"good{position}")]
        streams.insert(position, in_the_past("old", 8 * 24 * HOUR))
        status, body = push(loki, streams)
        assert status == 400
        assert re.fullmatch(
            r'entry for stream \'\{job="old", service_name="old"\}\' has timestamp too old: \S+Z, '
            r"oldest acceptable timestamp is: \S+Z\n?",
            body,
        )
    assert loki.count() == 2


def test_too_new_is_refused_and_the_rest_is_stored(loki: LokiUnderTest) -> None:
    status, body = push(loki, [in_the_past("new", -20 * 60 * SECOND), good()])
    assert status == 400
    assert re.match(r"entry for stream '\{.*\}' has timestamp too new: \S+Z", body)
    assert loki.count() == 1


def test_too_far_behind_in_the_last_stream_is_answered_400(loki: LokiUnderTest) -> None:
    push(loki, [('{job="late"}', entries(1))])
    status, body = push(loki, [good(), in_the_past("late", 2 * HOUR)])
    assert status == 400
    first, last = body.strip().split("\n")
    assert re.fullmatch(
        r"entry with timestamp \d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC ignored, reason: 'entry too far "
        r"behind, entry timestamp is: \S+Z, oldest acceptable timestamp is: \S+Z',",
        first,
    )
    assert last == 'user \'fake\', total ignored: 1 out of 1 for stream: {job="late", service_name="late"}'
    assert loki.count() == 2


def test_too_far_behind_in_another_stream_is_hidden_by_204(loki: LokiUnderTest) -> None:
    push(loki, [('{job="late"}', entries(1))])
    assert push(loki, [in_the_past("late", 2 * HOUR), good()]) == (204, "")
    assert loki.count('{job="late"}') == 1
    if isinstance(loki, InProcessLoki):
        assert loki.stats()["hidden"]["too_far_behind"] == 1


def test_half_of_max_chunk_age_behind_is_accepted(loki: LokiUnderTest) -> None:
    push(loki, [('{job="late"}', entries(1))])
    assert push(loki, [in_the_past("late", HOUR - 60 * SECOND)])[0] == 204
    assert push(loki, [in_the_past("late", HOUR + 60 * SECOND)])[0] == 400


def test_a_stream_over_its_rate_is_refused_whole_when_last_and_silently_when_not(loki: LokiUnderTest) -> None:
    loki.set_limits(per_stream_rate=2**20, per_stream_burst=2 * 2**20)
    heavy = ('{job="heavy"}', entries(2500, b"x" * 1000))
    status, body = push(loki, [good(), heavy])
    assert status == 429
    lines = body.strip().split("\n")
    assert len(lines) == 11
    assert "reason: 'Per stream rate limit exceeded (limit: 1MB/sec) while attempting to ingest for stream" in lines[0]
    assert "totaling 1000B, consider splitting a stream" in lines[0]
    assert lines[-1].startswith("user 'fake', total ignored: 2500 out of 2500 for stream: {")
    assert loki.count() == 1
    assert push(loki, [heavy, good("good2")])[0] == 204
    assert loki.count() == 2


def test_streams_over_the_limit_are_refused_and_only_the_last_is_named(loki: LokiUnderTest) -> None:
    loki.set_limits(max_streams=20)
    assert push(loki, [good(f"known{number}") for number in range(12)])[0] == 204
    status, body = push(loki, [good(f"new{number}") for number in range(60)])
    assert status == 429
    assert body.startswith(
        'maximum active stream limit exceeded when trying to create stream {job="new59", service_name="new59"}, '
        "reduce the number of active streams ("
    )
    assert body.rstrip().endswith("user: 'fake'")
    assert loki.count() == 20
    assert push(loki, [good("over"), good("known1")])[0] == 204


def test_a_line_over_256_kb_is_refused_and_the_rest_stored(loki: LokiUnderTest) -> None:
    status, body = push(loki, [('{job="long"}', [*entries(1), (time.time_ns(), b"y" * 300000, {})])])
    assert status == 400
    assert body.startswith("max entry size '262144' bytes exceeded for stream '{")
    assert "while adding an entry with length '300000' bytes" in body
    assert loki.count() == 1


def test_more_than_15_labels_refuse_their_stream_only(loki: LokiUnderTest) -> None:
    labels = "{" + ", ".join(f'label{number}="x"' for number in range(19)) + "}"
    status, body = push(loki, [(labels, entries(1)), good()])
    assert status == 400
    assert "has 19 label names; limit 15" in body  # service_name is not counted
    assert loki.count() == 1


def test_fifteen_labels_of_ones_own_are_taken(loki: LokiUnderTest) -> None:
    labels = "{" + ", ".join(f'label{number}="x"' for number in range(15)) + "}"
    assert push(loki, [(labels, entries(1))])[0] == 204


def test_a_query_needs_a_matcher_that_the_empty_value_does_not_satisfy(loki: LokiUnderTest) -> None:
    push(loki, [good()])
    for selector, status in (('{host!="x"}', 400), ('{job=~".*"}', 400), ('{job=~".+", host!="x"}', 200)):
        query = urllib.parse.urlencode({"query": selector})
        try:
            with urllib.request.urlopen(f"{loki.base_url}/loki/api/v1/query_range?{query}", timeout=10) as answer:
                assert answer.status == status, selector
        except urllib.error.HTTPError as error:
            assert error.code == status and b"empty-compatible" in error.read(), selector


@pytest.mark.parametrize("labels", ['{%s="x"}' % ("n" * 1025), '{job="%s"}' % ("v" * 2049)])
def test_long_label_names_and_values_refuse_their_stream_only(loki: LokiUnderTest, labels: str) -> None:
    status, body = push(loki, [(labels, entries(1)), good()])
    assert status == 400
    assert body.startswith("stream '{")
    assert "too long" in body
    assert loki.count() == 1


def test_a_label_name_that_is_none_is_a_parse_error(loki: LokiUnderTest) -> None:
    status, body = push(loki, [('{a-b="x"}', entries(1))])
    assert status == 400
    assert "couldn't parse labels: 1:3: parse error: unexpected character inside braces: '-'" in body


def test_no_labels_become_unknown_service(loki: LokiUnderTest) -> None:
    assert push(loki, [("{}", entries(1))])[0] == 204
    assert loki.count('{service_name="unknown_service"}') == 1


def test_structured_metadata_over_64_kb_refuses_the_entry(loki: LokiUnderTest) -> None:
    status, body = push(loki, [('{job="m"}', [*entries(1), (time.time_ns(), b"l", {"k": "v" * 70000})])])
    assert status == 400
    assert "has structured metadata too large: '70001' bytes, limit: '65536' bytes." in body
    assert loki.count() == 1


def test_more_than_128_metadata_pairs_refuse_the_entry(loki: LokiUnderTest) -> None:
    pairs = {f"k{number}": "v" for number in range(200)}
    status, body = push(loki, [('{job="m"}', [*entries(1), (time.time_ns(), b"l", pairs)])])
    assert status == 400
    assert "has too many structured metadata labels: '200', limit: '128'." in body
    assert loki.count() == 1


def test_an_empty_line_is_stored(loki: LokiUnderTest) -> None:
    assert push(loki, [('{job="e"}', entries(1, b""))])[0] == 204
    assert loki.count() == 1


def test_no_streams_are_422(loki: LokiUnderTest) -> None:
    status, body = push(loki, [])
    assert (status, body.strip()) == (422, "error at least one valid stream is required for ingestion")


def as_json(values: Any, stream: Any = None) -> bytes:
    return json.dumps({"streams": [{"stream": stream or {"job": "json"}, "values": values}]}).encode()


@pytest.mark.parametrize("body", [b"hello", b'{"streams": 1}', as_json([[1, "x"]]), as_json([["1", 5]])])
def test_json_that_is_none_is_400(loki: LokiUnderTest, body: bytes) -> None:
    status, answer, _ = post(loki.push_url, body, Content_Type="application/json")
    assert status == 400
    assert answer


def test_json_plain_and_gzip_are_stored_with_metadata(loki: LokiUnderTest) -> None:
    now = str(time.time_ns())
    plain = as_json([[now, "plain", {"process_id": "7"}]])
    assert post(loki.push_url, plain, Content_Type="application/json")[0] == 204
    packed = gzip.compress(as_json([[now, "packed"]]))
    assert post(loki.push_url, packed, Content_Type="application/json", Content_Encoding="gzip")[0] == 204
    found = {line: (labels, metadata) for labels, _, line, metadata in loki.entries('{job="json"}')}
    assert found == {"plain": ({"job": "json"}, {"process_id": "7"}), "packed": ({"job": "json"}, {})}


def test_invalid_utf8_in_json_is_stored(loki: LokiUnderTest) -> None:
    body = as_json([[str(time.time_ns()), "caf@"]]).replace(b"@", b"\xe9")
    assert post(loki.push_url, body, Content_Type="application/json")[0] == 204
    assert loki.count() == 1


@pytest.mark.parametrize("content_type", ["application/x-protobuf", "text/plain"])
def test_a_body_that_is_not_snappy_is_400(loki: LokiUnderTest, content_type: str) -> None:
    status, body, _ = post(loki.push_url, b"\xff\xfe hello there", Content_Type=content_type)
    assert (status, body.strip()) == (400, "snappy: corrupt input")


def test_zstd_is_not_supported(loki: LokiUnderTest) -> None:
    status, body, _ = post(loki.push_url, b"x", Content_Encoding="zstd")
    assert (status, body.strip()) == (400, 'Content-Encoding "zstd" not supported')


def test_the_tenants_rate_refuses_everything(loki: LokiUnderTest) -> None:
    loki.set_limits(ingestion_rate=2**20, ingestion_burst=2**20)
    status, body = push(loki, [('{job="fast"}', entries(1900, b"x" * 1000))])
    assert status == 429
    assert body.startswith(
        "ingestion rate limit exceeded for user fake (limit: 1048576 bytes/sec) while attempting to ingest '1900' "
        "lines totaling '1900000' bytes, reduce log volume"
    )
    assert loki.count() == 0


def test_more_than_4_mib_uncompressed_is_500(loki: LokiUnderTest) -> None:
    status, body = push(loki, [('{job="big"}', entries(20000, b"x" * 250))])
    assert status == 500
    assert re.fullmatch(
        r"rpc error: code = ResourceExhausted desc = grpc: received message larger than max \(5\d{6} vs. 4194304\)\n?",
        body,
    )
    assert loki.count() == 0


def test_the_tenant_header_is_ignored_by_a_single_tenant_loki(loki: LokiUnderTest) -> None:
    assert post(loki.push_url, encode_push([good()]), X_Scope_OrgID="somebody")[0] == 204
    assert loki.count() == 1


def test_an_unknown_path_is_404(loki: LokiUnderTest) -> None:
    status, body, _ = post(loki.base_url + "/loki/api/v2/push", b"")
    assert (status, body.strip()) == (404, "404 page not found")


def test_only_an_immediate_repeat_is_absorbed(loki: LokiUnderTest) -> None:
    now = time.time_ns()
    first: Streams = [('{job="r"}', [(now, b"once", {})])]
    later: Streams = [('{job="r"}', [(now + 1, b"later", {})])]
    for streams in (first, first, later, first):
        assert push(loki, streams)[0] == 204
    # The real one looks into its head block, too, as long as that is not cut.
    assert loki.count() in ({3} if isinstance(loki, InProcessLoki) else {2, 3})


def test_not_ready_is_503() -> None:
    loki = InProcessLoki()
    loki.double.ready = False
    try:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(loki.base_url + "/ready", timeout=5)
        assert caught.value.code == 503
        assert caught.value.read().startswith(b"Ingester not ready: waiting for 15s after being ready")
    finally:
        loki.close()


def test_verdicts_of_the_distributor_are_grouped(loki: LokiUnderTest) -> None:
    old = time.time_ns() - 8 * 24 * HOUR
    status, body = push(loki, [('{job="o"}', entries(3, at=old)), good()])
    assert status == 400
    assert "has timestamp too old" in body
    if isinstance(loki, InProcessLoki):
        assert body.startswith("3 errors like: entry for stream")


def test_the_query_api_counts_and_shows(loki: LokiUnderTest) -> None:
    push(loki, [('{job="q", host="a"}', entries(3, b"needle 1")), ('{job="q", host="b"}', entries(2, b"straw"))])

    def ask(what: str, **parameters: str) -> Any:
        with urllib.request.urlopen(
            f"{loki.base_url}/loki/api/v1/{what}?{urllib.parse.urlencode(parameters)}", timeout=10
        ) as answer:
            return json.load(answer)["data"]

    time.sleep(0.01)
    result = ask("query", query='sum(count_over_time({job="q"}[5m]))')["result"]
    assert [value["value"][1] for value in result] == ["5"]
    result = ask("query", query='sum by (host) (count_over_time({job="q"} |= "needle" [5m]))')["result"]
    assert [(value["metric"], value["value"][1]) for value in result] == [({"host": "a"}, "3")]
    found = ask("query_range", query='{job="q"} != "straw"', limit="10")["result"]
    assert sum(len(stream["values"]) for stream in found) == 3
    assert "host" in ask("labels")
    assert ask("label/host/values") == ["a", "b"]


# ---- the fault layer -----------------------------------------------------------------------------


def test_each_fault_is_what_it_says(loki: LokiUnderTest) -> None:
    body = encode_push([good()])
    loki.fault("status", times=1, status=429, headers={"Retry-After": "3"}, body="slow down")
    status, answer, headers = post(loki.push_url, body)
    assert (status, answer, headers["Retry-After"]) == (429, "slow down", "3")
    for kind in ("reset", "garbage", "cut"):
        loki.fault(kind, times=1)
        with pytest.raises((OSError, Exception)) as caught:
            post(loki.push_url, body)
        assert not isinstance(caught.value, urllib.error.HTTPError)
    loki.fault("refuse")
    with pytest.raises(urllib.error.URLError, match="refused"):
        post(loki.push_url, body)
    loki.clear()
    loki.fault("slow", times=1, seconds=0.3)
    started = time.monotonic()
    assert post(loki.push_url, body)[0] == 204
    assert time.monotonic() - started >= 0.3
    assert loki.count() == 1


def test_a_hanging_push_is_reset_when_the_fault_ends(loki: LokiUnderTest) -> None:

    loki.fault("hang")
    outcome: list[Exception] = []

    def client() -> None:
        try:
            post(loki.push_url, encode_push([good()]))
        except OSError as error:
            outcome.append(error)

    thread = threading.Thread(target=client)
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive()
    loki.clear()
    thread.join(5)
    assert len(outcome) == 1
    assert loki.count() == 0


def test_an_answer_can_be_lost_after_storing(loki: LokiUnderTest) -> None:
    loki.fault("reset", times=1, stored=True)
    with pytest.raises(OSError):
        post(loki.push_url, encode_push([good()]))
    assert loki.count() == 1


def test_credentials_are_asked_for() -> None:
    loki = InProcessLoki()
    loki.front.access.basic = ("user", "secret")
    loki.front.access.tenant = "team"
    try:
        body = encode_push([good()])
        assert post(loki.push_url, body)[0] == 401
        assert post(loki.push_url, body, Authorization="Basic dXNlcjpzZWNyZXQ=")[0] == 401
        assert post(loki.push_url, body, Authorization="Basic dXNlcjpzZWNyZXQ=", X_Scope_OrgID="team")[0] == 204
    finally:
        loki.close()


def test_a_double_in_its_own_process_is_steered_and_counts() -> None:
    loki = LokiProcess(max_streams=2)
    try:
        now = time.time_ns()
        numbered: Streams = [('{job="n"}', [(now + n, b"n=%d" % n, {"k": "v"}) for n in (0, 1, 1, 3)])]
        assert push(loki, numbered)[0] == 204
        tally = loki.tally(5)
        assert (tally.entries, tally.distinct, tally.duplicates, tally.first_lost) == (3, 3, 0, [2, 4])
        assert loki.entries()[0] == ({"job": "n"}, now, "n=0", {"k": "v"})
        loki.fault("refuse")
        with pytest.raises(urllib.error.URLError):
            push(loki, numbered)
        loki.clear()
        loki.set_limits(max_line_size=2)
        assert push(loki, numbered)[0] == 400
        assert loki.stats()["statuses"] == {"204": 1, "400": 1}
    finally:
        loki.close()


def test_a_million_entries_would_take_less_than_20_seconds() -> None:
    loki = InProcessLoki(Limits(per_stream_rate=10**12, per_stream_burst=10**12))
    try:
        now = time.time_ns()
        metadata = {"process_id": "1234", "facility": "daemon", "sender": "10.1.2.3"}
        bodies = [
            encode_push(
                [
                    (
                        f'{{host="h{stream}", job="syslog"}}',
                        [(now + batch * 1000 + n, b"x" * 150, metadata) for n in range(400)],
                    )
                    for stream in range(25)
                ]
            )
            for batch in range(5)
        ]
        started = time.process_time()
        for body in bodies:
            assert post(loki.push_url, body)[0] == 204
        assert 50_000 / (time.process_time() - started) > 50_000
        assert loki.count() == 50_000
    finally:
        loki.close()
