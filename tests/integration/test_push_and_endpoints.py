"""A running relay: what is pushed to it reaches Loki as it was, and its pages say what is so."""

import gzip
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import StartRelay
from tests.harness.net import wait_until
from tests.harness.processes import Relay
from tests.loki_double import InProcessLoki, LokiUnderTest
from tests.loki_double.proto import encode_push

PROTO = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


def push(relay: Relay, body: bytes, headers: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    request = urllib.request.Request(f"http://127.0.0.1:{relay.push}/loki/api/v1/push", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def as_json(labels: dict[str, str], lines: list[list[Any]]) -> bytes:
    return json.dumps({"streams": [{"stream": labels, "values": lines}]}).encode()


def status(relay: Relay) -> dict[str, Any]:
    code, body = relay.get("/status")
    assert code == 200
    return dict(json.loads(body))


def status_when(relay: Relay, true: Callable[[dict[str, Any]], object], timeout: float = 15) -> dict[str, Any]:
    """The first status of which it is true."""
    seen: dict[str, Any] = {}

    def look() -> bool:
        nonlocal seen
        seen = status(relay)
        return bool(true(seen))

    wait_until(look, timeout, what=lambda: f"status: {json.dumps(seen, indent=1)[:4000]}\n{relay.output[-3000:]}")
    return seen


def metrics(relay: Relay) -> dict[str, float]:
    code, body = relay.get("/metrics")
    assert code == 200
    return {
        sample.name + "".join(f"|{name}={sample.labels[name]}" for name in sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def incompressible() -> bytes:
    """A push of 20 kB whose size snappy cannot reduce much."""
    return encode_push([('{job="fill"}', [(time.time_ns(), os.urandom(10_000).hex().encode(), {})])])


def problem(state: dict[str, Any], part: str) -> dict[str, str]:
    return next(found for found in state["problems"] if found["part"] == part)


# ---- the push API --------------------------------------------------------------------------------


def test_protobuf_json_and_gzip_arrive_with_labels_times_lines_and_metadata(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    relay = start_relay(loki.push_url)
    now = time.time_ns()
    assert push(relay, encode_push([('{b="2", a="1"}', [(now, b"by protobuf", {"pid": "7"})])]), PROTO)[:2] == (204, "")
    assert push(relay, as_json({"a": 'q"é'}, [[str(now + 1), "by JSON é", {"k": "v"}]]), JSON)[0] == 204
    body = gzip.compress(as_json({"a": "gz"}, [[str(now + 2), "by gzip"]]))
    assert push(relay, body, {**JSON, "Content-Encoding": "gzip"})[0] == 204
    wait_until(lambda: loki.count() == 3, what=lambda: relay.output)
    found = sorted(loki.entries(), key=lambda entry: entry[1])
    assert [(labels, stamp - now, line) for labels, stamp, line, _ in found] == [
        ({"a": "1", "b": "2"}, 0, "by protobuf"),
        ({"a": 'q"é'}, 1, "by JSON é"),
        ({"a": "gz"}, 2, "by gzip"),
    ]
    assert [metadata for *_, metadata in found] == [{"pid": "7"}, {"k": "v"}, {}]


def test_what_was_answered_204_survives_sigkill_while_loki_is_away(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    loki.fault("refuse")
    relay = start_relay(loki.push_url)
    now = time.time_ns()
    for number in range(20):
        lines = [(now + number * 10 + k, b"n=%d " % (number * 10 + k), {}) for k in range(10)]
        assert push(relay, encode_push([('{job="killed"}', lines)]), PROTO)[0] == 204
    relay.kill()
    relay.up()
    loki.clear()
    wait_until(lambda: loki.count() >= 200, 20, what=lambda: relay.output)
    tally = loki.tally(200)
    assert (tally.lost, tally.duplicates) == (0, 0)


def test_each_tenant_is_kept_through_to_loki(start_relay: StartRelay) -> None:
    loki = InProcessLoki(multi_tenant=True)
    try:
        relay = start_relay(loki.push_url, {"loki": {"tenant": "house"}})
        now = time.time_ns()
        for tenant in ("blue", "red", ""):
            headers = {**JSON, "X-Scope-OrgID": tenant} if tenant else JSON
            assert push(relay, as_json({"for": tenant or "house"}, [[str(now), "x"]]), headers)[0] == 204
        wait_until(lambda: loki.count() == 3, what=lambda: relay.output)
        for tenant in ("blue", "red", "house"):
            (stream,) = loki.double.ingester.streams(tenant)
            assert stream.labels["for"] == tenant
        assert push(relay, as_json({}, [[str(now), "x"]]), {**JSON, "X-Scope-OrgID": "a/b"})[0] == 400
        # A client that names our own tenant shares its streams, so that the guard sees all of them.
        assert (
            push(relay, as_json({"for": "house"}, [[str(now + 1), "x"]]), {**JSON, "X-Scope-OrgID": "house"})[0] == 204
        )
        assert push(relay, as_json({"for": "me"}, [[str(now), "x"]]), {**JSON, "X-Scope-OrgID": "house"})[0] == 204
        wait_until(lambda: len(loki.double.ingester.streams("house")) == 2)
        assert metrics(relay)["forwarder_streams_active"] == 2
    finally:
        loki.close()


def test_bad_pushes_are_refused_with_lokis_status_and_nothing_of_them_is_stored(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    relay = start_relay(loki.push_url)
    now = str(time.time_ns())
    bad = [
        (b'{"streams":[]}', JSON, 422),
        (b"hello", {"Content-Type": "text/plain"}, 400),
        (as_json({"a-b": "c"}, [[now, "x"]]), JSON, 400),
        (b'{"streams":[{"stream":{"a":"b"},"values":[[5,"x"]]}]}', JSON, 400),
        (as_json({"a": "b"}, [[now, "x"]]), {**JSON, "Content-Encoding": "zstd"}, 400),
        (b" " * (17 * 2**20), JSON, 413),
    ]
    assert [push(relay, body, headers)[0] for body, headers, _ in bad] == [code for *_, code in bad]
    assert push(relay, as_json({"a": "good"}, [[now, "good"]]), JSON)[0] == 204
    wait_until(lambda: loki.count() == 1, what=lambda: relay.output)
    refused = status(relay)["push_refused"]
    assert refused == {"no_streams": 1, "compression": 1, "labels": 1, "json": 1, "content_encoding": 1}


@pytest.fixture
def full_relay(loki: LokiUnderTest, start_relay: StartRelay) -> Iterator[Relay]:
    """A relay whose spool is full because Loki is away."""
    loki.fault("refuse")
    relay = start_relay(loki.push_url, {"relay": {"batch": {"size": "64KiB"}, "spool": {"max_size": "256KiB"}}})
    wait_until(lambda: push(relay, incompressible(), PROTO)[0] == 503, 20, every=0.0, what=lambda: relay.output)
    yield relay


def test_a_full_spool_is_503_until_loki_is_back(full_relay: Relay, loki: LokiUnderTest) -> None:
    code, text, headers = push(full_relay, incompressible(), PROTO)
    assert (code, "the spool is full" in text, int(headers["Retry-After"]) > 0) == (503, True, True)
    before = status(full_relay)["queue"]["entries"]
    loki.clear()
    wait_until(
        lambda: push(full_relay, incompressible(), PROTO)[0] == 204, 15, every=0.3, what=lambda: full_relay.output
    )
    # Everything that was answered 204 is there, and nothing that was answered 503.
    wait_until(lambda: loki.count() == before + 1, 15, what=lambda: f"{loki.count()} of {before + 1}")
    assert status(full_relay)["dropped"] == {}


# ---- the pages ------------------------------------------------------------------------------------


def test_metrics_agree_with_what_was_sent_under_both_names(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url)
    now = time.time_ns()
    for number in range(5):
        lines = [(now + number * 100 + k, b"line %d" % k, {}) for k in range(100)]
        assert push(relay, encode_push([('{job="counted"}', lines)]), PROTO)[0] == 204
    wait_until(lambda: loki.count() == 500, what=lambda: relay.output)
    status_when(relay, lambda state: state["loki"]["entries"] == 500)
    found = metrics(relay)
    host = loki.base_url.removeprefix("http://")
    assert found["forwarder_input_messages_total|input=push"] == 500
    assert found["forwarder_loki_pushed_entries_total"] == 500
    assert found[f"promtail_sent_entries_total|host={host}"] == 500
    assert found[f"promtail_sent_bytes_total|host={host}"] > 0
    assert found["forwarder_push_requests_accepted_total"] == 5
    assert found["forwarder_push_responses_total|status=204"] == 5
    assert found["forwarder_loki_state|state=ok"] == 1
    assert found["forwarder_spool_batches"] == 0
    assert found["forwarder_ready"] == 1
    assert found[f"promtail_request_duration_seconds_count|host={host}|status_code=204"] >= 1
    assert found[f"promtail_dropped_entries_total|host={host}|reason=ingester_error|tenant="] == 0


def test_status_of_a_relay_that_works_says_so(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url)
    assert relay.get("/ready") == (200, "Ready\n")
    assert push(relay, as_json({"job": "x"}, [[str(time.time_ns()), "hello"]]), JSON)[0] == 204
    state = status_when(relay, lambda state: state["loki"]["state"] == "ok")
    assert state["problems"] == []
    assert state["ready"] is True
    assert state["queue"]["batches"] == 0
    assert abs(state["loki"]["last_success"] - time.time()) < 30
    assert state["loki"]["last_error"] is None
    assert state["inputs"]["push"]["messages"] == 1
    assert state["streams"]["active"] == 1
    (source,) = state["sources"]["latest"]
    assert (source["sender"], source["input"], source["messages"]) == ("127.0.0.1", "push", 1)
    state = status_when(relay, lambda state: state["inputs"]["push"]["messages_per_second_60s"] >= 0)
    assert 0 < state["uptime"] < 60


def test_status_says_that_loki_is_down_why_and_what_waits(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    loki.fault("refuse")
    relay = start_relay(loki.push_url)
    for number in range(3):
        assert push(relay, as_json({"job": "x"}, [[str(time.time_ns()), f"{number}"]]), JSON)[0] == 204
    state = status_when(relay, lambda state: state["loki"]["state"] == "waiting")
    assert state["queue"]["entries"] == 3
    assert state["queue"]["oldest_age"] >= 0
    assert state["ready"] is True  # it can still take logs
    found = problem(state, "loki")
    assert found["problem"] and found["remedy"]
    assert state["loki"]["last_error"]["cause"] == found["problem"]
    loki.clear()
    state = status_when(relay, lambda state: state["loki"]["state"] == "ok" and state["queue"]["entries"] == 0)
    assert state["problems"] == []


def test_status_says_that_a_401_holds_the_queue_and_names_the_remedy(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    loki.fault("status", status=401, body="no org id")
    relay = start_relay(loki.push_url)
    assert push(relay, as_json({"job": "x"}, [[str(time.time_ns()), "held"]]), JSON)[0] == 204
    state = status_when(relay, lambda state: state["loki"]["state"] == "held")
    assert state["queue"]["entries"] == 1
    assert "401" in json.dumps(state["loki"]["status_codes"])
    assert problem(state, "loki")["remedy"]
    assert metrics(relay)["forwarder_loki_state|state=held"] == 1


def test_status_says_that_the_spool_is_full_since_when_and_ready_is_503(full_relay: Relay) -> None:
    state = status_when(full_relay, lambda state: state["queue"]["full"])
    assert state["queue"]["blocked_since"] <= time.time()
    assert state["queue"]["fill_ratio"] > 0.8
    assert problem(state, "queue")["remedy"]
    assert metrics(full_relay)["forwarder_spool_full"] == 1


def test_a_reload_is_counted_and_keeps_a_connection_of_a_pushing_client_open(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    import http.client

    relay = start_relay(loki.push_url)
    client = http.client.HTTPConnection("127.0.0.1", relay.push, timeout=10)

    def post(line: str) -> int:
        client.request("POST", "/loki/api/v1/push", as_json({"job": "x"}, [[str(time.time_ns()), line]]), JSON)
        answer = client.getresponse()
        answer.read()
        return answer.status

    assert post("before") == 204
    used = client.sock
    relay.configure({"relay": {"connections": {"max_push": "1KiB"}}})
    relay.signal(signal.SIGHUP)
    status_when(relay, lambda state: state["config_reloads"] == 1)
    assert post("after") == 204
    assert client.sock is used
    assert push(relay, as_json({"job": "x"}, [[str(time.time_ns()), "x" * 2000]]), JSON)[0] == 413
    relay.config_file.write_text("loki: [")
    relay.signal(signal.SIGHUP)
    status_when(relay, lambda state: state["config_reload_failures"] == 1)
    assert post("still") == 204
    client.close()


def test_the_idle_relay_with_all_listeners_is_small(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url)
    assert relay.get("/metrics")[0] == relay.get("/status")[0] == 200
    assert relay.rss() <= 45 * 2**20
