"""Loki's limits on our side: what may go, what goes last or alone, what waits, what is repaired."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.model import Duration, LokiLimits, Rate, Size
from appliance.relay.hot import batch_streams
from appliance.relay.loki.push_format import StreamPart
from appliance.relay.send.stream_limits import Need, StreamLimits
from tests.unit.relay.packing import BOTH, Modules

SECOND = 10**9
NOW_NS = 1_795_415_406 * SECOND
LIMITS = LokiLimits(stream_rate=Rate(1000), stream_burst=Size(10_000), behind=Duration(3600), streams=50)
A = '{a="1"}'


def part(labels: str = A, length: int = 100, oldest: float = 0, newest: float = 0, entries: int = 2) -> StreamPart:
    """Times in seconds from now."""
    return StreamPart(labels, 0, length, entries, NOW_NS + int(oldest * SECOND), NOW_NS + int(newest * SECOND))


def needs(
    limits: StreamLimits, *parts: StreamPart, now: float = 0.0, held: tuple[str, ...] = (), busy: bool = False
) -> list[Need]:
    return [need for _, need in limits.plan(parts, now, NOW_NS, held, lambda labels: busy).odd]


def known(*parts: StreamPart) -> StreamLimits:
    limits = StreamLimits(LIMITS)
    limits.plan(parts or [part()], -100.0, NOW_NS, (), lambda labels: False)
    limits.confirm_streams([one.labels for one in parts] or [A])
    return limits


def test_a_live_push_simply_goes() -> None:
    limits = StreamLimits(LIMITS)
    plan = limits.plan([part(), part('{b="2"}')], 0.0, NOW_NS, (), lambda labels: False)
    assert plan.odd == [] and plan.new == {A, '{b="2"}'}
    limits.confirm_streams(plan.new)
    assert limits.plan([part(), part('{b="2"}')], 1.0, NOW_NS, (), lambda labels: False).new == set()


def test_a_stream_near_its_burst_goes_last_and_one_over_it_waits_until_it_is_paid() -> None:
    limits = known()
    assert needs(limits, part(length=4000)) == []
    assert needs(limits, part(length=3000)) == [Need.LAST]
    assert needs(limits, part(length=4000)) == [Need.QUEUE]
    # 7,000 of 9,000 bytes are used; 4,000 more fit when 2,000 have been paid at 900 bytes a second.
    assert abs(limits.ready_at(A, 4000, 0.0) - 2000 / 900) < 0.01
    assert limits.ready_at('{other="1"}', 4000, 0.0) == 0.0


def test_what_is_larger_than_half_a_burst_is_split() -> None:
    assert needs(known(), part(length=5000, entries=5)) == [Need.SPLIT]
    assert needs(known(), part(length=5000, entries=1)) == []


def test_entries_out_of_bounds_are_repaired_first() -> None:
    assert needs(known(), part(oldest=-7 * 86400)) == [Need.REPAIR]
    assert needs(known(), part(newest=600)) == [Need.REPAIR]
    assert needs(known(), part(oldest=-3700)) == [Need.REPAIR]  # behind what we sent for sure


def test_entries_near_the_edge_of_the_window_go_alone() -> None:
    assert needs(known(), part(oldest=-3300)) == [Need.QUEUE]
    assert needs(known(), part(oldest=-3000)) == []


def test_an_unknown_stream_with_old_entries_goes_alone_until_loki_has_answered_for_it() -> None:
    limits = StreamLimits(LIMITS)
    old = part(oldest=-7200, newest=-7100)
    assert needs(limits, old) == [Need.QUEUE]
    limits.charge(old, 0.0, NOW_NS)
    assert needs(limits, old) == [Need.QUEUE]
    limits.confirm(old)
    assert needs(limits, part(oldest=-7000, newest=-6900)) == []


def test_a_stream_does_not_overtake_its_own_unanswered_push() -> None:
    limits = known(part(oldest=-3000, newest=-3000))
    assert needs(limits, part(), busy=True) == []  # for all we know Loki may hold entries of now
    limits = StreamLimits(LIMITS)
    old = part(oldest=-9000, newest=-9000)
    limits.charge(old, 0.0, NOW_NS - 9000 * SECOND)
    limits.confirm(old)
    assert needs(limits, part(oldest=-5000, newest=-5000), busy=True) == [Need.QUEUE]
    assert needs(limits, part(oldest=-5000, newest=-5000), busy=False) == []


def test_a_stream_may_overtake_unanswered_pushes_that_cannot_fall_too_far_behind_for_it() -> None:
    def judged(newest: int, unanswered: int, span: int = 0) -> tuple[bool, list[Need]]:
        found = []
        for whole in (True, False):
            limits = StreamLimits(LIMITS)
            old = part(oldest=-9000, newest=-9000)
            limits.charge(old, 0.0, NOW_NS - 9000 * SECOND)
            limits.confirm(old)
            later, unanswered_ns = part(oldest=newest - span, newest=newest), NOW_NS + unanswered * SECOND
            if whole:
                found.append(limits.charge_whole(batch_streams([later]), 0.0, NOW_NS, {}, unanswered_ns))
            else:
                plan = limits.plan([later], 0.0, NOW_NS, (), lambda labels: True, unanswered_ns)
                found.append([need for _, need in plan.odd])
        return found[0], found[1]

    assert judged(newest=-5000, unanswered=-6000) == (True, [])
    assert judged(newest=-5000, unanswered=-6700) == (False, [Need.QUEUE])  # over half of the window
    assert judged(newest=-5000, unanswered=-5000, span=3300) == (False, [Need.QUEUE])  # behind its own entries


def test_what_follows_a_part_that_waits_waits_too() -> None:
    limits = known()
    assert needs(limits, part(oldest=-3300), part(), part('{b="2"}')) == [Need.QUEUE, Need.QUEUE]
    assert needs(limits, part(), held=(A,)) == [Need.QUEUE]


def test_new_streams_beyond_the_limit_go_alone() -> None:
    limits = StreamLimits(LIMITS)
    assert needs(limits, *[part(f'{{a="{number}"}}') for number in range(60)]) == [Need.QUEUE] * 15
    assert len(limits) == 45


def test_a_stream_sent_but_not_answered_for_goes_alone() -> None:
    limits = StreamLimits(LIMITS)
    assert needs(limits, part()) == []
    assert needs(limits, part()) == [Need.QUEUE]
    limits.confirm_streams([A])
    assert needs(limits, part()) == []


def test_a_stream_loki_has_no_room_for_goes_under_fewer_labels_for_some_minutes() -> None:
    limits = StreamLimits(LIMITS)
    limits.reduce(A, "{}", [("a", "1")], 0.0)
    assert needs(limits, part(), now=10.0) == [Need.REDUCE]
    assert limits.reduction(A) == ("{}", (("a", "1"),))
    assert needs(limits, part(), now=400.0) == []


def test_a_lower_rate_is_learnt() -> None:
    limits = known()
    limits.learn_rate(A, 100, 0.0)
    assert limits.rate == 90
    assert limits.ready_at(A, 90, 0.0) >= 0.9


def test_memory_is_bounded_and_what_is_in_use_is_kept() -> None:
    limits = StreamLimits(LokiLimits(streams=10**6))
    for first in range(0, 100_000, 1000):
        limits.plan([part(f'{{a="{n}"}}') for n in range(first, first + 1000)], 0.0, NOW_NS, (), lambda labels: False)
        limits.charge(part(), 0.0, NOW_NS)
        assert len(limits) <= 42_000
    assert limits.newest_ns(A) == NOW_NS


# ---- whole pushes -----------------------------------------------------------------------------------

_PARTS = st.lists(
    st.builds(
        part,
        st.sampled_from([f'{{a="{number}"}}' for number in range(6)]),
        length=st.sampled_from([100, 100, 100, 2000, 4600]),
        oldest=st.sampled_from([0, 0, 0, -10, -3300]),
        newest=st.sampled_from([0, 0, 0, 5, 500, 600]),
    ),
    min_size=1,
    max_size=4,
)


def _states(limits: StreamLimits, modules: Modules) -> dict[str, object]:
    """The streams' states as those of a hot path that may be another one."""
    copies = {}
    for labels, state in limits._streams.items():
        copies[labels] = modules.hot.StreamState(
            state.full_at, state.sent_ns, state.newest_ns, generation=state.generation
        )
        copies[labels].exists = state.exists
    return copies


