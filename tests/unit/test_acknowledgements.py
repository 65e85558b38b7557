"""Which senders get acknowledgements, and when: not while the spool is full, with the exceptions that lose nothing."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from appliance.config import model
from appliance.config.units import Size
from appliance.relay.hot import Conn
from appliance.relay.listen import acknowledgements
from appliance.relay.listen.acknowledgements import Acknowledgements, Ranges
from appliance.relay.spool.spool import NewSegment, Spool, SpoolFull


class FakeSession:
    def __init__(self) -> None:
        self.conn = Conn(0, b"10.0.0.1")
        self.leaving = False
        self.told: list[tuple[int, int]] = []

    def acknowledge(self, ranges: Ranges) -> None:
        self.told += ranges

    def waits(self, now: float) -> bool:
        return False


def batch(size: int) -> NewSegment:
    return NewSegment(b"x" * size, None, 1, size, 1, 1, "")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    settings = model.Spool(path=str(tmp_path), min_free=Size(0), max_size=Size(1000), reserve=Size(1000))
    return Spool(settings)


def run(life: Coroutine[Any, Any, None]) -> None:
    asyncio.run(life)


def test_what_is_durable_is_told_in_order_and_nothing_before_it(spool: Spool) -> None:
    async def life() -> None:
        pending, session = Acknowledgements(spool, lambda: None), FakeSession()
        pending.add(1, session, [(1, 5)])
        pending.add(2, session, [(6, 5)])
        pending.tell()
        assert session.told == []
        pending.durable(1)
        assert session.told == [(1, 5)]
        assert pending.messages == 5
        assert pending.awaited_by(session)
        pending.durable(2)
        assert session.told == [(1, 5), (6, 5)]
        assert not pending

    run(life())


def test_while_the_spool_is_full_nobody_is_told_but_who_leaves(spool: Spool) -> None:
    async def life() -> None:
        changes: list[bool] = []
        pending = Acknowledgements(spool, lambda: changes.append(pending.holding))
        far, near, leaving = FakeSession(), FakeSession(), FakeSession()
        leaving.leaving = True
        spool.append([batch(900), batch(900)])
        for number, session in enumerate((far, near, leaving), 1):
            pending.add(number, session, [(1, 10)])
        pending.durable(3)
        assert pending.holding
        assert (far.told, near.told, leaving.told) == ([], [], [(1, 10)])
        for segment in spool.segments():
            spool.remove(segment)
        await asyncio.sleep(0.4)
        assert far.told == [(1, 10)]
        assert changes == [False]

    run(life())


def test_a_relay_that_stops_tells_everybody_what_is_on_disk(spool: Spool) -> None:
    async def life() -> None:
        pending, session = Acknowledgements(spool, lambda: None), FakeSession()
        spool.append([batch(900), batch(900)])
        pending.add(1, session, [(1, 10)])
        pending.durable(1)
        assert session.told == []
        pending.end_holding()
        assert session.told == [(1, 10)]

    run(life())


def test_who_is_held_is_told_one_message_now_and_then(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """librelp treats a receiver as dead that is silent for 90 s, reconnects and sends all of it again."""
    assert acknowledgements._SIGN_OF_LIFE < 90 / 2
    monkeypatch.setattr(acknowledgements, "_SIGN_OF_LIFE", 0.5)

    async def life() -> None:
        pending, one, other = Acknowledgements(spool, lambda: None), FakeSession(), FakeSession()
        spool.append([batch(900), batch(900)])
        pending.add(1, one, [(1, 1), (7, 3)])
        pending.add(2, other, [(4, 2)])
        pending.add(3, one, [(10, 9)])
        pending.durable(2)
        await asyncio.sleep(0.9)
        assert (one.told, other.told) == ([(1, 1)], [(4, 1)])
        await asyncio.sleep(0.5)
        assert (one.told, other.told) == ([(1, 1), (7, 1)], [(4, 1), (5, 1)])
        assert pending.messages == 2 + 9
        for segment in spool.segments():
            spool.remove(segment)
        pending.durable(3)
        await asyncio.sleep(0.4)
        assert one.told == [(1, 1), (7, 1), (8, 2), (10, 9)]

    run(life())


def test_a_disk_that_failed_is_thought_worth_another_try_so_that_nobody_waits_for_ever(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.relay.spool.spool._DISK_RETRY", 0.5)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def life() -> None:
        changes: list[bool] = []
        pending = Acknowledgements(spool, lambda: changes.append(pending.holding))
        with monkeypatch.context() as broken:
            broken.setattr("os.fdatasync", fail)
            with pytest.raises(SpoolFull):
                spool.append([batch(10)])
        pending.tell()
        assert pending.holding
        await asyncio.sleep(1)
        assert changes[-1] is False, "nothing was written since, and yet somebody has to try"

    run(life())


def test_who_has_gone_is_forgotten(spool: Spool) -> None:
    async def life() -> None:
        pending, session = Acknowledgements(spool, lambda: None), FakeSession()
        pending.add(1, session, [(1, 10)])
        pending.forget(session)
        pending.durable(1)
        assert session.told == [] and pending.messages == 0

    run(life())
