"""`appliance test message`: a message goes in as a device's, and is found in Loki with its labels."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import StartRelay
from tests.loki_double import InProcessLoki, LokiUnderTest


def trial(config: object, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "appliance", "test", "message", "--config", str(config), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_message_is_sent_and_found_in_loki(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url)
    result = trial(relay.config_file, 'it\'s a `test` {of} "quotes"')
    assert result.returncode == 0, result.stderr
    assert "OK        sent: over TCP" in result.stdout
    assert "OK        arrived: in Loki after" in result.stdout
    assert "application=appliance-test" in result.stdout
    (line,) = loki.lines()
    assert line.startswith(b'it\'s a `test` {of} "quotes" [')


def test_a_message_that_does_not_arrive_is_said_and_is_not_lost(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path
) -> None:
    relay = start_relay(loki.push_url)
    # Another Loki, that is well and never gets the line.
    other = InProcessLoki()
    config = tmp_path / "other.yaml"
    config.write_text(relay.config_file.read_text().replace(loki.push_url, other.push_url))
    result = trial(config, "--timeout", "1")
    other.close()
    assert result.returncode == 1
    assert "not in Loki within 1 s" in result.stderr and "it waits here" in result.stderr


@pytest.mark.parametrize("fault", ["hang", "refuse"])
def test_a_loki_that_is_away_is_said_at_once(loki: LokiUnderTest, start_relay: StartRelay, fault: str) -> None:
    relay = start_relay(loki.push_url)
    loki.fault(fault)
    began = time.monotonic()
    result = trial(relay.config_file)
    assert time.monotonic() - began < 10, "three seconds, and those in which a program starts on a busy machine"
    assert result.returncode == 1
    assert "Loki is away; the line waits here" in result.stderr


def test_nothing_listening_is_said(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url, up=False)
    result = trial(relay.config_file)
    assert result.returncode == 1
    assert "relay.listen.syslog_tcp does not accept the message" in result.stderr


def test_an_unknown_listener_is_refused_with_those_there_are(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url, up=False)
    result = trial(relay.config_file, "--by", "smoke")
    assert result.returncode == 2
    assert "hint: there are: syslog_tcp" in result.stderr