def _values(states: dict[str, object]) -> dict[str, tuple[object, ...]]:
    return {
        labels: tuple(getattr(state, name) for name in ("full_at", "sent_ns", "newest_ns", "exists", "generation"))
        for labels, state in states.items()
    }


@pytest.mark.parametrize("modules", BOTH.values(), ids=BOTH)
@given(before=st.lists(_PARTS, max_size=2), parts=_PARTS, held=st.sampled_from([[], [], ['{a="1"}']]))
def test_a_push_is_charged_whole_only_if_each_of_its_parts_may_go(
    modules: Modules, before: list[list[StreamPart]], parts: list[StreamPart], held: list[str]
) -> None:
    limits = known(*(part(f'{{a="{number}"}}') for number in range(5)))
    for number, earlier in enumerate(before):
        limits.confirm_streams(limits.plan(earlier, -20.0 + number, NOW_NS, (), lambda labels: False).new)
    limits._generation += 1
    states = _states(limits, modules)
    unchanged = _values(states)
    ours = limits._room(0.0, NOW_NS)
    room = modules.hot.Room(
        ours.now, ours.per_byte, ours.near, window=ours.window, floor=ours.floor, ceiling=ours.ceiling, large=ours.large
    )
    streams = modules.hot.batch_streams(parts)
    renewed = modules.hot.charge_whole(streams, states, dict.fromkeys(held), room, limits._generation)
    plan = limits.plan(parts, 0.0, NOW_NS, held, lambda labels: False)
    if renewed < 0:
        assert _values(states) == unchanged
    else:
        assert not plan.odd and not plan.new
        assert _values(states) == _values(limits._streams)
        assert renewed == len(parts)


def test_a_live_push_of_known_streams_is_charged_whole_and_a_stream_over_its_rate_is_not() -> None:
    limits = known(part(), part('{b="2"}'))
    push = batch_streams([part(length=4000), part('{b="2"}')])
    assert limits.charge_whole(push, 0.0, NOW_NS, {})
    assert not limits.charge_whole(push, 0.0, NOW_NS, {})  # near its burst
    assert needs(limits, part(length=3000)) == [Need.LAST]
    assert limits.charge_whole(push, 100.0, NOW_NS, {})
    assert not limits.charge_whole(push, 200.0, NOW_NS, {A: None})  # its turn is after what is held
    assert not limits.charge_whole(batch_streams([part('{c="3"}')]), 200.0, NOW_NS, {})
    assert not limits.charge_whole(batch_streams([part(), part()]), 300.0, NOW_NS, {})  # twice in one push


def test_streams_not_used_for_long_are_forgotten_and_those_used_are_not() -> None:
    limits = known(part(), part('{b="2"}'))
    for period in range(1, 4):
        assert limits.charge_whole(batch_streams([part()]), 1000.0 * period, NOW_NS, {})
    assert not limits.charge_whole(batch_streams([part('{b="2"}')]), 3001.0, NOW_NS, {})
    assert len(limits) == 1
