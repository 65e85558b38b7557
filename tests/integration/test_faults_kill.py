"""Processes that die: the relay by SIGKILL again and again, rsyslogd restarted and killed.

The bound on duplicates, for each death of the relay: the pushes in flight to Loki (`loki.connections`), of
one batch each at least, and what a sender over RELP of the relay's own had sent ahead of the acknowledgement.
"""

import json
import random
import threading
import time
import urllib.error
import urllib.request

import pytest

from tests.conftest import StartRelay, StartRsyslog
from tests.harness.certificates import client_tls
from tests.harness.load import RelpLoad
from tests.harness.net import wait_until
from tests.harness.senders import numbered, octet_counted, send_tcp
from tests.integration.test_faults_loki import arrives
from tests.loki_double import LokiUnderTest

CONNECTIONS = 4


@pytest.mark.slow
def test_ten_kills_of_the_relay_while_a_real_rsyslogd_feeds_it(
    loki_process: LokiUnderTest, start_relay: StartRelay, start_rsyslog: StartRsyslog
) -> None:
    loki, rate, kills = loki_process, 5000, 10
    relay = start_relay(loki.push_url, {"loki": {"connections": CONNECTIONS}})
    _, _, relp = start_rsyslog(relay)
    load = RelpLoad(relp, rate=rate, hosts=50, size=120)
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    wait_until(lambda: loki.count() > 0, 20)
    for _ in range(kills):
        time.sleep(moments.uniform(0.05, 1.2))
        relay.kill()
        relay.up()
    sent = load.finish()
    tally = arrives(loki, sent, 60)
    assert (tally.lost, tally.strange) == (0, []), f"seed {seed}"
    assert tally.duplicates <= kills * CONNECTIONS * rate * 2, f"seed {seed}"
    print(f"sent {sent}, duplicates {tally.duplicates} over {kills} kills")


@pytest.mark.slow
def test_kills_of_the_relay_while_loki_is_slow(loki_process: LokiUnderTest, start_relay: StartRelay) -> None:
    """Pushes are cut off in the middle of their way; what was spooled is sent again."""
    loki = loki_process
    relay = start_relay(loki.push_url)
    load = RelpLoad(relay.relp, rate=3000, window=1000)
    loki.fault("slow", seconds=0.4)
    for _ in range(4):
        time.sleep(random.uniform(0.5, 1.0))
        relay.kill()
        relay.up()
    loki.clear()
    tally = arrives(loki, load.finish(), 60)
    assert tally.lost == 0
    assert tally.duplicates <= 4 * (1000 + CONNECTIONS * 6000)


@pytest.mark.slow
def test_a_restarted_rsyslogd_loses_nothing_that_it_acknowledged(
    loki_process: LokiUnderTest, start_relay: StartRelay, start_rsyslog: StartRsyslog
) -> None:
    loki = loki_process
    relay = start_relay(loki.push_url)
    rsyslogd, tls, relp = start_rsyslog(relay)
    load = RelpLoad(relp, rate=4000, window=500)
    for _ in range(3):
        time.sleep(1)
        rsyslogd.terminate(30)
        rsyslogd.up(tls, relp)
    tally = arrives(loki, load.finish(), 60)
    assert tally.lost == 0
    # For each restart: what our client had not been acknowledged.
    assert tally.duplicates <= 3 * 500


def test_rsyslogd_killed_after_it_handed_on_loses_nothing(
    loki: LokiUnderTest, start_relay: StartRelay, start_rsyslog: StartRsyslog
) -> None:
    relay = start_relay(loki.push_url)
    loki.fault("refuse")
    rsyslogd, tls, _ = start_rsyslog(relay)
    send_tcp(tls, octet_counted(numbered(range(5000))), tls=client_tls())
    wait_until(lambda: _received(relay.get("/metrics")[1]) >= 5000, 15)
    time.sleep(1.2)  # a batch is closed and acknowledged within a second
    rsyslogd.kill()
    loki.clear()
    tally = arrives(loki, 5000)
    assert (tally.lost, tally.duplicates) == (0, 0)


def _received(metrics: str) -> int:
    """Entries taken so far, under the name Promtail gave the counter."""
    for line in metrics.splitlines():
        if line.startswith("promtail_syslog_target_entries_total"):
            return int(float(line.rsplit(" ", 1)[1]))
    return 0


@pytest.mark.slow
def test_a_push_answered_204_survives_kills(loki_process: LokiUnderTest, start_relay: StartRelay) -> None:
    loki = loki_process
    relay = start_relay(loki.push_url)
    sent = repeated = 0
    stop = threading.Event()

    def client() -> None:
        nonlocal sent, repeated
        while not stop.is_set():
            now = time.time_ns()
            values = [[str(now + n), f"n={sent + n}"] for n in range(100)]
            body = json.dumps({"streams": [{"stream": {"job": "pusher"}, "values": values}]}).encode()
            request = urllib.request.Request(
                f"http://127.0.0.1:{relay.push}/loki/api/v1/push", body, {"Content-Type": "application/json"}
            )
            while True:
                try:
                    with urllib.request.urlopen(request, timeout=10) as answer:
                        assert answer.status == 204
                    sent += 100
                    break
                except (OSError, urllib.error.URLError):
                    repeated += 1
                    time.sleep(0.05)

    thread = threading.Thread(target=client, daemon=True)
    thread.start()
    for _ in range(3):
        time.sleep(1)
        relay.kill()
        relay.up()
    time.sleep(0.5)
    stop.set()
    thread.join(30)
    tally = arrives(loki, sent, 30)
    assert tally.lost == 0
    assert tally.duplicates <= 3 * (100 + CONNECTIONS * 100 * 100)


def test_sigterm_ends_in_5_seconds_with_loki_down_and_loses_nothing(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    for fault in ("refuse", "hang"):
        relay = start_relay(loki.push_url, name=fault)
        already = loki.count()
        loki.fault(fault)
        load = RelpLoad(relay.relp, rate=5000)
        time.sleep(1.5)
        assert relay.terminate() < 5
        relay.up()
        sent = load.finish()
        loki.clear()
        wait_until(lambda expected=already + sent: loki.count() >= expected, 30)  # type: ignore[misc]
        tally = loki.tally(sent)
        assert tally.lost == 0


def test_sighup_under_load_drops_no_connection_and_no_message(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    import signal

    relay = start_relay(loki.push_url)
    load = RelpLoad(relay.relp, rate=5000)
    for number in range(5):
        time.sleep(0.4)
        relay.configure({"labels": {"static": {"job": f"job{number}"}}})
        relay.signal(signal.SIGHUP)
    time.sleep(0.5)
    tally = arrives(loki, load.finish())
    assert (tally.lost, tally.duplicates) == (0, 0)
    assert load.client.connections == 1
    assert {labels["job"] for labels in loki.streams()} >= {"syslog", "job4"}
