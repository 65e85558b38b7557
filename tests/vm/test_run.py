"""`./build.sh run`, as the README says it: the machine's console in this terminal, keys work, Ctrl-A X ends it."""

import os
import time
from pathlib import Path

import pytest

from tests.harness.terminal import Terminal
from tests.vm.machine import PATIENCE

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.vm, pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("consoles")]


def test_run_shows_the_console_takes_keys_and_ends_with_ctrl_a_x(tmp_path: Path) -> None:
    # QEMU's last words may come in the middle of a character that the guest writes.
    words = ["./build.sh", "run", "--keep", str(tmp_path / "disk.qcow2")]
    terminal = Terminal(words, env=dict(os.environ), errors="replace")
    try:
        terminal.wait_for(lambda _: "Ctrl-A X ends the virtual machine." in terminal.raw, PATIENCE)
        began = time.monotonic()
        terminal.wait_for("This machine is not configured yet", PATIENCE)
        terminal.wait_for("Press Enter to start setup.", PATIENCE)
        print(f"\nits console page is in the terminal {time.monotonic() - began:.0f} s after the start")
        text = terminal.text
        assert "Log forwarder" in text and "10.0.2.15" in text
        assert "[  " not in text and "login:" not in text, "neither kernel nor login on the console"
        terminal.press("\r")
        terminal.wait_for("1 of 10  Welcome", PATIENCE)
        terminal.press("\x0e")  # Ctrl-N: the next page
        terminal.wait_for("2 of 10", PATIENCE)
        terminal.press("\x01x")
        deadline = time.monotonic() + 60
        while terminal.process.isalive():
            assert time.monotonic() < deadline, terminal.text
            terminal.read()
    finally:
        terminal.close()
