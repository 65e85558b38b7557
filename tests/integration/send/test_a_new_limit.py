"""A limit that Loki gets tomorrow is one row in the table: nothing else has to know it."""

import dataclasses
import re
import time

import pytest

from appliance.relay.loki import limit_table
from appliance.relay.loki.limit_table import LIMITS, About, Learned, LokiLimit, Stage, Then, words
from appliance.relay.loki.push_format import Entry
from appliance.relay.send.request import compress
from tests.harness.sending import Bench, MakeBench, lines, stream
from tests.loki_double import proto
from tests.loki_double.front import Request, Response


def without(b: Bench, word: str, said: str, status: int = 400) -> None:
    """A Loki that stores what has not the word in its line, and says what it thinks of the rest."""
    handle = b.loki.double.handle

    def answer(request: Request) -> Response:
        push = proto.PushRequest.FromString(proto.uncompress(request.body))
        refused = ""
        for one in push.streams:
            kept = [entry for entry in one.entries if word not in str(entry.line)]
            refused = refused or ("" if len(kept) == len(one.entries) else one.labels.decode())
            del one.entries[:]
            one.entries.extend(kept)
        rest = [one for one in push.streams if one.entries]
        del push.streams[:]
        push.streams.extend(rest)
        if rest:
            response = handle(dataclasses.replace(request, body=compress(push.SerializeToString())))
            if not refused:
                return response
        return Response(status, said.replace("{}", refused).encode())

    b.loki.double.handle = answer  # type: ignore[method-assign]


def test_a_new_limit_on_entries_is_repaired_by_its_own_row(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    row = LokiLimit(
        name="too_loud",
        about=About.ENTRY,
        then=Then.REPAIR,
        words=words("stream '<stream>' has more than <number> exclamation marks"),
        learns=Learned.OTHER,
        breaks=lambda entry, allowed: entry.line.count(b"!") > allowed,
        fix=lambda entry, allowed: entry._replace(line=entry.line.replace(b"!", b"")),
    )
    monkeypatch.setattr(limit_table, "LIMITS", (*LIMITS, row))
    b = bench()
    without(b, "!!!", "stream '{}' has more than 2 exclamation marks")
    now = time.time_ns()
    b.put((stream("a"), [Entry(now, b"quiet!"), Entry(now + 1, b"loud!!!")]), (stream("b"), lines("b", 3)))
    sender = b.start()
    assert b.drained()
    assert sorted(b.loki.lines())[-2:] == [b"loud", b"quiet!"] and b.loki.count() == 5
    assert (b.loki.duplicates(), b.dead_lines()) == (0, [])
    assert sender.stats.rejected == {"too_loud": 1} and sender.stats.repaired == {"too_loud": 1}


def test_a_new_limit_on_streams_paces_counts_and_learns_by_its_own_row(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = LokiLimit(
        name="stream_budget",
        about=About.STREAM,
        then=Then.PACE,
        stage=Stage.INGESTER,
        words=words("budget of stream <stream> is <size> a second"),
        learns=Learned.STREAM_RATE,
        counted_429="budget",
    )
    monkeypatch.setattr(limit_table, "LIMITS", (*LIMITS, row))
    b = bench()
    handle, refusals = b.loki.double.handle, 0

    def answer(request: Request) -> Response:
        nonlocal refusals
        push = proto.PushRequest.FromString(proto.uncompress(request.body))
        if refusals or len(push.streams) != 1:
            return handle(request)
        refusals = 1
        return Response(429, f"budget of stream {push.streams[0].labels.decode()} is 100KB a second".encode())

    b.loki.double.handle = answer  # type: ignore[method-assign]
    b.put((stream("a"), lines("a", 50)))
    sender = b.start()
    assert b.drained()
    assert (b.loki.count(), b.loki.duplicates(), b.dead_lines()) == (50, 0, [])
    assert sender.stats.rate_limited["budget"] == 1 and sender.stats.rejected == {"stream_budget": 50}
    assert sender.destination.queues[""].limits.rate == pytest.approx(0.9 * 100 * 1024)


def test_a_new_limit_without_a_repair_makes_dead_letters_of_what_it_is_about(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = LokiLimit(
        name="forbidden",
        about=About.STREAM,
        then=Then.DEAD_LETTER,
        words=words("stream '<stream>' is forbidden"),
    )
    monkeypatch.setattr(limit_table, "LIMITS", (*LIMITS, row))
    b = bench()
    without(b, "secret", "stream '{}' is forbidden")
    b.put((stream("a"), lines("secret", 2)), (stream("b"), lines("b", 3)))
    sender = b.start()
    assert b.drained()
    assert (b.loki.count(), len(b.dead_lines())) == (3, 2)
    assert sender.stats.dead_lettered == {"forbidden": 2}


def test_metadata_that_loki_takes_none_of_are_written_behind_the_line(bench: MakeBench) -> None:
    b = bench()
    said = "stream '{}' includes structured metadata, but this feature is disallowed. Please see `limits_config`"
    handle = b.loki.double.handle

    def answer(request: Request) -> Response:
        push = proto.PushRequest.FromString(proto.uncompress(request.body))
        if any(entry.metadata for one in push.streams for entry in one.entries):
            return Response(400, said.replace("{}", push.streams[0].labels.decode()).encode())
        return handle(request)

    b.loki.double.handle = answer  # type: ignore[method-assign]
    b.put((stream("a"), [Entry(time.time_ns(), b"text", (("pid", "7"), ("unit", "x y")))]))
    b.start()
    assert b.drained()
    assert b.loki.lines() == [b'text pid="7" unit="x y"'] and b.dead_lines() == []


def test_every_row_is_counted_and_explains_itself() -> None:
    for row in LIMITS:
        assert re.fullmatch(r"[a-z_]+", row.name) and row.cause and row.remedy
        assert (row.breaks is None) == (row.fix is None) == (row.learns is not Learned.OTHER)
        assert all(pattern.flags & re.IGNORECASE for pattern in row.words)
