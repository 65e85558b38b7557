"""Loki's limits on rates, streams and sizes slow things down or change labels, and lose nothing."""

import time

import pytest

from appliance.config import model
from appliance.config.units import Rate, Size
from appliance.relay.loki.push_format import Entry
from tests.harness.sending import HOUR, MakeBench, app_streams, eventually, lines, stream


def test_a_stream_that_was_repaired_keeps_to_its_rate(bench: MakeBench) -> None:
    """Streams near their limit go alone, repaired or not."""
    b = bench(limits=model.LokiLimits(stream_rate=Rate(200_000), stream_burst=Size(400_000)))
    b.loki.set_limits(per_stream_rate=200_000, per_stream_burst=400_000)
    now = time.time_ns()
    b.put((stream("busy"), lines("first", 1, now)), (stream("calm"), lines("first", 1, now)))
    b.start()
    assert b.drained()
    for turn in range(5):
        late = [*lines(f"{turn} new", 100, now + turn * 1000, 1000), *lines(f"{turn} late", 50, now - 2 * HOUR, 1000)]
        b.put((stream("busy"), late), (stream("calm"), [Entry(now - 2 * HOUR, b"late %d" % turn)]))
    assert b.drained()
    assert (b.loki.count(), b.loki.duplicates()) == (2 + 5 * 151, 0)
    assert sum(b.loki.stats()["hidden"].values()) == 0


def test_a_stream_over_its_rate_is_paced_while_the_others_go_on(bench: MakeBench) -> None:
    limits = model.LokiLimits(stream_rate=Rate(1_000_000), stream_burst=Size(1_000_000))
    b = bench(limits=limits)
    b.loki.set_limits(per_stream_rate=1_000_000, per_stream_burst=1_000_000)
    for number in range(10):
        b.put((stream("hot"), lines(f"hot {number}", 400, size=1000)), (stream("calm"), lines(f"calm {number}", 10)))
    b.start()
    started = time.monotonic()
    assert eventually(lambda: b.loki.count('{host="calm"}') == 100, 2)
    assert b.drained(20)
    assert time.monotonic() - started > 2
    assert b.loki.count('{host="hot"}') == 4000
    assert b.loki.duplicates() == 0
    assert sum(b.loki.stats()["refused"].values()) == 0


def test_a_lower_rate_than_configured_is_learnt_and_nothing_is_lost(bench: MakeBench) -> None:
    b = bench(connections=1)
    b.loki.set_limits(per_stream_rate=1_000_000, per_stream_burst=1_000_000)
    for number in range(6):
        b.put((stream("calm"), lines(f"calm {number}", 10)), (stream("hot"), lines(f"hot {number}", 300, size=1000)))
    sender = b.start()
    assert b.drained(30)
    assert len(set(b.loki.lines())) == 1860
    assert sender.stats.rate_limited["stream"] >= 1
    # Which of the parts of one stream in one push were refused is not told: that push is the bound.
    assert b.loki.duplicates() <= 1500


def test_the_tenants_rate_slows_everything_down_and_loses_nothing(bench: MakeBench) -> None:
    b = bench()
    b.loki.set_limits(ingestion_rate=1_000_000, ingestion_burst=1_000_000)
    for number in range(10):
        b.put(*[(stream(f"h{host}"), lines(f"{number}", 30, size=1000)) for host in range(10)])
    sender = b.start()
    assert b.drained(30)
    assert b.loki.count() == 3000
    assert b.loki.duplicates() == 0
    assert sender.stats.rate_limited["tenant"] >= 1
    assert sender.stats.rate_limited["tenant"] < 15


def test_streams_that_loki_has_no_room_for_go_under_fewer_labels(bench: MakeBench) -> None:
    b = bench()
    b.loki.set_limits(max_streams=20)
    b.put(*[(stream(f"h{host}"), lines("first", 1)) for host in range(10)])
    sender = b.start()
    assert b.drained()
    for number in range(3):
        b.put(*app_streams(number))
    assert b.drained()
    assert len(set(b.loki.lines())) == 361  # the first lines read the same
    assert sender.stats.rate_limited["streams"] >= 1
    assert sender.stats.mutated["stream_limit"] > 0 and sender.stats.mutated_bytes["stream_limit"] > 0
    assert b.dead_lines() == []
    moved = [(labels, metadata) for labels, _, line, metadata in b.loki.entries() if metadata]
    assert moved and all("application" not in labels and "application" in metadata for labels, metadata in moved)
    # What pushes with new streams stored unseen, before Loki said that it has no room, is sent again.
    assert b.loki.duplicates() <= 60 * 2 * 4


def test_lines_for_which_loki_has_no_stream_left_wait_until_it_has(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.relay.send.settle._NO_ROOM", 0.3)
    b = bench()
    b.loki.set_limits(max_streams=20)
    b.put(*app_streams(0))
    b.start()
    time.sleep(1)
    assert len(b.spool) == 1
    b.loki.set_limits(max_streams=5000)
    assert b.drained()
    assert len(set(b.loki.lines())) == 120


@pytest.mark.parametrize("size", [4 * 2**20, 500_000])
def test_a_push_larger_than_loki_takes_is_split(bench: MakeBench, size: int) -> None:
    b = bench()
    b.loki.set_limits(max_message=size)
    b.put(*[(stream(f"h{host}"), lines("big", 1500, size=1000)) for host in range(4)])
    b.start()
    assert b.drained(20)
    assert b.loki.count() == 6000
    assert b.loki.duplicates() == 0


def test_a_proxys_limit_on_bodies_is_learnt(bench: MakeBench) -> None:
    b = bench()
    b.put(*[(stream(f"h{host}"), lines("big", 100, size=1000)) for host in range(8)])
    b.loki.fault("status", times=3, status=413, body="<html>413 Request Entity Too Large</html>")
    b.start()
    assert b.drained(20)
    assert b.loki.count() == 800
    assert b.loki.duplicates() == 0
