"""What becomes of a push is a value: one of a closed set of outcomes, in which no entry is missing or twice."""

import copy
from collections import Counter
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config import model
from appliance.relay.loki.push_format import Entry, encode_stream, entries_of, scan
from appliance.relay.loki.response import Answer, Failure, Kind, diagnose
from appliance.relay.send.outcome import DeadLetter, Done, Hold, Outcome, Replace, Retry, Ruling, Split
from appliance.relay.send.refusals import Findings, Rules
from appliance.relay.send.request import History, PushRequest, SegmentRef, StreamSlice
from appliance.relay.send.settle import MAX_REFUSALS, Situation, settle
from appliance.relay.send.stream_limits import StreamLimits
from appliance.relay.spool.spool import Segment

SECOND = 10**9
NOW_NS = 1_795_415_406 * SECOND
LOKI = model.Loki(url="http://127.0.0.1:9/loki/api/v1/push")
ORDER = ("level", "application", "host")


def stream(number: int) -> str:
    return f'{{host="h{number}", job="t"}}'


def push_of(streams: int, entries: int, *, history: History | None = None) -> PushRequest:
    """A push of one segment, every entry with a text of its own."""
    body = b"".join(
        encode_stream(stream(one), [Entry(NOW_NS + n, b"%d %d" % (one, n)) for n in range(entries)])
        for one in range(streams)
    )
    segment = Segment(1, NOW_NS // 10**6, NOW_NS, NOW_NS, streams * entries, len(body), 1, 0, "")
    one = StreamSlice(SegmentRef(segment), tuple(scan(body)), whole=False, body=body)
    one.history = history or one.history
    return PushRequest("", [one], planned=True, new={stream(number) for number in range(streams)})


def ruled(push: PushRequest, answer: Answer, *, stored: int = 0, refused_in_a_row: int = 0) -> Ruling:
    limits = StreamLimits(LOKI.limits)

    def read(one: StreamSlice) -> bytes:
        assert one.body is not None
        return one.body

    diagnosis = diagnose(answer, NOW_NS / 1e9)
    findings = None
    if diagnosis.kind is Kind.PARTIAL:
        rules = Rules(LOKI.limits, NOW_NS, ORDER)
        findings = Findings(diagnosis.rejections, push.slices, push.new, limits, 0.0, rules, read)
        for lesson in findings.lessons():
            limits.learn(lesson, 0.0)
    at = Situation(LOKI, ORDER, limits, read, NOW_NS, NOW_NS, 1000, stored, refused_in_a_row, 1.0)
    return settle(push, answer, diagnosis, findings, at)


def lines(slices: list[StreamSlice]) -> list[bytes]:
    return [entry.line for one in slices for part in one.parts for entry in entries_of(one.body or b"", part)]


def left_over(push: PushRequest, outcome: Outcome) -> list[bytes]:
    """The lines that are still to be taken by Loki, or are dead letters, after the outcome."""
    match outcome:
        case Done():
            return []
        case Retry() | Hold():
            return lines(push.slices)
        case Split(groups):
            return lines([one for group in groups for one in group])
        case Replace(queued, letters, _):
            again = lines([one for each in queued for one in each.slices])
            return again + [letter.entry.line for letter in letters]
        case DeadLetter(letters):
            return [letter.entry.line for letter in letters]


UNNAMED = "Maximum active stream limit exceeded, reduce the number of active streams, user: 'fake'"
ANSWERS = [
    Answer(204),
    Answer(400, "the cat is on the keyboard"),
    Answer(400, "couldn't parse labels: 1:2"),
    Answer(401),
    Answer(413),
    Answer(429),
    Answer(429, "ingestion rate limit exceeded for user x (limit: 9 bytes/sec)"),
    Answer(429, UNNAMED),
    Answer(429, f"maximum active stream limit exceeded when trying to create stream {stream(0)}, reduce"),
    Answer(
        429,
        f"Per stream rate limit exceeded (limit: 1MB/sec) while attempting to ingest for stream '{stream(0)}' totaling",
    ),
    Answer(500, "received message larger than max (5 vs. 4)"),
    Answer(503),
    *(Answer(failure=failure) for failure in Failure),
]
STORES_THE_REST = {ANSWERS[7], ANSWERS[8], ANSWERS[9]}


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(ANSWERS),
    st.integers(1, 4),
    st.integers(1, 3),
    st.builds(History, failures=st.integers(0, 60), tries=st.integers(0, 60), stored_seen=st.integers(-1, 2),
              doubted_at=st.integers(-1, 2), refusals=st.integers(0, 12)),
    st.integers(0, 3),
    st.sampled_from([0, MAX_REFUSALS]),
)  # fmt: skip
def test_every_line_is_stored_or_left_over_exactly_once_and_the_push_is_not_changed(
    answer: Answer, streams: int, entries: int, history: History, stored: int, refused: int
) -> None:
    push = push_of(streams, entries, history=history)
    before = copy.deepcopy((push.slices[0].history, push.slices[0].parts, push.slices[0].ref, push.new))
    ruling = ruled(push, answer, stored=stored, refused_in_a_row=refused)
    assert isinstance(ruling.outcome, get_args(Outcome))
    after = (push.slices[0].history, push.slices[0].parts, push.slices[0].ref, push.new)
    assert (before[0], before[1], before[3]) == (after[0], after[1], after[3])
    assert (before[2].outstanding, before[2].waiting) == (after[2].outstanding, after[2].waiting)
    left, all_of_it = Counter(left_over(push, ruling.outcome)), Counter(lines(push.slices))
    assert left <= all_of_it, "nothing goes twice"
    if answer not in STORES_THE_REST and answer.status != 204:
        assert left == all_of_it, "nothing was stored"


