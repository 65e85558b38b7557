"""What Loki refuses for good is kept, and costs nothing else."""

import dataclasses
import json
import time

import pytest

from appliance.relay.loki.push_format import Entry
from appliance.relay.send.request import compress
from tests.harness.sending import (
    MakeBench,
    answering,
    eventually,
    lines,
    stream,
)


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
        for one in poisoned:
            for entry in [entry for entry in one.entries if "poison" in str(entry.line)]:
                one.entries.remove(entry)
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
    monkeypatch.setattr("appliance.relay.send.settle._SPLIT_AFTER", 2)
    monkeypatch.setattr("appliance.relay.send.settle._GIVE_UP_AFTER", 3)
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
