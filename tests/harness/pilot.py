"""Driving the console's screens in a test, without a terminal."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from textual.content import Content
from textual.keys import _character_to_key as character_to_key
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tui.app import Console
from tui.widgets.entry import Choice, Entry
from tui.widgets.item import Item
from tui.wizard.page import Page


def drive(app: Console, script: Callable[[Pilot[Any]], Awaitable[None]], size: tuple[int, int] = (80, 24)) -> None:
    """Run a script of key presses against an application."""

    async def go() -> None:
        async with app.run_test(size=size) as pilot:
            await settled(pilot)
            await script(pilot)

    asyncio.run(go())


async def settled(pilot: Pilot[Any]) -> None:
    """Wait until threads have reported and what they said is drawn."""
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def until(pilot: Pilot[Any], words: str, within: float = 20) -> None:
    """Wait until the screen has the words."""
    deadline = asyncio.get_running_loop().time() + within
    while words not in shown(pilot):
        assert asyncio.get_running_loop().time() < deadline, f"{words!r} did not come:\n{shown(pilot)}"
        await pilot.pause(0.02)


async def write(pilot: Pilot[Any], text: str) -> None:
    """Type a text into what has the focus, in place of what is there; the last character by its key."""
    focused = pilot.app.focused
    assert isinstance(focused, Entry), focused
    with focused.prevent(Input.Changed):
        focused.value = text[:-1]
    focused.cursor_position = len(text) - 1
    await pilot.press(character_to_key(text[-1]))
    # What is typed is judged when the fingers rest.
    while isinstance(pilot.app.screen, Page) and pilot.app.screen._soon is not None:
        await pilot.pause(0.02)
    assert focused.value == text


def item(pilot: Pilot[Any], label: str) -> Item:
    """Return the question with a label."""
    return next(one for one in pilot.app.screen.query(Item) if one.label.strip() == label and one.display)


async def go_to(pilot: Pilot[Any], label: str) -> Item:
    """Move to a question by the keyboard's arrows alone."""
    wanted = item(pilot, label)
    for _ in range(40):
        focused = pilot.app.focused
        if focused is not None and wanted in focused.ancestors:
            return wanted
        await pilot.press("down")
    raise AssertionError(f"the keys do not lead to {label}")


async def choose(pilot: Pilot[Any], label: str, value: str) -> None:
    choice = (await go_to(pilot, label)).query_one(Choice)
    for _ in range(len(choice.options)):
        if choice.value == value:
            break
        await pilot.press("right")
    assert choice.value == value
    await pilot.pause()


async def fill(pilot: Pilot[Any], label: str, text: str) -> None:
    await go_to(pilot, label)
    await write(pilot, text)


def refusal(pilot: Pilot[Any], label: str) -> str:
    """Return what stands below a question, empty when it is taken."""
    one = item(pilot, label)
    return plain(one.query_one(".note", Static)) if one.has_class("-noted") else ""


def plain(static: Static) -> str:
    content = static.visual
    return content.plain if isinstance(content, Content) else str(content)


def shown(pilot: Pilot[Any]) -> str:
    """Return the screen as it is drawn, as text."""
    screen = pilot.app.screen
    lines = screen._compositor.render_strips(pilot.app.size)
    return "\n".join(strip.text.rstrip() for strip in lines)
