"""From power-on to the first line in Loki at the machine's own consoles: its screen, and the serial line.

One start: what is there when both consoles show their first page is kept, and the second way begins from
there. Pictures of every page on the screen are in build/pictures/ afterwards.
"""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.net import wait_until
from tests.harness.senders import lines, rfc5424, send_tcp
from tests.loki_double import InProcessLoki
from tests.vm.conftest import StartMachine
from tests.vm.consoles import Console, Screen, SerialLine, enter, go_down_to, wait_for
from tests.vm.machine import LOKI_SEEN_BY_GUEST, PATIENCE, Machine

pytestmark = [pytest.mark.vm, pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("consoles")]

PICTURES = Path(__file__).parents[2] / "build" / "pictures"
URL = f"{LOKI_SEEN_BY_GUEST}/loki/api/v1/push"
PLACE = re.compile(r"(\d+) of 10  ")
PASSWORD = "correct-Horse-7"


def hidden(fields: int) -> Callable[[str], bool]:
    """Return whether so many fields hold as many asterisks as the password has characters."""
    return lambda text: re.findall(r"\*{4,}", text) == ["*" * len(PASSWORD)] * fields


@pytest.fixture(scope="module")
def machine(start_machine: StartMachine) -> Machine:
    """A machine that nobody has set up; only the root shell for the test comes from a seed."""
    for old in PICTURES.glob("*.png"):
        old.unlink()
    return start_machine("wizard", {})


@pytest.fixture(scope="module")
def screen(machine: Machine) -> Screen:
    return Screen(machine, PICTURES)


class TestAtTheScreen:
    """By the keyboard of the virtual machine."""

    def test_what_is_coming_is_said_on_an_otherwise_empty_screen(self, screen: Screen) -> None:
        text = wait_for(screen, "The console starts in a few seconds")
        screen.picture("starting")
        assert next(line for line in text.splitlines() if line).strip() == "Log forwarder", text
        assert "cloud-init" not in text and "[" not in text, text

    def test_the_set_up_comes_by_itself_and_the_serial_line_invites_to_it(
        self, machine: Machine, screen: Screen
    ) -> None:
        wait_for(screen, "XKB layout, such as")
        print(f"\npower-on to the first page: {time.monotonic() - machine.started:.0f} s")
        screen.picture("welcome")
        wait_until(lambda: "Press Enter to start setup" in machine.console(), PATIENCE, every=0.5, what=machine.console)
        machine.save("fresh")

    def test_a_wrong_address_is_refused_beside_its_field(self, screen: Screen) -> None:
        screen.press("next")
        wait_for(screen, "Found  ")
        screen.press("test")
        wait_for(screen, "OK       address")
        screen.picture("network")
        screen.press("help")
        wait_for(screen, "Help: Network")
        screen.picture("network-help")
        screen.press("back")
        wait_for(screen, "Search domains")
        screen.press("next")
        wait_for(screen, "such as Europe/Paris")
        screen.picture("time")
        screen.press("next")
        wait_for(screen, "such as https://loki")
        screen.type("loki.example.org")
        screen.press("next")
        wait_for(screen, "Does not start with http:// or https://")
        screen.picture("loki-refused")
        screen.press("clear")
        wait_for(screen, lambda text: "loki.example.org\n" not in text)

    def test_loki_is_tested_with_lines_that_are_read_back(self, screen: Screen) -> None:
        enter(screen, URL, lambda text: f" {URL}\n" in text)
        screen.press("test")
        wait_for(screen, "12 of 12 entries in 3 streams were counted back")
        screen.picture("loki-tested")

    def test_every_page_to_the_review_is_reached_by_keys(self, screen: Screen) -> None:
        screen.press("next")
        wait_for(screen, "Space switches it on and off")
        go_down_to(screen, "TLS needs a certificate")
        screen.press("space")
        wait_for(screen, "[x] syslog, encrypted")
        screen.picture("listeners")
        screen.press("next")
        wait_for(screen, "Left and Right choose")
        screen.picture("certificates")
        screen.press("next")
        wait_for(screen, "lower-case letters and digits")
        go_down_to(screen, "10 characters or more")
        enter(screen, PASSWORD, hidden(1))
        go_down_to(screen, "repeat the password")
        enter(screen, PASSWORD, hidden(2))
        screen.picture("administrator")
        screen.press("next")
        text = wait_for(screen, "Steps ")
        screen.picture("review")
        assert PASSWORD not in text

    def test_it_is_applied_step_by_step_and_a_line_arrives_in_loki(
        self, machine: Machine, screen: Screen, loki: InProcessLoki
    ) -> None:
        screen.press("next")
        wait_for(screen, "OK       Switching files")
        screen.picture("apply")
        text = wait_for(screen, lambda text: " Done." in text or "did not work" in text)
        screen.picture("applied")
        assert "Done." in text, text
        screen.press("next")
        wait_for(screen, "TCP port 6514  syslog over TLS")
        screen.press("test")
        wait_for(screen, "in Loki after")
        screen.picture("done")
        assert loki.count('{application="appliance-test"}') == 1
        print(f"power-on to the first line in Loki: {time.monotonic() - machine.started:.0f} s")

    def test_the_dashboard_takes_over_and_leads_to_the_rest(self, machine: Machine, screen: Screen) -> None:
        screen.press("next")
        wait_for(screen, "Sources:")
        send_tcp(machine.tcp[514], lines(rfc5424(f"line {number}", host="router") for number in range(200)))
        text = wait_for(screen, lambda text: " router" in text)
        screen.picture("dashboard")
        for part in ("loki", "rsyslog", "relay", "queue", "disk", "time", "certificates", "updates"):
            assert f" {part} " in text, text
        for key, words in (("s", "Review and apply"), ("d", "VyOS routers"), ("l", "Network"), ("v", "PgUp PgDn")):
            screen.press(key)
            wait_for(screen, words)
            screen.picture({"s": "settings", "d": "devices", "l": "logs", "v": "parts"}[key])
            screen.press("back")
            wait_for(screen, "Sources:")


