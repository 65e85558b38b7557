"""The sender against a Loki: every line arrives once, whatever Loki answers, within the documented bounds."""

import dataclasses
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from appliance.config import model
from appliance.config.units import Duration, Rate, Size
from appliance.relay.loki.push_format import Entry, encode_stream, scan, scan_streams
from appliance.relay.send.request import compress
from appliance.relay.send.sender import Sender
from appliance.relay.spool.dead_letters import DeadLetters
from appliance.relay.spool.spool import NewSegment, Spool
from tests.loki_double import InProcessLoki

SECOND = 10**9
HOUR = 3600 * SECOND
Streams = Sequence[tuple[str, Sequence[Entry]]]


def stream(name: str) -> str:
    return f'{{host="{name}", job="test"}}'


def lines(prefix: str, count: int, at_ns: int | None = None, size: int = 0) -> list[Entry]:
    start = time.time_ns() if at_ns is None else at_ns
    return [Entry(start + number, f"{prefix} {number} ".encode().ljust(size, b"x")) for number in range(count)]


def segment(streams: Streams, tenant: str = "") -> NewSegment:
    body = b"".join(encode_stream(labels, entries) for labels, entries in streams)
    parts = tuple(scan(body))
    return NewSegment(
        compress(body), scan_streams(body), sum(part.entries for part in parts), len(body),
        min(part.oldest_ns for part in parts), max(part.newest_ns for part in parts), tenant,
    )  # fmt: skip


class Bench:
    """A spool, a sender and the Loki it sends to."""

    def __init__(self, path: Path, loki: InProcessLoki, **settings: Any) -> None:
        self.path, self.loki = path, loki
        self.spool = Spool(model.Spool(path=str(path / "spool"), min_free=Size(0)))
        self.settings = {
            "backoff": model.Backoff(min=Duration(0.02), max=Duration(0.2)),
            "timeout": Duration(3),
            **settings,
        }
        self.dead = DeadLetters(path / "dead", 10**6)
        self.sender: Sender | None = None

    def config(self, **settings: Any) -> model.Loki:
        return model.Loki(**{"url": self.loki.push_url, **self.settings, **settings})

    def put(self, *streams: tuple[str, Sequence[Entry]], tenant: str = "") -> None:
        self.spool.append([segment(streams, tenant)])

    def start(self) -> Sender:
        self.sender = Sender(self.config(), self.spool, dead_letters=self.dead)
        self.sender.start()
        return self.sender

    def stop(self) -> None:
        if self.sender is not None:
            self.sender.stop()
            self.sender = None

    def drained(self, timeout: float = 15.0) -> bool:
        return eventually(lambda: not len(self.spool), timeout)

    def dead_lines(self) -> list[str]:
        return [line for path in self.dead.files() for line in path.read_text().splitlines()]


def eventually(condition: Callable[[], bool], timeout: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def double() -> Iterator[InProcessLoki]:
    loki = InProcessLoki()
    yield loki
    loki.close()


@pytest.fixture
def bench(tmp_path: Path, double: InProcessLoki) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**settings: Any) -> Bench:
        made.append(Bench(tmp_path / f"bench{len(made)}", double, **settings))
        return made[-1]

    yield make
    for one in made:
        one.stop()


MakeBench = Callable[..., Bench]


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_what_is_in_the_spool_is_stored_once_and_leaves_the_spool(bench: MakeBench, encoding: str) -> None:
    b = bench(encoding=encoding)
    for number in range(20):
        b.put(*[(stream(f"h{host}"), lines(f"{number}", 10)) for host in range(5)])
    b.start()
    assert b.drained()
    assert b.loki.count() == 1000
    assert b.loki.duplicates() == 0
    assert b.sender is not None and b.sender.stats.pushed_entries == 1000
    assert b.loki.stats()["formats"].keys() == {encoding}


def test_new_segments_are_sent_as_they_come(bench: MakeBench) -> None:
    b = bench()
    b.start()
    for number in range(5):
        b.put((stream("h"), lines(f"{number}", 1)))
        assert eventually(lambda number=number: b.loki.count() == number + 1, 2)


