"""Entries and labels that Loki refuses arrive all the same, repaired and marked."""

import time

from appliance.relay.loki.push_format import Entry
from tests.harness.sending import HOUR, SECOND, MakeBench, lines, stream


def test_too_old_and_too_new_entries_are_repaired_before_loki_sees_them(bench: MakeBench) -> None:
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


def test_entries_that_only_loki_finds_too_old_or_too_new_are_repaired_once(bench: MakeBench) -> None:
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


def test_a_line_too_long_beside_one_that_was_repaired_is_cut_and_no_dead_letter(bench: MakeBench) -> None:
    """Each entry is repaired once for each reason, whatever was done to the entries next to it."""
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
