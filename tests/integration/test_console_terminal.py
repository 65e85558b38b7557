"""The console on a real terminal: as the VM's screen, as a serial line; its glyphs, its colors, its keys."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.terminal import PYTHON, Terminal
from tui.glyphs import DRAWABLE

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("term", ["linux", "vt220"])
def test_on_a_terminal_of_80_by_24_everything_is_drawn_with_what_console_fonts_have(term: str) -> None:
    env = {**os.environ, "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    env.pop("NO_COLOR", None)
    terminal = Terminal([PYTHON, "-W", "ignore", "-m", "tests.harness.console", "wizard"], term=term, env=env)
    seen: set[str] = set()
    try:
        for keys, words in (
            ("", "1 of 10  Welcome"),
            ("\x0e", "Found  enX0"),
            ("\x1b[B\x1b[C", "Gateway"),
            ("\x1b[D", "(*) DHCP"),
            ("\x0e", "Time zone"),
            ("\x0e", "Tenant"),
            ("x", "Does not start with http"),
            ("\x07", "Help: Loki"),
            ("\x1b", "Tenant"),
        ):
            terminal.press(keys)
            seen |= set(terminal.wait_for(words, 40))
    finally:
        terminal.close()
    assert seen - {"\n"} <= DRAWABLE, sorted(seen - DRAWABLE)
    assert not re.search(r"\x1b\[[0-9;]*[34]8;", terminal.raw), "only the sixteen colors of a console"
    assert "\x1b[?1003h" not in terminal.raw, "a serial line is not asked for a mouse"


def test_something_is_said_before_the_interface_is_there(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
    command = [PYTHON, "-W", "ignore", "-m", "appliance", "console", "--root", str(tmp_path)]
    terminal = Terminal(command, env=env)
    try:
        terminal.wait_for(lambda _: "Starting the console ..." in terminal.raw, 30)
        assert "\x1b[?1049h" not in terminal.raw.partition("Starting the console ...")[0]
        terminal.wait_for("1 of 10  Welcome", 40)
    finally:
        terminal.close()


def test_the_picture_goes_to_standard_output_for_standard_error_is_the_journal(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
    journal = tmp_path / "journal"
    command = f"exec {PYTHON} -W ignore -m tests.harness.console wizard 2>{journal}"
    terminal = Terminal(["sh", "-c", command], env=env)
    try:
        terminal.wait_for("1 of 10  Welcome", 40)
    finally:
        terminal.close()
    assert journal.read_text() == ""
    assert "\x1b[?2026$p" not in terminal.raw and "\x1b[>25u" not in terminal.raw, "a console is asked nothing"


CONSOLE = ROOT / "image/elements/forwarder/files/usr/lib/appliance/console"


@contextmanager
def console_on(
    tty: str, tmp_path: Path, program: str, *, is_there: tuple[str, ...] = ("started",)
) -> Iterator[Terminal]:
    """What the image runs on a console, with a program in place of the real one."""
    for name in is_there:
        (tmp_path / name).touch()
    for name, text in (("appliance", program), ("page", 'echo "plain page. ${HINT:-}"; exec sleep 60')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    env = {
        **os.environ, "APPLIANCE": str(tmp_path / "appliance"), "CONSOLE_PAGE": str(tmp_path / "page"),
        "STARTED": str(tmp_path / "started"), "CONFIGURED": str(tmp_path / "configured"),
    }  # fmt: skip
    terminal = Terminal(["bash", str(CONSOLE), tty], env=env)
    try:
        yield terminal
    finally:
        terminal.close()


def test_a_console_program_that_fails_leaves_the_plain_page(tmp_path: Path) -> None:
    with console_on("tty1", tmp_path, 'test "$1" = console || exit 9; exit 3') as terminal:
        terminal.wait_for("plain page. The console program failed (code 3)", 30)


def test_a_serial_line_shows_the_plain_page_until_someone_presses_enter(tmp_path: Path) -> None:
    with console_on("ttyS0", tmp_path, 'echo "the dashboard at $(stty size)"; exec sleep 60') as terminal:
        text = terminal.wait_for("plain page. Press Enter", 30)
        assert "the dashboard at" not in text
        terminal.press("\r")
        terminal.wait_for("the dashboard at 24 80", 30)


def test_the_screen_of_a_configured_machine_shows_the_plain_page_until_someone_presses_enter(tmp_path: Path) -> None:
    with console_on(
        "tty1", tmp_path, 'echo "the dashboard"; exec sleep 60', is_there=("started", "configured")
    ) as terminal:
        text = terminal.wait_for("plain page. The dashboard starts in a minute; press Enter to start it now.", 30)
        assert "the dashboard\r" not in text
        terminal.press("\r")
        terminal.wait_for(lambda _: "the dashboard\r" in terminal.raw, 30)


def test_the_dashboard_comes_by_itself_on_the_screen_of_a_configured_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATIENCE", "2")
    with console_on(
        "tty1", tmp_path, 'echo "the dashboard"; exec sleep 60', is_there=("started", "configured")
    ) as terminal:
        terminal.wait_for("plain page. The dashboard starts", 30)
        terminal.wait_for(lambda _: "the dashboard\r" in terminal.raw, 30)


def test_the_dashboard_does_not_come_by_itself_on_a_serial_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATIENCE", "1")
    with console_on(
        "ttyS0", tmp_path, 'echo "the dashboard"; exec sleep 60', is_there=("started", "configured")
    ) as terminal:
        terminal.wait_for("plain page. Press Enter for the dashboard", 30)
        time.sleep(3)
        assert "the dashboard\r" not in terminal.raw


def test_a_console_waits_for_the_configuration_that_a_seed_brings(tmp_path: Path) -> None:
    with console_on("tty1", tmp_path, "echo wizard; exec sleep 60", is_there=()) as terminal:
        assert "wizard" not in terminal.wait_for("looking for a configuration", 30)
        (tmp_path / "started").touch()
        terminal.wait_for("wizard", 30)


def test_the_shell_has_a_prompt_on_a_clean_screen_though_standard_error_is_the_journal(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "HOME": str(tmp_path), "PS1": ""}
    (tmp_path / ".bash_profile").write_text("PS1='ready> '\n")
    journal = tmp_path / "journal"
    command = f"exec {PYTHON} -W ignore -m tests.harness.console dashboard 2>{journal}"
    terminal = Terminal(["sh", "-c", command], term="linux", env=env)
    try:
        terminal.wait_for("Sources:", 40)
        terminal.press("x")
        screen = terminal.wait_for("ready>", 30)
        assert "A shell on this machine" in screen and "Sources:" not in screen and "Parts" not in screen
        terminal.press("exit\r")
        terminal.wait_for("Sources:", 40)
    finally:
        terminal.close()
    assert journal.read_text() == ""
