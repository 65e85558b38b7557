"""Power cuts: what the relay acknowledged had reached the disk, name and contents."""

import random
import time
from pathlib import Path

import pytest

from tests.conftest import StartRelay
from tests.harness import power
from tests.harness.load import RelpLoad
from tests.harness.net import wait_until
from tests.integration.test_faults_loki import arrives
from tests.loki_double import LokiUnderTest

WINDOW = 1000


@pytest.mark.slow
def test_power_cuts_lose_nothing_that_was_acknowledged(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path
) -> None:
    spool, platter = tmp_path / "relay" / "spool", tmp_path / "platter"
    relay = start_relay(loki.push_url, env=power.environment(spool, platter))
    loki.fault("refuse")
    load = RelpLoad(relay.relp, rate=3000, window=WINDOW)
    cuts, survived = 4, 0
    for _ in range(cuts):
        time.sleep(random.uniform(1.3, 2.2))
        relay.kill()
        survived += power.cut(spool, platter)
        relay.up()
    loki.clear()
    assert survived > 0
    sent = load.finish()
    tally = arrives(loki, sent)
    assert tally.lost == 0
    assert tally.duplicates <= cuts * WINDOW


def test_a_power_cut_would_show_in_this_test(loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path) -> None:
    """The same with a platter that forgets one synced file: the loss is seen."""
    spool, platter = tmp_path / "relay" / "spool", tmp_path / "platter"
    relay = start_relay(loki.push_url, env=power.environment(spool, platter))
    loki.fault("refuse")
    load = RelpLoad(relay.relp, total=1000)
    sent = load.finish(stop=False)
    relay.kill()
    for synced in platter.glob("inode-*"):
        synced.unlink()
    power.cut(spool, platter)
    relay.up()
    loki.clear()
    wait_until(lambda: list((spool / "set-aside").glob("*")), 10)
    assert loki.tally(sent).lost > 0
