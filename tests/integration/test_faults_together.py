"""Everything at once, in random order: relay and rsyslogd stopped and killed, Loki away, a spool that is soon full."""

import random
import time
from pathlib import Path

import pytest

from tests.conftest import StartRelay
from tests.harness.load import RelpLoad
from tests.harness.net import wait_until
from tests.harness.processes import Process
from tests.harness.rsyslog import ApplianceRsyslog, listeners
from tests.integration.test_faults_disk import random_text
from tests.loki_double import LokiUnderTest

SECONDS = 45
BATCH = 6000
"""Messages that a batch of 2 MiB holds of these."""
EVENTS = ("relay stopped", "relay killed", "rsyslog stopped", "rsyslog killed", "both", "loki away", "loki back")
TURN = 1500
"""Messages of one kind before the next has its turn."""


def of_three_kinds(number: int) -> bytes:
    text = random_text(number)
    match number // TURN % 3:
        case 0:
            return text
        case 1:
            return b"<30>Nov 23 13:00:00 host1 app: " + text.split(b" - - ", 1)[1]
        case _:
            return text.split(b" - - ", 1)[1]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_stops_kills_outages_and_a_full_spool_in_any_order_lose_nothing(
    loki_process: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]
) -> None:
    loki = loki_process
    relay = start_relay(loki.push_url, {"relay": {"spool": {"max_size": "6MiB"}, "batch": {"size": "512KiB"}}})
    listen = listeners("relp")
    rsyslog = ApplianceRsyslog(tmp_path / "r", listen, relay.handover).ready()
    processes.append(rsyslog)
    assert listen.relp
    load = RelpLoad(listen.relp.port, rate=3000, make=of_three_kinds, window=500, patience=200)
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    happened = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.3, 2))
        happened.append(chance.choice(EVENTS))
        match happened[-1]:
            case "relay stopped":
                relay.terminate()
                relay.up()
            case "relay killed":
                relay.kill()
                relay.up()
            case "rsyslog stopped":
                rsyslog.terminate()
                rsyslog.ready()
            case "rsyslog killed":
                rsyslog.kill()
                rsyslog.ready()
            case "both":
                relay.kill()
                rsyslog.terminate()
                relay.up()
                rsyslog.ready()
            case "loki away":
                loki.fault("refuse")
            case "loki back":
                loki.clear()
    loki.clear()
    sent = load.finish(120)
    wait_until(lambda: loki.tally(sent).lost == 0, 90, every=2, what=lambda: (seed, happened, loki.tally(sent)))
    tally = loki.tally(sent)
    both = happened.count("both")
    kills = happened.count("relay killed") + both
    stops = happened.count("rsyslog stopped") + happened.count("rsyslog killed") + both
    # A kill of the relay: the pushes in flight. A stop of rsyslog: what our sender had in its window.
    assert tally.duplicates <= kills * 4 * BATCH + stops * 500, (seed, happened)