@pytest.mark.parametrize(
    ("fault", "details"),
    [
        ("refuse", {}),
        ("hang", {}),
        ("reset", {}),
        ("garbage", {}),
        ("cut", {}),
        ("status", {"status": 500}),
        ("status", {"status": 503, "headers": {"Retry-After": "1"}}),
        ("status", {"status": 429, "headers": {"Retry-After": "1"}}),
        ("status", {"status": 401}),
        ("status", {"status": 404}),
        ("status", {"status": 260}),
        ("status", {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}),
        ("status", {"status": 400, "body": "no idea"}),
        ("status", {"status": 200, "body": "<html>Welcome</html>"}),
    ],
)
def test_nothing_is_lost_while_loki_fails_and_all_arrives_once_after(
    bench: MakeBench, fault: str, details: dict[str, Any]
) -> None:
    b = bench(timeout=Duration(1))
    b.loki.fault(fault, **details)
    for number in range(3):
        b.put(*[(stream(f"h{host}"), lines(f"{number}", 4)) for host in range(3)])
    sender = b.start()
    time.sleep(1.3)
    assert b.loki.count() == 0
    assert len(b.spool) == 3
    assert sender.stats.last_error is not None and sender.stats.last_error.remedy
    assert sender.stats.state in ("waiting", "held")
    b.loki.clear()
    sender.reload(b.config())
    assert b.drained(20)
    assert b.loki.count() == 36
    assert b.loki.duplicates() == 0
    assert eventually(lambda: sender.stats.state == "ok")


def test_stop_takes_less_than_two_seconds_while_loki_hangs_and_loses_nothing(bench: MakeBench) -> None:
    b = bench(timeout=Duration(30))
    b.loki.fault("hang")
    b.put((stream("h"), lines("a", 10)))
    sender = b.start()
    assert eventually(lambda: sender.stats.in_flight == 1)
    started = time.monotonic()
    b.stop()
    assert time.monotonic() - started < 2.1
    assert len(b.spool) == 1


