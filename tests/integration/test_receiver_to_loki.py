"""From plain TCP to Loki: receiver, hand-over files and relay as the processes they are on the machine."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartRelay
from tests.harness.load import TcpLoad
from tests.harness.net import wait_until
from tests.harness.processes import Process, Relay
from tests.harness.receiver import Receiver
from tests.harness.senders import lines, octet_counted, rfc5424, send_tcp
from tests.loki_double import LokiUnderTest

Box = Callable[..., tuple[Receiver, Relay]]


@pytest.fixture
def box(tmp_path: Path, processes: list[Process], start_relay: StartRelay) -> Box:
    """box(loki, relay_settings, **receiver_settings): both, with one directory of hand-over files."""

    def start(loki: LokiUnderTest, settings: dict[str, Any] | None = None, **more: Any) -> tuple[Receiver, Relay]:
        relay = start_relay(loki.push_url, settings)
        receiver = Receiver(tmp_path / "receiver", handover=relay.handover, **more)
        processes.append(receiver)
        return receiver.up(), relay

    return start


def test_lines_that_begin_with_digits_reach_loki_whole(loki: LokiUnderTest, box: Box) -> None:
    receiver, _ = box(loki)
    sent = [
        b"2026-11-27 06:30:01 45 X",
        b"2026-11-27T06:30:01Z CEF:0|Security|X|1|",
        b"<13>Nov 27 06:30:01 web app: tail\r",
    ]
    send_tcp(receiver.port, lines(sent) + octet_counted([rfc5424("counted", host="h", application="a")]))
    wait_until(lambda: loki.count() == 4, 20, what=loki.lines)
    found = loki.lines()
    for end in (b"45 X", b"CEF:0|Security|X|1|", b"tail", b"counted"):
        assert any(line.endswith(end) for line in found), found


@pytest.mark.slow
def test_a_relay_killed_again_and_again_under_load_loses_and_repeats_nothing(
    loki_process: LokiUnderTest, box: Box
) -> None:
    loki = loki_process
    receiver, relay = box(loki, {"relay": {"batch": {"size": "128KiB", "age": "200ms"}}})
    loki.fault("refuse")  # what is in flight to Loki when the relay dies may come twice: that is another promise
    loads = [
        TcpLoad(receiver.port, rate=3000, make=lambda n, name=name: rfc5424(f"n={n}", application=name))  # type: ignore[misc]
        for name in ("one", "two")
    ]
    for _ in range(8):
        time.sleep(0.5)
        relay.kill()
        time.sleep(0.2)
        relay.up()
    sent = {"one": loads[0].finish(), "two": loads[1].finish()}
    assert receiver.running
    wait_until(lambda: json.loads(relay.get("/status")[1])["handover"]["backlog_bytes"] == 0, 30)
    loki.clear()
    for application, count in sent.items():
        query = f'{{application="{application}"}}'
        wait_until(lambda query=query, count=count: loki.count(query) >= count, 60)  # type: ignore[misc]
        tally = loki.tally(count, query)
        assert (tally.lost, tally.duplicates, tally.strange) == (0, 0, [])
