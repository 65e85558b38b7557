"""OTLP logs pushed to a running relay reach Loki with the labels and metadata that Loki's documentation promises."""

import gzip
import json
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.conftest import StartRelay
from tests.harness.net import wait_until
from tests.harness.processes import Relay
from tests.loki_double import LokiUnderTest


def text(value: str) -> dict[str, str]:
    return {"stringValue": value}


def export(relay: Relay, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{relay.push}{path}", body, {"Content-Type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def logs(now: int) -> dict[str, Any]:
    resource = {"attributes": [{"key": "k8s.namespace.name", "value": text("prod")},
                               {"key": "foo.bar", "value": {"intValue": "7"}}]}  # fmt: skip
    records = [
        {"timeUnixNano": str(now), "severityNumber": 17, "severityText": "ERROR", "body": text("one")},
        {"timeUnixNano": str(now - 1800 * 10**9), "attributes": [{"key": "x", "value": text("y")}],
         "body": {"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}]}}},
    ]  # fmt: skip
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {"name": "lib"}, "logRecords": records}]}]}


@pytest.mark.parametrize("path", ["/otlp/v1/logs", "/v1/logs"])
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_exported_records_are_in_loki_with_labels_level_and_metadata(
    start_relay: StartRelay, loki: LokiUnderTest, path: str, encoding: str
) -> None:
    relay = start_relay(loki.push_url)
    now = time.time_ns()
    body = json.dumps(logs(now)).encode()
    headers = {"Content-Encoding": "gzip"} if encoding else {}
    status, answer = export(relay, path, gzip.compress(body) if encoding else body, **headers)
    assert (status, json.loads(answer)) == (200, {"partialSuccess": {}})
    wait_until(lambda: loki.count() >= 2, 20)
    found = {line: (labels, ns, metadata) for labels, ns, line, metadata in loki.entries()}
    assert found.keys() == {"one", '{"a":true}'}
    labels, ns, metadata = found["one"]
    assert labels == {"k8s_namespace_name": "prod"} and ns == now
    assert metadata["level"] == "error" and metadata["foo_bar"] == "7" and metadata["scope_name"] == "lib"
    assert found['{"a":true}'][1] == now - 1800 * 10**9 and found['{"a":true}'][2]["x"] == "y"


def test_what_is_no_otlp_is_answered_with_the_reason_and_stores_nothing(
    start_relay: StartRelay, loki: LokiUnderTest
) -> None:
    relay = start_relay(loki.push_url)
    status, answer = export(relay, "/v1/logs", b'{"resourceLogs": 7}')
    assert status == 400 and answer
    time.sleep(1.5)
    assert loki.count() == 0
