"""A backlog of a million entries, a third of them in one stream, drains into a default Loki."""

import json
import time

import pytest

from tests.conftest import StartRelay
from tests.harness.load import RelpLoad
from tests.harness.net import wait_until
from tests.harness.senders import octet_counted, rfc5424, send_tcp
from tests.loki_double import LokiUnderTest

TOTAL = 1_000_000
BACKLOG = '{service_name=~".+", host!="fresh"}'


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_million_entries_drain_within_the_limits_of_a_default_loki(
    loki_process: LokiUnderTest, start_relay: StartRelay
) -> None:
    """Per-stream limits are Loki's (3 MB/s, burst 15 MB); nothing is refused, lost or sent twice."""
    loki = loki_process
    relay = start_relay(loki.push_url)
    loki.fault("refuse")
    started = time.monotonic()
    step = 50_000
    for first in range(0, TOTAL, step):
        now = time.time()
        send_tcp(
            relay.syslog_tcp,
            octet_counted(
                rfc5424(f"n={n} ".ljust(60, "x"), host="busy" if n % 3 == 0 else f"host{n % 40}", at=now)
                for n in range(first, first + step)
            ),
        )
    # What plain TCP delivered is only safe once it is counted in: wait for it.
    wait_until(lambda: _spooled_entries(relay.get("/status")[1]) >= TOTAL, 60)
    filled = time.monotonic() - started
    loki.clear()
    started = time.monotonic()
    wait_until(lambda: loki.count() > 0, 20)
    # New lines come in the meantime; they must not wait for the whole backlog forever.
    fresh = RelpLoad(relay.relp, rate=200, make=lambda n: rfc5424(f"fresh={n}", host="fresh", application="fresh"))
    try:
        wait_until(lambda: loki.count(BACKLOG) >= TOTAL, 90, every=2, what=lambda: f"{loki.count()} {loki.stats()}")
    finally:
        drained = time.monotonic() - started
        sent_fresh = fresh.finish()
    wait_until(lambda: loki.count('{host="fresh"}') >= sent_fresh, 20)
    stats = loki.stats()
    tally = loki.tally(TOTAL, BACKLOG)
    print(f"filled in {filled:.0f} s, drained in {drained:.0f} s, {stats}, relay {relay.rss() // 2**20} MiB")
    assert (tally.lost, tally.duplicates) == (0, 0)
    assert not any(stats["hidden"].values())
    assert relay.rss() < 150 * 2**20


def _spooled_entries(status: str) -> int:
    return int(json.loads(status)["queue"]["entries"])