class TestBySerialLine:
    """From the same first page again: the state from before the screen's keys is restored."""

    @pytest.fixture(scope="class")
    def line(self, machine: Machine, loki: InProcessLoki) -> Iterator[SerialLine]:
        machine.load("fresh")
        machine.wait_for_shell()
        line = SerialLine(machine)
        yield line
        line.close()

    def test_enter_leads_to_the_set_up(self, line: SerialLine) -> None:
        line.press("enter")
        wait_for(line, "XKB layout, such as")
        self.leaf_to(line, 4)
        wait_for(line, "such as https://loki")
        enter(line, URL, lambda text: f" {URL}\n" in text)
        line.press("test")
        wait_for(line, "12 of 12 entries in 3 streams were counted back")

    def test_it_is_applied_and_a_line_arrives_in_loki(
        self, machine: Machine, line: SerialLine, loki: InProcessLoki
    ) -> None:
        self.leaf_to(line, 7)
        wait_for(line, "lower-case letters and digits")
        go_down_to(line, "10 characters or more", "tab")
        enter(line, PASSWORD, hidden(1))
        go_down_to(line, "repeat the password", "tab")
        enter(line, PASSWORD, hidden(2))
        line.press("next")
        wait_for(line, "Steps ")
        line.press("next")
        text = wait_for(line, lambda text: " Done." in text or "did not work" in text)
        assert "Done." in text, text
        send_tcp(machine.tcp[514], lines([rfc5424("the first line", host="device")]))
        wait_until(lambda: loki.count('{host="device"}') == 1, PATIENCE, every=0.5, what=loki.streams)
        line.press("next")
        wait_for(line, "TCP port 514")
        line.press("next")
        wait_for(line, "Sources:")

    def leaf_to(self, line: Console, number: int) -> None:
        """Go on to the page of that number, page by page, each once it is there."""
        place = PLACE.search(line.text())
        assert place, line.text()
        for following in range(int(place[1]) + 1, number + 1):
            line.press("next")
            wait_for(line, f"{following} of 10  ")
