"""Lines that only Loki's clock refuses are held and sent later, as they are; and the difference is measured."""

import time

import pytest

from appliance.relay.loki.push_format import Entry
from tests.harness.sending import SECOND, MakeBench, eventually, lines, stream


@pytest.mark.parametrize("date", [True, False], ids=["with Date", "without Date"])
def test_lines_of_now_are_held_while_lokis_clock_is_behind_and_arrive_as_they_were(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, date: bool
) -> None:
    monkeypatch.setattr("appliance.relay.send.settle._CLOCK_FIRST", 0.2)
    monkeypatch.setattr("appliance.relay.send.settle._CLOCK_LONGEST", 0.4)
    b = bench()
    b.loki.set_clock(-3600, date=date)
    now = time.time_ns()
    sent = {f"{host} {n} ": now - n * SECOND for host in range(3) for n in range(20)}
    b.put(*[
        (stream(f"h{host}"), [Entry(now - n * SECOND, f"{host} {n} ".encode()) for n in range(20)]) for host in range(3)
    ])  # fmt: skip
    sender = b.start()
    assert eventually(lambda: sender.stats.held_for_clock == 60)
    time.sleep(1)
    assert len(b.spool) == 1 and b.loki.count() == 0 and b.dead_lines() == []
    assert sender.stats.held == {"too_new": 60}
    if date:
        assert sender.stats.clock_skew is not None and abs(sender.stats.clock_skew + 3600) < 3
    else:
        assert sender.stats.clock_skew is None
    b.loki.set_clock(0, date=date)
    assert b.drained()
    assert {line: stamp for _, stamp, line, _ in b.loki.entries()} == sent
    assert not any(metadata for *_, metadata in b.loki.entries())
    assert b.loki.duplicates() == 0 and b.dead_lines() == []
    assert eventually(lambda: sender.stats.held_for_clock == 0)


def test_what_loki_took_beside_them_is_not_sent_again(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.relay.send.settle._CLOCK_FIRST", 0.2)
    monkeypatch.setattr("appliance.relay.send.settle._CLOCK_LONGEST", 0.4)
    b = bench()
    b.loki.set_clock(-1200)
    now = time.time_ns()
    mixed = [Entry(now - 1300 * SECOND, b"taken"), Entry(now, b"held"), Entry(now - 900 * SECOND, b"taken too")]
    b.put((stream("a"), mixed), (stream("b"), mixed))
    sender = b.start()
    assert eventually(lambda: b.loki.count() == 4 and sender.stats.held_for_clock == 2)
    b.loki.set_clock(0)
    assert b.drained()
    assert (b.loki.count(), b.loki.duplicates(), b.dead_lines()) == (6, 0, [])


def test_an_entry_of_the_future_is_restamped_and_what_loki_still_refuses_is_held(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.relay.send.settle._CLOCK_FIRST", 0.2)
    monkeypatch.setattr("appliance.relay.send.settle._CLOCK_LONGEST", 0.4)
    b = bench()
    b.loki.set_clock(-3600, date=False)
    b.put((stream("a"), [Entry(time.time_ns() + 7200 * SECOND, b"from the future")]))
    sender = b.start()
    assert eventually(lambda: sender.stats.held_for_clock == 1)
    b.loki.set_clock(0, date=False)
    assert b.drained()
    [(_, stamp, line, metadata)] = b.loki.entries()
    assert line == "from the future" and metadata["repaired"] == "too_new" and b.dead_lines() == []
    assert abs(stamp - time.time_ns()) < 60 * SECOND


def test_a_clock_that_is_right_to_a_second_is_no_difference(bench: MakeBench) -> None:
    b = bench()
    b.put((stream("a"), lines("a", 1)))
    sender = b.start()
    assert b.drained()
    assert eventually(lambda: sender.stats.clock_skew == 0.0)
