"""A stream that Loki has no room for and does not name costs no other stream, and nothing repeats forever.

Loki 2.9 names none (grafana/loki#11836); gateways say it in their own words.
"""

import dataclasses
import html
import json
import time
from collections.abc import Callable

import pytest

from tests.harness.sending import Bench, MakeBench, app_streams, eventually, lines, stream
from tests.loki_double import proto
from tests.loki_double.front import Request, Response

LOKI_29 = (
    "Maximum active stream limit exceeded, reduce the number of active streams (reduce labels or reduce label "
    "values), or contact your Loki administrator to see if the limit can be increased, user: 'fake'"
)
WORDS: dict[str, Callable[[str], str]] = {
    "Loki 2.9": lambda _: LOKI_29,
    "without user": lambda _: LOKI_29.partition(", user")[0],
    "capitals": lambda _: LOKI_29.upper(),
    "Loki 1.6": lambda _: "per-user streams limit (local: 10000 global: 5000 actual local: 20) exceeded",
    "limiter.go": lambda _: "tenant 'fake' per-user streams limit exceeded, streams: 21 exceeds calculated limit: 20",
    "Loki 3": lambda said: said,
    "Loki 3 in JSON": lambda said: json.dumps({"status": "error", "error": said}),
    "Loki 3 in HTML": lambda said: f"<html><body><h1>429</h1><p>{html.escape(said)}</p></body></html>",
    "Loki 2.9 in gRPC": lambda _: f"rpc error: code = Code(429) desc = {LOKI_29}",
    "Mimir": lambda _: "per-user series limit of 150000 exceeded, please contact administrator to raise it",
    "another": lambda _: "too many active streams for this tenant",
}


def saying(b: Bench, words: Callable[[str], str], status: int = 429) -> None:
    """Loki says so what it has to say about the number of streams."""
    handle = b.loki.double.handle

    def answer(request: Request) -> Response:
        response = handle(request)
        if response.status != 429:
            return response
        return dataclasses.replace(response, status=status, body=words(response.body.decode()).encode())

    b.loki.double.handle = answer  # type: ignore[method-assign]


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_all_lines_arrive_and_what_was_stored_is_repeated_once_at_most(
    bench: MakeBench, words: Callable[[str], str]
) -> None:
    b = bench()
    b.loki.set_limits(max_streams=20)
    saying(b, words)
    b.put(*[(stream(f"h{host}"), lines("first", 1)) for host in range(10)])
    sender = b.start()
    assert b.drained()
    for number in range(5):
        b.put(*app_streams(number))
    assert b.drained(), "the queue does not stand"
    assert len(set(b.loki.lines())) == 1 + 5 * 120  # the first lines read the same
    assert b.dead_lines() == []
    assert sender.stats.rate_limited["streams"] >= 1 and sender.stats.rate_limited["tenant"] == 0
    # Pushes that were under way when Loki first said so: whatever of them it stored may come once more.
    assert b.loki.duplicates() <= 60 * 2 * 4


def test_a_5xx_that_says_so_is_treated_the_same(bench: MakeBench) -> None:
    b = bench()
    b.loki.set_limits(max_streams=20, names_streams=False)
    saying(b, lambda said: f"rpc error: code = Unknown desc = {said}", status=500)
    b.put(*[(stream(f"h{host}"), lines("first", 1)) for host in range(10)], *app_streams(0))
    b.start()
    assert b.drained()
    assert len(set(b.loki.lines())) == 1 + 120 and b.dead_lines() == []


def test_known_streams_go_on_while_new_ones_wait_for_room(bench: MakeBench) -> None:
    """Loki forgets streams, and then has no room: what it knows flows, once; the rest arrives when there is room."""
    b = bench()
    b.loki.set_limits(max_streams=3, names_streams=False)
    known = ['{job="a"}', '{job="b"}', '{job="c"}']
    b.put(*[(labels, lines("first", 2)) for labels in known])
    b.start()
    assert b.drained()
    b.put(
        *[(labels, lines("second", 2)) for labels in known], *[(f'{{job="n{n}"}}', lines("new", 2)) for n in range(4)]
    )
    for number in range(5):
        b.put(*[(labels, lines(f"more {number}", 2)) for labels in known])
    assert eventually(lambda: len(b.spool) == 1), "only the segment with the new streams is left"
    assert len(b.loki.lines()) == 6 + 6 + 30 and b.loki.duplicates() == 0


def test_streams_that_loki_forgot_and_has_no_room_for_are_not_lost(bench: MakeBench) -> None:
    """All streams of the push are known to us, so any of them may be the one that was refused."""
    b = bench()
    b.loki.set_limits(max_streams=30, names_streams=False)
    names = [f'{{application="a{n}", host="h{n % 3}", job="t"}}' for n in range(20)]
    b.put(*[(labels, lines(f"first {labels}", 1)) for labels in names])
    b.start()
    assert b.drained()
    b.loki.double.ingester.forget()  # as after its idle period, or a restart
    b.loki.set_limits(max_streams=8)
    b.put(*[(f'{{host="h{n}", job="t"}}', lines(f"host {n}", 1)) for n in range(3)])
    assert b.drained()
    for number in range(3):
        b.put(*[(labels, lines(f"{number} {labels}", 1)) for labels in names])
    assert b.drained()
    assert len(set(b.loki.lines())) == 63
    assert b.loki.duplicates() <= 40


def test_a_429_in_words_that_nobody_knows_does_not_stand_before_the_other_streams(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.relay.send.settle._STAND_BACK", 0.3)
    b = bench()
    handle = b.loki.double.handle
    refusing = True

    def refuse(request: Request) -> Response:
        push = proto.PushRequest.FromString(proto.uncompress(request.body))
        if refusing and any(b"unwanted" in one.labels for one in push.streams):
            return Response(429, b"computer says no\n")
        return handle(request)

    b.loki.double.handle = refuse  # type: ignore[method-assign]
    b.put((stream("a"), lines("a", 5)), (stream("unwanted"), lines("u", 3)), (stream("b"), lines("b", 5)))
    b.put((stream("c"), lines("c", 5)))
    b.start()
    assert eventually(lambda: b.loki.count() == 15, 20), b.loki.count()
    refusing = False
    monkeypatch.setattr("appliance.relay.send.settle._NO_ROOM", 0.3)
    assert eventually(lambda: b.loki.count() == 18, 90) and b.loki.duplicates() == 0


def test_words_of_a_limit_within_labels_say_nothing(bench: MakeBench) -> None:
    """A sender chooses its labels; what it writes there must not choose what becomes of other streams."""
    b = bench()
    b.loki.set_limits(max_line_size=1000)
    odd = '{application="request body too large: maximum active stream limit exceeded", job="x"}'
    b.put((odd, [*lines("good", 2), *lines("long", 1, time.time_ns() + 10, 3000)]), (stream("h"), lines("other", 5)))
    sender = b.start()
    assert b.drained()
    assert b.loki.count() == 8 and b.loki.duplicates() == 0
    assert sender.stats.rejected == {"line_too_long": 1}
