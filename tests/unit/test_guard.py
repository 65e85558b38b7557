"""The guard: streams and label values are bounded, and what has no room as a label stays as metadata."""

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.config import model
from appliance.relay.labels.cardinality import Guard
from appliance.relay.loki.label_syntax import parse_labels

SECOND = 10**9


def guard(**changes: int) -> Guard:
    return Guard(model.Guard(**changes), model.LokiLimits(), on_prune=lambda: None)  # type: ignore[arg-type]


def labels(number: int) -> dict[str, str]:
    return {"job": "syslog", "host": f"h{number}", "application": f"a{number}", "level": "info", "rack": f"r{number}"}


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["host", "application", "level", "rack", "x"]), st.text(max_size=4)),
        max_size=80,
    )
)
def test_no_flood_makes_more_streams_than_allowed_and_no_value_is_lost(flood: list[dict[str, str]]) -> None:
    one = guard(max_streams=20)
    streams = set()
    for wanted in flood:
        wanted = {"job": "syslog", **wanted}
        target, moved = one.admit(wanted, 0)
        streams.add(target.labels)
        assert {**parse_labels(target.labels), **moved} == {name: value for name, value in wanted.items() if value}
    assert len(streams) <= 20
    assert one.stats.active == len(streams)


def test_least_useful_labels_go_first_and_job_stays() -> None:
    one = guard(max_streams=10)
    kept = [set(parse_labels(one.admit(labels(number), 0)[0].labels)) for number in range(40)]
    assert kept[0] == {"job", "host", "application", "level", "rack"}
    assert kept[-1] == {"job"}
    for before, after in itertools.pairwise(kept):
        assert after <= before
    assert {"job", "host"} in kept


def test_streams_in_use_keep_their_labels_while_others_overflow() -> None:
    one = guard(max_streams=10)
    first, _ = one.admit(labels(0), 0)
    for number in range(1, 100):
        one.admit(labels(number), 0)
    again, moved = one.admit(labels(0), 0)
    assert again is first and moved == {}
    assert one.stats.overflowed > 0


def test_a_label_with_too_many_values_becomes_metadata() -> None:
    one = guard(max_values_per_label=10)
    for number in range(10):
        one.admit({"job": "s", "request": str(number)}, 0)
    target, moved = one.admit({"job": "s", "request": "10"}, 0)
    assert (target.labels, moved) == ('{job="s"}', {"request": "10"})
    assert one.stats.values_overflowed == {"request": 1}
    assert one.admit({"job": "s", "request": "3"}, 0)[1] == {}


def test_idle_streams_make_room() -> None:
    pruned = []
    one = Guard(model.Guard(max_streams=10), model.LokiLimits(), on_prune=lambda: pruned.append(True))
    for number in range(50):
        one.admit(labels(number), 0)
    one.prune(2 * 3600 * SECOND)
    assert one.stats.active == 0 and pruned
    assert one.admit(labels(77), 2 * 3600 * SECOND)[1] == {}


def test_labels_are_within_lokis_limits_in_number_and_length() -> None:
    many = {"job": "s", **{f"label{number}": "é" * 1000 for number in range(30)}, "long": "é" * 1025}
    one = guard()
    target, moved = one.admit(many, 0)
    kept = parse_labels(target.labels)
    assert len(kept) == 14 and "job" in kept
    assert all(len(value.encode()) <= 2048 for value in kept.values())
    assert {**kept, **moved} == many
    assert one.stats.values_overflowed == {"long": 1}


def test_a_name_too_long_for_loki_becomes_metadata() -> None:
    target, moved = guard().admit({"job": "s", "n" * 1025: "v"}, 0)
    assert (target.labels, moved) == ('{job="s"}', {"n" * 1025: "v"})


def test_new_bounds_count_for_streams_that_are_new() -> None:
    one = guard()
    first, _ = one.admit(labels(0), 0)
    one.configure(model.Guard(), model.LokiLimits(label_names=3))
    assert len(parse_labels(one.admit(labels(1), 0)[0].labels)) == 2