def test_a_stream_refused_unnamed_leaves_the_known_ones_stored_and_sends_the_new_ones_alone() -> None:
    push = push_of(3, 2)
    push.new = {stream(1), stream(2)}
    outcome = ruled(push, Answer(429, UNNAMED)).outcome
    assert isinstance(outcome, Replace) and outcome.stored is not None
    assert sorted(left_over(push, outcome)) == [b"1 0", b"1 1", b"2 0", b"2 1"]
    assert all(one.solo for queued in outcome.queued for one in queued.slices)


def test_a_single_stream_refused_unnamed_goes_under_fewer_labels() -> None:
    outcome = ruled(push_of(1, 2), Answer(429, UNNAMED)).outcome
    assert isinstance(outcome, Replace)
    assert [queued.labels for queued in outcome.queued] == ['{job="t"}']


def test_others_do_not_say_what_they_stored_so_all_goes_again_once() -> None:
    push = push_of(3, 1)
    push.new = {stream(2)}
    outcome = ruled(push, Answer(429, "too many active series")).outcome
    assert sorted(left_over(push, outcome)) == [b"0 0", b"1 0", b"2 0"]


@pytest.mark.parametrize("times", [1, 2, 4])
def test_what_only_lokis_clock_refuses_is_held_unchanged_a_while_longer_each_time(times: int) -> None:
    push = push_of(1, 2, history=History(held=times - 1))
    said = f"entry for stream '{stream(0)}' has timestamp too new: 2026-11-23T06:30:06Z"
    outcome = ruled(push, Answer(400, f"2 errors like: {said}")).outcome
    assert isinstance(outcome, Replace) and outcome.letters == () and outcome.stored == 0
    [queued] = outcome.queued
    assert queued.slices[0].for_clock and lines(list(queued.slices)) == [b"0 0", b"0 1"]
    assert queued.delay == min(2.0**times, 30.0)


def test_an_unexplained_429_for_one_stream_stands_back_for_the_others() -> None:
    push = push_of(1, 3, history=History(refusals=5))
    outcome = ruled(push, Answer(429, "computer says no")).outcome
    assert isinstance(outcome, Replace) and outcome.stored is None
    assert outcome.queued[0].delay > 0 and lines(list(outcome.queued[0].slices)) == lines(push.slices)
