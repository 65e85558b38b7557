"""The dashboard: problems come first with their remedies, looking is free, changing asks when locked."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from appliance.config.load import load
from appliance.relay.probe.check import Finding
from tests.harness.console import CONFIG, NOW, QuietMachine, configured, facts, relay_status, samples, waiting
from tests.harness.pilot import drive, shown, until
from tui.app import Console
from tui.dashboard.pieces import cut_parts, source_rows
from tui.dashboard.plot import AXIS, columns, nice, plot, short
from tui.state import Sample
from tui.widgets.entry import Entry

P = Pilot[Any]
LOCKED = CONFIG + "access: {password_file: /etc/appliance/secrets/admin, console_lock: true}\n"


@pytest.fixture
def machine(tmp_path: Path) -> QuietMachine:
    return QuietMachine(configured(tmp_path / "root"))


@pytest.fixture
def locked(tmp_path: Path) -> QuietMachine:
    machine = QuietMachine(configured(tmp_path / "root", LOCKED))
    secrets = machine.host.layout.at("/etc/appliance/secrets")
    secrets.mkdir()
    (secrets / "admin").write_text(machine.hash_password("correct horse") + "\n")
    return machine


def test_a_machine_that_is_not_set_up_gets_the_wizard_and_one_that_is_the_dashboard(
    machine: QuietMachine, tmp_path: Path
) -> None:
    async def wizard(pilot: P) -> None:
        await until(pilot, "1 of 10  Welcome")

    async def dashboard(pilot: P) -> None:
        await until(pilot, "all is well")
        text = shown(pilot)
        assert "forwarder  192.0.2.10, 2001:db8::10" in text
        parts = ("loki", "rsyslog", "relay", "queue", "disk", "time", "certificates", "updates")
        assert all(f"OK {part} " in text for part in parts)

    drive(Console(QuietMachine(tmp_path / "fresh")), wizard)
    drive(Console(machine), dashboard)


def test_what_is_wrong_comes_first_with_cause_and_remedy(machine: QuietMachine) -> None:
    machine.look = waiting

    async def script(pilot: P) -> None:
        await until(pilot, " CRITICAL ")
        lines = shown(pilot).splitlines()
        assert "refuses the connection" in lines[2] and "check that Loki runs" in lines[4]
        assert (
            next(line for line in lines if " relay " in line or "loki  " in line).lstrip().startswith("CRITICAL loki")
        )
        await pilot.press("v")
        await until(pilot, "-> check that Loki runs")

    drive(Console(machine), script)


def test_a_dead_relay_still_leaves_a_dashboard(machine: QuietMachine) -> None:
    machine.look = lambda now: facts(now, relay=None, relay_error="Connection refused on 127.0.0.1 port 9081")

    async def script(pilot: P) -> None:
        await until(pilot, "CRITICAL relay")
        assert "relay: Connection refused on 127.0.0.1 port 9081" in shown(pilot)

    drive(Console(machine), script)


def test_a_source_that_fell_silent_is_marked_even_when_the_list_is_short() -> None:
    rows = [row.plain for row in source_rows(relay_status(), NOW, 40, 4)]
    assert rows[1].startswith("192.0.2.11 "), "the busiest is first"
    assert rows[-1].startswith("192.0.2.44 ") and rows[-1].endswith("silent 90m")
    assert all(len(row) <= 40 for row in rows)


def test_errors_without_any_are_none_and_with_some_have_their_time(machine: QuietMachine) -> None:
    async def script(pilot: P) -> None:
        await until(pilot, "Recent errors")
        assert "none" in shown(pilot).splitlines()[-3]

    drive(Console(machine), script)


@pytest.mark.parametrize("size", [(40, 12), (60, 20), (80, 25), (160, 50)], ids=str)
def test_any_size_of_screen_shows_the_verdict_and_is_filled(machine: QuietMachine, size: tuple[int, int]) -> None:
    async def script(pilot: P) -> None:
        await until(pilot, "all is well")
        lines = shown(pilot).splitlines()
        assert len(lines) <= size[1] and all(len(line) <= size[0] for line in lines)
        assert lines[-1].strip().startswith("S settings")
        if size[1] >= 24:
            assert lines[-3].strip() == "none", "no row is wasted"

    drive(Console(machine), script, size)


# ---- keys -----------------------------------------------------------------------------------


def test_looking_and_testing_ask_for_no_password_even_when_locked(locked: QuietMachine) -> None:
    async def script(pilot: P) -> None:
        await until(pilot, "all is well")
        for key, words in (("t", "arrived"), ("d", "VyOS routers"), ("v", "synchronized"), ("f1", "Help: dashboard")):
            await pilot.press(key)
            await until(pilot, words)
            await pilot.press("escape")
            await until(pilot, "all is well")
        await pilot.press("l")
        await until(pilot, "Relay")
        await pilot.press("enter")
        await until(pilot, "the last line > ????")

    drive(Console(locked), script)


def test_the_authority_for_senders_can_be_read_on_the_screen(machine: QuietMachine) -> None:
    from appliance.host.tls.own import ensure_own
    from appliance.host.tls.store import TlsStore

    assert "none yet" in machine.authority()
    ensure_own(TlsStore(machine.host.layout), load(machine.config_path), ["192.0.2.10"])

    async def script(pilot: P) -> None:
        await until(pilot, "all is well")
        await pilot.press("d")
        await until(pilot, "TCP port 514")
        pilot.app.screen.query_one("#device-authority").focus()
        await pilot.press("enter")
        await until(pilot, "-----BEGIN CERTIFICATE-----")
        assert "PRIVATE" not in machine.authority()

    drive(Console(machine), script)


@pytest.mark.parametrize("key", ["s", "r", "p", "x"])
def test_a_locked_console_asks_before_anything_changes(locked: QuietMachine, key: str) -> None:
    shells: list[str] = []
    locked.shell = lambda: shells.append("shell")  # type: ignore[method-assign]

    async def script(pilot: P) -> None:
        await until(pilot, "all is well")
        await pilot.press(key)
        await until(pilot, "Administrator's password")
        entry = pilot.app.screen.query_one(Entry)
        entry.value = "wrong"
        await pilot.press("enter")
        await until(pilot, "That is not the administrator's password")
        assert "wrong" not in shown(pilot) and not locked.done and not shells
        if key != "x":  # a shell needs a terminal
            entry.value = "correct horse"
            await pilot.press("enter")
            await until(pilot, {"s": "Review and apply", "r": "Restart this machine", "p": "Shut this machine"}[key])
        assert not locked.done

    drive(Console(locked), script)


@pytest.mark.parametrize(("key", "done"), [("r", "restart"), ("p", "power off")])
def test_restart_and_shut_down_want_a_yes_and_the_focus_is_on_no(machine: QuietMachine, key: str, done: str) -> None:
    async def script(pilot: P) -> None:
        await until(pilot, "all is well")
        await pilot.press(key)
        await until(pilot, "this machine")
        await pilot.press("enter")
        await until(pilot, "all is well")
        assert machine.done == []
        await pilot.press(key)
        await until(pilot, "this machine")
        await pilot.press("right", "enter")
        await pilot.app.workers.wait_for_complete()

    drive(Console(machine), script)
    assert machine.done == [done]


def test_a_configuration_that_cannot_be_read_does_not_unlock(locked: QuietMachine) -> None:
    locked.config_path.write_text("loki: [")
    assert locked.is_locked()


def test_a_wrong_password_takes_a_second(locked: QuietMachine) -> None:
    began = time.monotonic()
    assert not locked.password_is_right("")
    assert time.monotonic() - began >= 1


# ---- plot -----------------------------------------------------------------------------------


def test_the_plot_tells_lines_that_went_on_from_those_that_wait_and_those_that_drain() -> None:
    steady = [Sample(NOW - 290 + 2 * n, 100, 100, 0) for n in range(40)]
    held = [Sample(NOW - 200 + 2 * n, 100, 0, 0) for n in range(40)]
    drained = [Sample(NOW - 110 + 2 * n, 0, 100, 0) for n in range(40)]
    rows = [row.plain for row in plot(steady + held + drained, 67, 6, NOW, 300)]
    assert len(rows) == 6 and all(len(row) <= 67 for row in rows)
    top = rows[0][AXIS:]
    assert top.strip("█▒░ ") == "" and top.index("█") < top.index("▒") < top.index("░")
    assert rows[0].strip().startswith("100") and rows[-1].strip().startswith("-5 min") and rows[-1].endswith("now")


def test_a_plot_of_nothing_is_empty_and_a_trickle_can_be_seen() -> None:
    assert "█" not in "".join(row.plain for row in plot([], 60, 6, NOW, 300))
    samples_ = [Sample(NOW - 100, 1000, 1000, 0), Sample(NOW - 50, 1, 1, 0)]
    assert "_" in plot(samples_, 60, 6, NOW, 300)[-2].plain


def test_columns_have_no_gaps_when_they_are_narrower_than_two_seconds() -> None:
    assert all(column is not None for column in columns(samples(), 200, NOW, 300)[3:199])


@pytest.mark.parametrize(("value", "top"), [(0, 1), (1, 1), (2.5, 3), (160, 200), (9_000, 10_000), (140_000, 150_000)])
def test_the_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert nice(value) == top


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.25, "0.2"), (950, "950"), (1500, "1.5k"), (2e6, "2M")])
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text


def test_settings_that_nobody_touches_any_more_are_left(locked: QuietMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.app.IDLE", 4.0)

    async def script(pilot: P) -> None:
        await until(pilot, "Sources:")
        await pilot.press("s", *"correct", "space", *"horse", "enter")
        await until(pilot, "Review and apply")
        await pilot.press("down", "enter")
        await until(pilot, "Search domains")
        await pilot.press("x")
        await until(pilot, "Sources:")
        await pilot.press("s")
        await until(pilot, "The console is locked")

    drive(Console(locked), script)


def test_a_first_set_up_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.app.IDLE", 0.2)

    async def script(pilot: P) -> None:
        await until(pilot, "1 of 10  Welcome")
        await pilot.press("f1")
        await pilot.pause(0.6)
        assert "Help: Welcome" in shown(pilot)

    drive(Console(QuietMachine(tmp_path / "fresh")), script)


def test_a_summary_that_is_too_long_ends_between_its_parts() -> None:
    assert cut_parts("data 39.0 GiB free of 40.0 GiB, / 4.0 GiB free", 19) == "data 39.0 GiB free"
    assert cut_parts("159.6 lines/s, to http://loki.example.org", 19) == "159.6 lines/s"
    assert cut_parts("not reached (http://loki)", 19) == "not reached"
    assert cut_parts("empty", 19) == "empty"
    assert cut_parts("onewordthatgoesonandon", 10) == "onewordth~"


def test_what_a_test_finds_goes_on_below_its_beginning_when_it_is_long(machine: QuietMachine) -> None:
    def found() -> Iterator[Finding]:
        yield Finding("arrived", True, "in Loki: " + ", ".join(f"label{n}=value" for n in range(9)))

    machine.test_message = found  # type: ignore[method-assign]

    async def script(pilot: P) -> None:
        await pilot.press("t")
        await until(pilot, "label8=value")
        rows = [line for line in shown(pilot).splitlines() if "label" in line]
        begin = rows[0].index("in Loki")
        assert len(rows) > 1 and all(row[:begin].strip() == "" for row in rows[1:]), rows

    drive(Console(machine), script)
