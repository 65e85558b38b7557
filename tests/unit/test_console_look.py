"""How the console looks: a picture of each screen at two sizes, and no glyph that a console font lacks."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

import tui.pages
from tests.harness.console import QuietMachine, configured, facts, samples, waiting
from tests.harness.pilot import shown
from tui.app import Console
from tui.glyphs import DRAWABLE, drawable
from tui.state import State

SIZES = [(80, 24), (120, 40)]
PAGES = [page.NAME for page in tui.pages.PAGES if page.NAME not in ("apply", "review")]
STATIC = {
    "loki__basic_auth": {"username": "bob"},
    "system__network__ipv4": {"method": "static", "address": "192.0.2.10/24", "gateway": "192.0.3.1"},
    "listeners__tls": {},
}


@pytest.fixture(autouse=True)
def universal_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def page_at(name: str, root: Path) -> Console:
    state = State(QuietMachine(root))
    state.answers.page = name
    state.answers.put("loki.url", "http://loki.example.org:3100/loki/api/v1/push")
    for path, value in ({} if name == "done" else STATIC).items():
        state.answers.put(path.replace("__", "."), value)
    return Console(state.machine, state=state)


def dashboard_at(look: Any, root: Path) -> Console:
    machine = QuietMachine(configured(root), look=look)
    state = State(machine)
    state.begin()
    state.samples.extend(samples()[:-1])
    return Console(machine, state=state)


async def settled(pilot: Pilot[Any]) -> None:
    await pilot.app.workers.wait_for_complete()
    await pilot.pause(0.1)
    glyphs = set(shown(pilot)) - {"\n"}
    assert glyphs <= DRAWABLE, sorted(glyphs - DRAWABLE)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_looks_as_it_was_approved(
    name: str, size: tuple[int, int], tmp_path: Path, snap_compare: Callable[..., bool]
) -> None:
    assert snap_compare(page_at(name, tmp_path), terminal_size=size, run_before=settled)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("look", [facts, waiting], ids=["well", "waiting"])
def test_the_dashboard_looks_as_it_was_approved(
    look: Any, size: tuple[int, int], tmp_path: Path, snap_compare: Callable[..., bool]
) -> None:
    assert snap_compare(dashboard_at(look, tmp_path), terminal_size=size, run_before=settled)


@pytest.mark.parametrize("keys", [["s"], ["s", "enter"], ["p"], ["f1"], ["d"], ["l", "enter"]], ids="-".join)
def test_what_the_dashboard_leads_to_looks_as_it_was_approved(
    keys: list[str], tmp_path: Path, snap_compare: Callable[..., bool]
) -> None:
    async def there(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        for key in keys:
            await pilot.press(key)
            await settled(pilot)

    assert snap_compare(dashboard_at(facts, tmp_path), terminal_size=(80, 24), run_before=there)


def test_a_log_line_in_any_script_is_drawn_as_wide_as_it_is() -> None:
    assert drawable("naïve café ½ … → 日本 ▔▊") == "naïve café ½ ~ > ???? ??"
