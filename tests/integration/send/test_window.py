"""Entries behind the newest of their stream are neither hidden by a 204 nor lost."""

import random
import time

import pytest

from appliance.config import model
from appliance.config.units import Rate, Size
from appliance.relay.loki.push_format import Entry
from tests.harness.sending import HOUR, SECOND, MakeBench, lines, stream


def test_entries_too_far_behind_are_not_lost_under_a_204(bench: MakeBench) -> None:
    b = bench()
    now = time.time_ns()
    b.put((stream("h"), lines("now", 5, now)))
    sender = b.start()
    assert b.drained()
    b.put((stream("h"), lines("late", 5, now - 2 * HOUR)), (stream("other"), lines("other", 5, now)))
    b.put((stream("h"), lines("edge", 5, now - 57 * 60 * SECOND)))
    assert b.drained()
    assert b.loki.count() == 20
    late = [metadata for _, _, line, metadata in b.loki.entries() if line.startswith("late")]
    assert all(metadata["repaired"] == "too_far_behind" for metadata in late)
    assert all(not metadata for _, _, line, metadata in b.loki.entries() if line.startswith("edge"))
    assert sender.stats.repaired == {"too_far_behind": 5}
    assert sum(b.loki.stats()["hidden"].values()) == 0


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_entries_too_far_behind_of_many_streams_go_together(bench: MakeBench, encoding: str) -> None:
    """Senders that repeat old lines between new ones must not cost a push for each of their streams."""
    b = bench(encoding=encoding)
    now = time.time_ns()
    hosts = [stream(f"h{number}") for number in range(150)]
    b.put(*[(host, lines("first", 1, now)) for host in hosts])
    sender = b.start()
    assert b.drained()
    before = b.loki.front.pushes
    for turn in range(3):
        late = [Entry(now + turn + 1, b"new"), Entry(now - 2 * HOUR + turn, b"late"), Entry(now + turn + 2, b"newer")]
        b.put(*[(host, late) for host in hosts])
        assert b.drained()
    assert (b.loki.count(), b.loki.duplicates()) == (150 * 10, 0)
    repaired = [(line, metadata) for _, _, line, metadata in b.loki.entries() if metadata]
    assert len(repaired) == 450
    assert {(line, metadata["repaired"]) for line, metadata in repaired} == {("late", "too_far_behind")}
    assert sender.stats.repaired == {"too_far_behind": 450}
    assert sum(b.loki.stats()["hidden"].values()) == 0
    assert b.loki.front.pushes - before <= 6


def test_a_loki_whose_window_is_narrower_than_told_gets_no_entries_of_the_future(bench: MakeBench) -> None:
    b = bench()
    b.loki.set_limits(max_chunk_age=1800)
    now = time.time_ns()
    for turn in range(4):
        late = [Entry(now + turn, b"new"), Entry(now - 2000 * SECOND + turn, b"late"), Entry(now - 2 * HOUR, b"old")]
        b.put(*[(stream(f"h{host}"), late) for host in range(5)])
    b.start()
    assert b.drained()
    assert (b.loki.count(), b.dead_lines()) == (60, [])
    assert max(stamp for _, stamp, _, _ in b.loki.entries()) < time.time_ns()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_clocks_say_nothing_is_lost_hidden_or_given_up(bench: MakeBench, seed: int) -> None:
    """Streams with entries of all ages in any order, near their rate or not, before a Loki as it was told."""
    chance = random.Random(seed)
    limits = {}
    b = bench()
    if chance.random() < 0.4:
        limits = {"limits": model.LokiLimits(stream_rate=Rate(100_000), stream_burst=Size(200_000))}
        b.loki.set_limits(per_stream_rate=100_000, per_stream_burst=200_000)
    b = bench(encoding=chance.choice(["protobuf", "json"]), connections=chance.choice([1, 4]), **limits)
    ages = [0, 0, 0, 60, 2000, 3500, 3700, 7200, 4 * 3600, 8 * 86400, -400, -700]
    now, count = time.time_ns(), 0

    def put() -> None:
        nonlocal count
        streams = []
        for host in chance.sample(range(12), chance.randint(1, 12)):
            entries = []
            for _ in range(chance.randint(1, 8)):
                line = f"n={count} ".encode().ljust(chance.choice([20, 20, 700]), b"x")
                metadata = chance.choice([(), (("a", "b"),), (("repaired", "utf8"),)])
                entries.append(Entry(now - chance.choice(ages) * SECOND + count, line, metadata))
                count += 1
            streams.append((stream(f"h{host}"), entries))
        b.put(*streams)

    for _ in range(chance.randint(1, 8)):
        put()
    b.start()
    for _ in range(chance.randint(1, 15)):
        put()
        time.sleep(chance.random() * 0.1)
    assert b.drained(40)
    b.loki.flush()  # some are days old
    tally = b.loki.tally(count)
    assert (tally.lost, tally.duplicates, b.dead_lines()) == (0, 0, [])
    assert sum(b.loki.stats()["hidden"].values()) == 0


def test_after_a_restart_a_backlog_of_unknown_streams_is_asked_about_stream_by_stream(bench: MakeBench) -> None:
    b = bench()
    now = time.time_ns()
    b.put(*[(stream(f"h{host}"), lines("now", 1, now)) for host in range(0, 10, 2)])
    b.start()
    assert b.drained()
    b.stop()
    b.put(*[(stream(f"h{host}"), lines("late", 4, now - 2 * HOUR)) for host in range(10)])
    b.start()
    assert b.drained()
    assert b.loki.count() == 5 + 40
    assert b.loki.duplicates() == 0
    assert sum(b.loki.stats()["hidden"].values()) == 0
    for labels, _, line, metadata in b.loki.entries():
        known = int(labels["host"][1:]) % 2 == 0
        assert bool(metadata) == (known and line.startswith("late"))
