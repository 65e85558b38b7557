"""Anyone who asks whether Loki is there has an answer within seconds, in the words of the relay's own status."""

import socket
import time
from pathlib import Path

import pytest

from appliance.config.load import parse
from appliance.config.model import Config, Loki
from appliance.relay.loki.client import LokiClient
from appliance.relay.loki.response import diagnose
from appliance.relay.probe import check
from appliance.relay.probe.check import check_loki, check_spool
from appliance.relay.probe.reach import reach
from appliance.relay.probe.test_message import trial, ways
from tests.harness.net import free_port


def loki(port: int) -> Loki:
    return config(port).loki


def config(port: int, more: str = "") -> Config:
    return parse(f"loki: {{url: 'http://127.0.0.1:{port}/loki/api/v1/push'}}\n{more}").config


def test_a_refused_connection_has_the_same_words_here_and_in_the_relay() -> None:
    to = loki(free_port())
    finding = reach(to)
    client = LokiClient(to)
    told_by_relay = diagnose(client.push(b""), time.time())
    client.close()
    assert (finding.ok, finding.detail, finding.remedy) == (False, told_by_relay.cause, told_by_relay.remedy)
    assert finding.detail == "Loki refused the connection"


def test_what_never_answers_is_away_within_three_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        finding = reach(loki(silent.getsockname()[1]), within=1.5)
        took = time.monotonic() - began
    assert finding.ok is False and "did not answer in time" in finding.detail
    assert took < 3


def test_a_name_server_that_does_not_answer_does_not_hold_up_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*arguments: object, **more: object) -> object:
        time.sleep(30)
        return []

    monkeypatch.setattr(check.socket, "getaddrinfo", slow)
    began = time.monotonic()
    (finding,) = check_loki(loki(3100), within=0.5)
    assert time.monotonic() - began < 5
    assert finding.ok is False and "no name server answers" in finding.detail and "DNS" in finding.remedy


def test_a_test_message_during_an_outage_says_that_the_line_waits_here() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listen = f"relay: {{listen: {{syslog_tcp: '127.0.0.1:{listener.getsockname()[1]}'}}}}\n"
        settings = config(free_port(), listen)
        began = time.monotonic()
        sent, arrived = trial(settings, ways(settings)[0], "hello", timeout=30)
        assert time.monotonic() - began < 3
    assert sent.ok is True
    assert arrived.ok is False
    assert arrived.detail == "Loki is away; the line waits here: Loki refused the connection"


def test_an_ordinary_user_is_told_that_the_spool_needs_root_and_nothing_dangerous(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check.os, "access", lambda *arguments: False)
    monkeypatch.setattr(check.os, "geteuid", lambda: 1000)
    finding = check_spool(
        parse(
            f"loki: {{url: 'http://x/loki/api/v1/push'}}\nrelay: {{spool: {{path: {tmp_path}}}}}\n"
        ).config.relay.spool
    )
    assert finding.ok is None and "not checked" in finding.detail
    assert finding.remedy == "needs root: `appliance check`"
    assert "chown" not in finding.remedy