def test_too_old_and_too_new_entries_are_mended_before_loki_sees_them(bench: MakeBench) -> None:
    b = bench()
    now = time.time_ns()
    old, ahead = now - 8 * 24 * HOUR, now + HOUR
    b.put((stream("h"), [Entry(old, b"old"), Entry(now, b"good"), Entry(ahead, b"ahead")]))
    sender = b.start()
    assert b.drained()
    found = {line: (ns, metadata) for _, ns, line, metadata in b.loki.entries()}
    assert found.keys() == {"old", "good", "ahead"}
    assert found["good"] == (now, {})
    for line, original in (("old", old), ("ahead", ahead)):
        assert abs(found[line][0] - now) < 60 * SECOND
        assert found[line][1]["original_timestamp"].startswith(
            time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(original // SECOND))
        )
        assert found[line][1]["repaired"] in ("too_old", "too_new")
    assert sender.stats.repaired == {"too_old": 1, "too_new": 1}
    assert sender.stats.status_codes == {"204": len(found) and sender.stats.pushes}


def test_entries_that_only_loki_finds_too_old_or_too_new_are_mended_once(bench: MakeBench) -> None:
    b = bench()
    b.loki.set_limits(max_age=3000, max_ahead=30)
    now = time.time_ns()
    b.put(
        (stream("a"), [Entry(now, b"good a"), Entry(now - HOUR * 8 // 10 - 300 * SECOND, b"old 1")]),
        (
            stream("b"),
            [Entry(now + 100 * SECOND, b"new 1"), Entry(now + 200 * SECOND, b"new 2"), Entry(now, b"good b")],
        ),
    )
    sender = b.start()
    assert b.drained()
    assert sorted(line.decode() for line in b.loki.lines()) == ["good a", "good b", "new 1", "new 2", "old 1"]
    assert b.dead_lines() == []
    assert sender.stats.rejected == {"too_old": 1, "too_new": 2}


def test_a_line_too_long_is_cut_at_a_character_and_marked(bench: MakeBench) -> None:
    b = bench()
    long = "é" * 200_000
    b.put((stream("h"), [Entry(time.time_ns(), b"short"), Entry(time.time_ns() + 1, long.encode())]))
    sender = b.start()
    assert b.drained()
    entries = {line[:5]: (line, metadata) for _, _, line, metadata in b.loki.entries()}
    assert b.loki.count() == 2
    line, metadata = entries["é" * 5]
    assert metadata["repaired"] == "cut"
    assert line.endswith("…[cut]") and len(line.encode()) <= 256 * 1024
    assert line.removesuffix("…[cut]") == "é" * len(line.removesuffix("…[cut]"))
    assert sender.stats.mutated == {"line_too_long": 1}
    assert sender.stats.mutated_bytes == {"line_too_long": 400_000 - len(line.encode())}


def test_metadata_too_large_or_too_many_are_cut_down(bench: MakeBench) -> None:
    b = bench()
    now = time.time_ns()
    many = tuple((f"name{number}", "v") for number in range(200))
    b.put((stream("h"), [
        Entry(now, b"large", (("small", "kept"), ("large", "x" * 70_000))),
        Entry(now + 1, b"many", many),
        Entry(now + 2, b"good", (("a", "b"),)),
    ]))  # fmt: skip
    b.start()
    assert b.drained()
    found = {line: metadata for _, _, line, metadata in b.loki.entries()}
    assert found["large"] == {"small": "kept", "repaired": "metadata"}
    assert len(found["many"]) <= 128 and found["many"]["repaired"] == "metadata"
    assert found["good"] == {"a": "b"}


def test_labels_too_many_or_too_long_move_to_metadata(bench: MakeBench) -> None:
    b = bench()
    many = "{" + ", ".join(f'l{number:02}="v"' for number in range(20)) + "}"
    long = '{host="h", path="' + "x" * 3000 + '"}'
    b.put((many, lines("many", 3)), (long, lines("long", 3)), (stream("h"), lines("good", 3)))
    b.start()
    assert b.drained()
    assert b.loki.count() == 9
    for labels, _, line, metadata in b.loki.entries():
        if line.startswith("many"):
            assert len(labels | metadata) - 1 == 20
        if line.startswith("long"):
            assert labels == {"host": "h"} and metadata["path"] == "x" * 3000
    assert b.dead_lines() == []


def test_labels_that_loki_cannot_parse_cost_no_other_stream(bench: MakeBench) -> None:
    b = bench()
    b.put((stream("a"), lines("a", 5)), ('{bad-name="x"}', lines("bad", 5)), (stream("b"), lines("b", 5)))
    b.start()
    assert b.drained()
    assert b.loki.count() == 15
    assert b.loki.duplicates() == 0
    assert {metadata.get("labels") for _, _, line, metadata in b.loki.entries() if line.startswith("bad")} == {
        '{bad-name="x"}'
    }


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


def test_a_line_too_long_beside_one_that_was_mended_is_cut_and_no_dead_letter(bench: MakeBench) -> None:
    """Each entry is mended once for each reason, whatever was done to its neighbours."""
    b = bench()
    now = time.time_ns()
    b.put((stream("h"), lines("first", 1, now)))
    b.start()
    assert b.drained()
    b.put((stream("h"), [Entry(now - 2 * HOUR, b"late"), Entry(now + 1, b"long ".ljust(300_000, b"x"))]))
    assert b.drained()
    assert (b.loki.count(), b.dead_lines()) == (3, [])
    repaired = {line[:4]: metadata["repaired"] for _, _, line, metadata in b.loki.entries() if metadata}
    assert repaired == {"late": "too_far_behind", "long": "cut"}


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


def test_what_one_answer_hides_is_known_from_those_before(bench: MakeBench) -> None:
    """Loki's own limit on lines is lower than told, and its ingester's verdict takes the distributor's place."""
    b = bench(connections=1)
    b.loki.set_limits(max_line_size=500)
    now = time.time_ns()
    b.put((stream("h"), [Entry(now, b"learnt ".ljust(700, b"x"))]))
    b.start()
    assert b.drained()
    b.put(
        (stream("late"), [Entry(now, b"new"), Entry(now - 2 * HOUR, b"late"), Entry(now, b"hidden".ljust(700, b"x"))])
    )
    assert b.drained()
    assert (b.loki.count(), b.dead_lines()) == (4, [])


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


def test_a_stream_that_was_mended_keeps_to_its_rate(bench: MakeBench) -> None:
    """Streams near their limit go alone, mended or not."""
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


def app_streams(number: int) -> list[tuple[str, list[Entry]]]:
    labels = [f'{{application="a{app}", host="h{app % 10}", job="test"}}' for app in range(60)]
    return [(text, lines(f"{app} {number}", 2)) for app, text in enumerate(labels)]


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
    monkeypatch.setattr("appliance.relay.send.verdict_settlement._NO_ROOM", 0.3)
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


def test_many_small_segments_share_pushes(bench: MakeBench) -> None:
    b = bench()
    now = time.time_ns()
    for number in range(0, 1000, 50):
        b.spool.append([segment([(stream("h"), lines(f"{number + i}", 1, now + i))]) for i in range(50)])
    b.start()
    assert b.drained()
    assert b.loki.count() == 1000
    assert b.loki.front.pushes < 20


def test_a_reload_changes_credentials_without_losing_what_waits(bench: MakeBench, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    b = bench(bearer_token_file=str(token), tenant="t1", headers={"X-Team": "net", "User-Agent": "forged"})
    b.loki.front.access.bearer = "new"
    b.put((stream("h"), lines("a", 10)))
    sender = b.start()
    assert eventually(lambda: sender.stats.state == "held")
    assert sender.stats.last_error is not None and "401" in sender.stats.last_error.cause
    assert "old" not in repr(sender.stats.last_error)
    token.write_text("new\n")
    assert b.drained(3)
    assert b.loki.count() == 10
    headers = b.loki.front.last_headers
    assert headers["x-scope-orgid"] == "t1" and headers["x-team"] == "net" and "forwarder" in headers["user-agent"]


def test_a_backlog_goes_oldest_first_and_does_not_put_itself_out_of_lokis_window(bench: MakeBench) -> None:
    b = bench()
    now = time.time_ns()
    for age in range(180, 0, -1):  # three hours, a segment a minute
        b.put((stream("h"), lines(f"{age}", 20, now - age * 60 * SECOND)))
    sender = b.start()
    for number in range(20):
        b.put((stream("h"), lines(f"fresh {number}", 5)))
        time.sleep(0.02)
    assert b.drained()
    assert b.loki.count() == 180 * 20 + 100
    assert b.loki.duplicates() == 0
    assert sender.stats.repaired == {} and sum(b.loki.stats()["hidden"].values()) == 0


def test_fresh_lines_do_not_wait_for_the_whole_backlog(bench: MakeBench) -> None:
    b = bench(connections=1)
    now = time.time_ns()
    b.spool._now = lambda: time.time() - 60
    for age in range(120, 0, -1):
        b.put((stream(f"h{age}"), lines(f"{age}", 3, now - age * SECOND, size=200_000)))
    b.spool._now = time.time
    b.put((stream("new"), lines("fresh", 1)))
    b.loki.fault("slow", seconds=0.05)
    sender = b.start()
    assert eventually(lambda: b.loki.count('{host="new"}') == 1)
    assert len(b.spool) > 60
    b.loki.clear()
    assert b.drained(30) and b.loki.count() == 361
    assert sender.stats.repaired == {} and sum(b.loki.stats()["hidden"].values()) == 0


def test_what_the_spool_gives_up_is_not_waited_for_in_memory(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.relay.send.sender._DROPPED", 10)
    b = bench()
    b.loki.fault("refuse")
    sender = b.start()
    b.spool.settings = model.Spool(path=str(b.path), min_free=Size(0), max_size=Size(2000), when_full="drop_oldest")
    for number in range(300):
        b.put((stream("h"), lines(f"{number}", 1)))
    [tenant] = sender._shared.tenants.values()
    assert eventually(lambda: len(tenant.waiting) <= len(b.spool) + 10)
    assert len(b.spool) < 50
    b.loki.clear()
    assert b.drained() and b.loki.count() > 0


def test_it_says_so_when_a_thread_has_died(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    b = bench()
    sender = b.start()
    assert sender.alive()
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    monkeypatch.setattr("appliance.relay.send.queue.Tenant.next", lambda *_: 1 / 0)
    b.put((stream("h"), lines("x", 1)))
    assert eventually(lambda: not sender.alive())


def test_a_segment_that_cannot_be_read_does_not_stop_the_others(bench: MakeBench) -> None:
    b = bench()
    b.put((stream("a"), lines("a", 3)))
    b.put((stream("b"), lines("b", 3)))
    b.put((stream("c"), lines("c", 3)))
    broken = b.spool.segments()[1]
    path = b.spool.path / broken.name
    path.write_bytes(b"\0" * broken.size)
    b.spool.close()
    b.spool = Spool(b.spool.settings)
    b.start()
    assert b.drained()
    assert b.loki.count() == 6
    assert b.spool.stats.set_aside == 1


def test_an_entry_refused_for_no_known_reason_becomes_a_dead_letter_and_only_that(bench: MakeBench) -> None:
    b = bench()
    answering(b, b"poison", 400, b"the cat is on the keyboard\n")
    b.put(*[(stream(f"h{host}"), lines("good", 50)) for host in range(4)])
    b.put(
        (stream("h1"), [*lines("good", 20), Entry(time.time_ns(), b"poison"), *lines("more", 20)]),
        (stream("h2"), lines("x", 5)),
    )
    b.put((stream("h3"), lines("after", 10)))
    sender = b.start()
    assert b.drained(20)
    assert b.loki.count() == 200 + 45 + 10
    assert b.loki.duplicates() == 0
    assert len(b.dead_lines()) == 1 and "poison" in b.dead_lines()[0] and "keyboard" in b.dead_lines()[0]
    assert sender.stats.dead_lettered == {"refused": 1}
    assert sender.stats.dead_lettered_bytes["refused"] > 0


def test_dead_letters_that_cannot_be_written_cost_no_duplicates_and_hold_up_nothing(bench: MakeBench) -> None:
    b = bench()
    in_the_way = b.path / "dead"
    in_the_way.write_text("no directory can be made here, as on a disk that is full")
    from tests.loki_double import proto
    from tests.loki_double.front import Request, Response

    handle = b.loki.double.handle

    def refuse(request: Request) -> Response:
        """The poison is never stored, for it is said to be too long however short it is; the rest is."""
        push = proto.PushRequest.FromString(proto.uncompress(request.body))
        poisoned = [stream for stream in push.streams if any("poison" in str(entry.line) for entry in stream.entries)]
        if not poisoned:
            return handle(request)
        for stream in poisoned:
            for entry in [entry for entry in stream.entries if "poison" in str(entry.line)]:
                stream.entries.remove(entry)
        rest = any(stream.entries for stream in push.streams)
        if rest:
            handle(dataclasses.replace(request, body=compress(push.SerializeToString())))
        said = (
            f"max entry size '{100 if rest else 10}' bytes exceeded for stream '{poisoned[0].labels.decode()}' "
            "while adding an entry with length '200' bytes\n"
        )
        return Response(400, said.encode())

    b.loki.double.handle = refuse  # type: ignore[method-assign]
    b.put(
        (stream("h1"), lines("good", 20)),
        (stream("h2"), [Entry(time.time_ns(), b"poison %d " % n + b"x" * 200) for n in (1, 2)] + lines("fine", 5)),
    )
    b.put((stream("h2"), lines("after", 10)))
    sender = b.start()
    assert eventually(lambda: b.loki.count() == 35 and b.dead.unwritten == 2), (
        b.loki.count(),
        b.dead.unwritten,
        sender.stats,
    )
    time.sleep(1.5)
    assert len(b.spool) == 1, "the batch stays until its dead letters are on disk"
    in_the_way.unlink()
    assert b.drained()
    assert (b.loki.count(), b.loki.duplicates()) == (35, 0)
    assert sorted(json.loads(line)["line"][:8] for line in b.dead_lines()) == ["poison 1", "poison 2"]
    assert sum(sender.stats.dead_lettered.values()) == 2


def test_a_push_that_alone_fails_again_and_again_does_not_stand_before_all_others(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.relay.send.settlement._SPLIT_AFTER", 2)
    monkeypatch.setattr("appliance.relay.send.settlement._GIVE_UP_AFTER", 3)
    b = bench(connections=1)
    answering(b, b"poison", 500, b"internal error\n")
    b.put((stream("a"), [*lines("good", 4), Entry(time.time_ns(), b"poison")]), (stream("b"), lines("good", 4)))
    b.start()
    for number in range(200):
        b.put((stream("c"), lines(f"{number}", 1)))
        if eventually(lambda: len(b.dead_lines()) == 1, 0.1):
            break
    assert b.drained(20)
    assert b.loki.count() == 8 + number + 1
    assert b.loki.duplicates() == 0
    assert "poison" in b.dead_lines()[0]


def answering(b: Bench, word: bytes, status: int, body: bytes, tenant: str = "") -> None:
    """Loki answers so to each push with the word in it, or of the tenant."""
    from tests.loki_double import proto
    from tests.loki_double.front import Request, Response

    handle = b.loki.double.handle

    def refuse(request: Request) -> Response:
        named = bool(tenant) and request.headers.get("x-scope-orgid") == tenant
        return Response(status, body) if named or word in proto.uncompress(request.body) else handle(request)

    b.loki.double.handle = refuse  # type: ignore[method-assign]


@pytest.mark.parametrize("status", [401, 429])
def test_a_tenant_that_is_refused_or_slowed_does_not_hold_up_the_others(bench: MakeBench, status: int) -> None:
    b = bench()
    answering(b, b"\0never\0", status, b"no", tenant="bad")
    b.put((stream("x"), lines("bad", 10)), tenant="bad")
    for number in range(20):
        b.put((stream("x"), lines(f"good {number}", 10)), tenant="good")
    sender = b.start()
    assert eventually(lambda: b.loki.count() == 200, 5)
    assert eventually(lambda: len(b.spool) == 1)
    assert sender.stats.state in ("held", "waiting")
