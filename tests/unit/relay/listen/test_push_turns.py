"""Pushes under way are bounded, and a sender that floods waits behind itself."""

import asyncio

import pytest

from appliance.relay.listen.push_turns import Turns


def test_a_sender_that_floods_does_not_stand_in_front_of_others() -> None:
    async def scenario() -> None:
        turns = Turns(100)
        await turns.take("loud", 100, 1)
        order: list[str] = []

        async def push(peer: str) -> None:
            await turns.take(peer, 100, 5)
            order.append(peer)
            await asyncio.sleep(0)
            turns.give_back(100)

        tasks = [asyncio.create_task(push("loud")) for _ in range(50)]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(push("quiet")))
        await asyncio.sleep(0)
        turns.give_back(100)
        await asyncio.gather(*tasks)
        assert order.index("quiet") <= 1
        assert turns.under_way == 0

    asyncio.run(scenario())


def test_who_gives_up_waiting_takes_nothing_with_it() -> None:
    async def scenario() -> None:
        turns = Turns(10)
        await turns.take("a", 10, 1)
        with pytest.raises(TimeoutError):
            await turns.take("b", 10, 0.01)
        gone = asyncio.create_task(turns.take("c", 10, 5))
        await asyncio.sleep(0)
        turns.give_back(10)  # its turn, just as it goes
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert turns.under_way == 0
        await turns.take("d", 10, 1)

    asyncio.run(scenario())


def test_one_larger_than_all_room_is_admitted_alone() -> None:
    async def scenario() -> None:
        turns = Turns(10)
        await turns.take("a", 1000, 1)
        with pytest.raises(TimeoutError):
            await turns.take("b", 1, 0.01)
        turns.give_back(1000)
        await turns.take("b", 1, 1)

    asyncio.run(scenario())
