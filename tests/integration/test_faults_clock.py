"""The relay's clock is stepped under load, by libfaketime: forward, backward, and back again."""

import json
import time
from pathlib import Path

import pytest

from tests.conftest import StartRelay
from tests.harness.load import RelpLoad
from tests.harness.net import wait_until
from tests.integration.test_faults_loki import arrives, nothing_hidden
from tests.loki_double import LokiUnderTest


def _library() -> str | None:
    """Debian's package libfaketime, multi-threaded variant."""
    return next(map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [["+3000s", "+0s"], ["-7200s", "+0s"], ["-600s", "+400s", "-30s"]], ids=str)
def test_a_stepped_clock_loses_nothing(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, steps: list[str]
) -> None:
    library = _library()
    if library is None:
        pytest.skip("libfaketime is not installed: apt-get install libfaketime")
    offset = tmp_path / "offset"
    offset.write_text("+0s\n")
    relay = start_relay(
        loki.push_url,
        env={
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        },
    )
    load = RelpLoad(relay.relp, rate=1000)
    wait_until(lambda: loki.count() > 0, 20)
    for step in steps:
        time.sleep(1.2)
        offset.write_text(step + "\n")
        off = json.loads(relay.get("/status")[1])["now"] - time.time()
        assert abs(off - float(step.rstrip("s"))) < 5, "libfaketime has no hold on the relay"
    time.sleep(1.5)
    before = loki.count()
    time.sleep(1.5)
    assert loki.count() > before, "what comes after the steps still flows"
    sent = load.finish()
    tally = arrives(loki, sent)
    assert (tally.lost, tally.duplicates) == (0, 0)
    assert nothing_hidden(loki)
