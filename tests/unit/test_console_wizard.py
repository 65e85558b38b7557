"""The wizard by key presses: each refusal beside its field, nothing typed is lost, what is applied is what was said."""

import re
import stat
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from appliance.config.load import load
from appliance.relay.probe.check import Finding
from tests.harness.console import QuietMachine, configured
from tests.harness.pilot import choose, drive, fill, go_to, item, refusal, settled, shown, until, write
from tui.answers import saved
from tui.app import Console
from tui.state import State
from tui.widgets.entry import Entry

URL = "http://loki.example.org:3100/loki/api/v1/push"
P = Pilot[Any]


@pytest.fixture
def machine(tmp_path: Path) -> QuietMachine:
    return QuietMachine(tmp_path / "root")


def at(page: str, machine: QuietMachine, **answers: Any) -> Console:
    """A first setup that has come to a page."""
    state = State(machine)
    state.answers.page = page
    state.answers.put("loki.url", URL)
    for path, value in answers.items():
        state.answers.put(path.replace("__", "."), value)
    return Console(machine, state=state)


REFUSED: dict[str, tuple[dict[str, Any], list[tuple[str, str, str]]]] = {
    "welcome": ({}, [("Keyboard layout", "xx yy", "No such keyboard layout")]),
    "network": (
        {"system__network__ipv4": {"method": "static", "address": "192.0.2.9/24"},
         "system__network__ipv6": {"method": "static", "address": "2001:db8::9/64"}},
        [
            ("Name", "my_host", "Not a host name: letters, digits and hyphens"),
            ("Gateway", "192.0.3.1", "Not in the network of 192.0.2.9/24: an address in 192.0.2.0/24"),
            ("Address", "192.0.2.1", "with its prefix length: such as 192.0.2.10/24"),
            ("Address", "192.0.2.0/24", "This is the address of the network itself"),
            ("DNS servers", "192.0.2.1, dns.example.org", "Not the address of a name server"),
            ("VLAN", "5000", "between 1 and 4094"),
            ("MTU", "abc", "Not a whole number"),
            ("HTTP proxy", "proxy:3128", "Not the URL of an HTTP proxy"),
        ],
    ),
    "time": (
        {},
        [
            ("Time zone", "Europe/Pari", "No such time zone: a name of the IANA database"),
            ("Time servers", "ntp.example.org, -", "Not a time server"),
        ],
    ),
    "loki": (
        {"loki__url": "https://loki/loki/api/v1/push", "loki__tls__ca_file": ""},
        [
            ("PEM file", "/no/such.pem", "There is no such file: put it there first"),
            ("Tenant", "a/b", "Not a valid tenant for Loki"),
            ("Address", "loki:3100", "Does not start with http:// or https://: such as"),
            ("Address", "http://loki:3100", "Has no path"),
        ],
    ),
    "listeners": ({}, [("Port", "99999", "between 1 and 65535")]),
    "administrator": (
        {},
        [
            ("Login name", "Root!", "Not a login name"),
            ("Login name", "root", "reserved for the system"),
            ("Password", "short", "Too short: 10 characters"),
            ("SSH key", "ssh-ed25519 AAAA", "cut or damaged"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("page", REFUSED)
def test_a_refusal_says_beside_the_field_why_and_how_to_fix_it(machine: QuietMachine, page: str) -> None:
    answers, cases = REFUSED[page]

    async def script(pilot: P) -> None:
        for label, typed, words in cases:
            await fill(pilot, label, typed)
            assert words in " ".join(refusal(pilot, label).split()), refusal(pilot, label)
        before = type(pilot.app.screen)
        await pilot.press("ctrl+n")
        assert type(pilot.app.screen) is before, "a page with a refused answer is not left"
        assert "-noted" in str(pilot.app.focused.parent.parent.classes), "a refused answer has the focus"

    drive(at(page, machine, **answers), script)


def test_a_missing_address_of_loki_is_not_blamed_before_one_goes_on(machine: QuietMachine) -> None:
    async def script(pilot: P) -> None:
        assert refusal(pilot, "Address") == ""
        await pilot.press("f10")
        assert "Loki's address is missing: such as https://" in refusal(pilot, "Address")
        await write(pilot, URL)
        assert refusal(pilot, "Address") == ""

    drive(at("loki", machine, loki__url=""), script)


def test_back_and_forth_loses_no_input_not_even_a_wrong_one(machine: QuietMachine) -> None:
    async def script(pilot: P) -> None:
        await fill(pilot, "Time zone", "Europe/Pari")
        await pilot.press("escape")
        await until(pilot, "Found  enX0")
        await fill(pilot, "Name", "collector")
        await pilot.press("ctrl+n")
        await until(pilot, "Europe/Pari")
        await pilot.press("escape")
        await until(pilot, "collector")

    drive(at("time", machine), script)


def test_set_up_goes_on_where_a_restart_broke_it_off_without_secrets_in_the_draft(machine: QuietMachine) -> None:
    async def begin(pilot: P) -> None:
        await choose(pilot, "Log in", "basic")
        await fill(pilot, "Name", "bob")
        await fill(pilot, "Password", "swordfish")
        await pilot.press("ctrl+n")
        await until(pilot, "UDP")

    drive(at("loki", machine), begin)
    draft = machine.draft_path
    assert stat.S_IMODE(draft.stat().st_mode) == 0o600
    assert "swordfish" not in draft.read_text()

    async def go_on(pilot: P) -> None:
        await until(pilot, "Listeners")
        await pilot.press("escape")
        await until(pilot, "bob")
        assert item(pilot, "Password").query_one(Entry).placeholder == "(kept; type to change it)"

    drive(Console(machine), go_on)
    kept = saved(draft)
    assert kept is not None
    secret = machine.host.layout.at(kept.get("loki.basic_auth.password_file"))
    assert secret.read_text() == "swordfish\n" and stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_from_welcome_to_the_dashboard_by_keys_alone(machine: QuietMachine) -> None:
    async def script(pilot: P) -> None:
        await until(pilot, "Welcome")
        await pilot.press("ctrl+n")
        await until(pilot, "Found  enX0")
        await choose(pilot, "IPv4", "static")
        await fill(pilot, "Address", "192.0.2.10/24")
        await fill(pilot, "Gateway", "192.0.2.1")
        await fill(pilot, "DNS servers", "192.0.2.53, 192.0.2.54")
        await pilot.press("f10")
        await fill(pilot, "Time zone", "Europe/Paris")
        await pilot.press("f10")
        await fill(pilot, "Address", URL)
        await fill(pilot, "Tenant", "ops")
        await pilot.press("f5")
        await until(pilot, "12 of 12 entries")
        await pilot.press("f10")
        await choose(pilot, "TLS", "on")
        await pilot.press("f10")
        await choose(pilot, "Senders", "ca")
        await pilot.press("f10")
        await fill(pilot, "Password", "correct horse")
        await fill(pilot, "Password again", "correct horse")
        await choose(pilot, "Console lock", "on")
        await pilot.press("f10")
        await until(pilot, "Steps ")
        await pilot.press("f10")
        await until(pilot, "Done.", within=60)
        await pilot.press("enter")
        await until(pilot, "192.0.2.10  UDP port 514")
        await pilot.press("enter")
        await until(pilot, "all is well")

    drive(Console(machine), script)
    config = load(machine.config_path)
    assert config.system.network.ipv4.address == "192.0.2.10/24"
    assert config.system.network.dns == ["192.0.2.53", "192.0.2.54"]
    assert (config.system.timezone, config.loki.url, config.loki.tenant) == ("Europe/Paris", URL, "ops")
    assert config.listeners.tls is not None and config.listeners.tls.tls.client_certificates == "ca"
    assert config.access.console_lock
    assert machine.password_is_right("correct horse") and not machine.password_is_right("wrong")
    assert not machine.draft_path.exists()


def test_the_page_answers_keys_while_a_test_runs(machine: QuietMachine) -> None:
    machine.pause = 1.5

    async def script(pilot: P) -> None:
        await pilot.press("f5")
        await fill(pilot, "Tenant", "x")
        assert machine.done == [f"test {URL}"]
        assert "testing ..." in shown(pilot) and "12 of 12" not in shown(pilot)

    drive(at("loki", machine), script)


@pytest.mark.parametrize("step", ["name", "connection", "TLS", "HTTP", "login", "push, read"])
def test_the_test_of_loki_names_the_step_that_fails_and_its_remedy(machine: QuietMachine, step: str) -> None:
    machine.loki_findings = [Finding(step, False, "this is why", "do this")]

    async def script(pilot: P) -> None:
        await pilot.press("ctrl+t")
        await until(pilot, "-> do this")
        assert re.search(rf"CRITICAL {step} +this is why", shown(pilot))

    drive(at("loki", machine), script)


def test_two_passwords_that_differ_and_no_way_to_log_in_are_refused(machine: QuietMachine) -> None:
    async def script(pilot: P) -> None:
        await pilot.press("f10")
        assert refusal(pilot, "Password").startswith("Nobody could log in")
        await fill(pilot, "Password", "correct horse")
        await fill(pilot, "Password again", "correct hose")
        assert refusal(pilot, "Password again").startswith("Not the same as above")
        await fill(pilot, "Password again", "correct horse")
        assert refusal(pilot, "Password again") == ""

    drive(at("administrator", machine), script)


def test_a_lock_without_a_password_is_refused(machine: QuietMachine) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMTGnTSLCBrAJPmcQ4hmGMpfsFvO4DJIhgdjqDJgWVt0 me"

    async def script(pilot: P) -> None:
        await choose(pilot, "Console lock", "on")
        assert refusal(pilot, "Console lock").startswith("Locked without a password")
        await fill(pilot, "Password", "correct horse")
        assert refusal(pilot, "Console lock") == ""

    drive(at("administrator", machine, access__ssh_keys=[key]), script)


def test_a_certificate_that_would_not_work_is_refused_with_the_reason(machine: QuietMachine) -> None:
    machine.host.layout.root.mkdir(parents=True)
    machine.host.layout.at("/bad.pem").write_text("-----BEGIN nothing")

    async def script(pilot: P) -> None:
        await choose(pilot, "Certificate", "import")
        await pilot.press("f10")
        assert refusal(pilot, "File").startswith("Name the file")
        await fill(pilot, "File", "/bad.pem")
        await pilot.press("f10")
        assert "here is no certificate in the file" in refusal(pilot, "File")

    drive(at("tls", machine, listeners__tls={}), script)


def test_two_listeners_on_one_port_are_refused(machine: QuietMachine) -> None:
    async def script(pilot: P) -> None:
        await choose(pilot, "RELP", "on")
        ports = [one for one in pilot.app.screen.query("Item") if one.path == "listeners.relp.port"]
        pilot.app.screen.focus_item(ports[0])
        await pilot.pause()
        await write(pilot, "514")
        assert "used by listeners.tcp.port" in shown(pilot)

    drive(at("listeners", machine), script)


def test_review_lists_what_is_missing_and_applies_nothing(machine: QuietMachine) -> None:
    async def script(pilot: P) -> None:
        await until(pilot, "This cannot be applied yet")
        assert "loki.url" in shown(pilot)
        await pilot.press("f10")
        assert "Nothing can be applied yet" in shown(pilot)

    drive(at("review", machine, loki__url="nonsense"), script)
    assert not machine.config_path.exists()


def test_an_apply_that_fails_says_why_and_lets_one_go_back(machine: QuietMachine) -> None:
    machine.fail_apply = "rsyslog.service is failed: no"

    async def script(pilot: P) -> None:
        await until(pilot, "Steps ")
        await pilot.press("f10")
        await until(pilot, "Rolled back")
        assert "rsyslog.service is failed: no" in shown(pilot)
        await settled(pilot)
        await pilot.press("escape")
        await until(pilot, "Steps ")

    drive(at("review", machine), script)
    assert machine.draft_path.exists() or not machine.config_path.exists()


@pytest.mark.parametrize(("keys", "done"), [(["enter"], "confirm"), (["escape"], "revert")])
def test_a_change_of_the_network_is_kept_only_when_one_says_so(
    machine: QuietMachine, keys: list[str], done: str
) -> None:
    machine.risky = True

    async def script(pilot: P) -> None:
        await until(pilot, "Steps ")
        await pilot.press("f10")
        await until(pilot, "They revert in")
        await pilot.press(*keys)
        await until(pilot, "Confirmed" if done == "confirm" else "Reverted")

    drive(at("review", machine), script)
    assert machine.done == [done]


def test_every_page_has_help_and_settings_change_nothing_until_applied(tmp_path: Path) -> None:
    machine = QuietMachine(configured(tmp_path / "root"))
    before = machine.config_path.read_text()
    app = Console(machine)

    async def script(pilot: P) -> None:
        await until(pilot, "all is well")
        await pilot.press("s")
        await until(pilot, "Review and apply")
        for name, title in (("loki", "Loki"), ("time", "Time"), ("administrator", "Administrator")):
            pilot.app.screen.query_one(f"#page-{name}").focus()
            await pilot.press("enter")
            await until(pilot, "[ Done ]")
            await pilot.press("f1")
            await until(pilot, f"Help: {title}")
            await pilot.press("escape")
            await until(pilot, "[ Done ]")
            if name == "time":
                await fill(pilot, "Time zone", "Europe/Paris")
            await pilot.press("f10" if name == "time" else "escape")
            await until(pilot, "Review and apply")
        await pilot.press("escape")
        await until(pilot, "Discard these changes?")
        await pilot.press("escape")
        await until(pilot, "Review and apply")
        await pilot.press("f10")
        await until(pilot, "Steps ")
        assert app.state.plan is not None and "+  timezone: Europe/Paris" in app.state.plan.diff
        assert "[ Apply ]" in shown(pilot)

    drive(app, script)
    assert machine.config_path.read_text() == before


def test_help_opens_with_a_key_that_serial_lines_carry(machine: QuietMachine) -> None:
    async def script(pilot: P) -> None:
        await go_to(pilot, "Tenant")
        await pilot.press("ctrl+g")
        await until(pilot, "Help: Loki")

    drive(at("loki", machine), script)


def test_the_keyboard_that_is_chosen_is_loaded_when_the_page_is_left_and_again_after_a_restart(
    machine: QuietMachine,
) -> None:
    async def script(pilot: P) -> None:
        await fill(pilot, "Keyboard layout", "fr")
        await pilot.press("f10")
        await until(pilot, "2 of 10  Network")
        await settled(pilot)

    drive(at("welcome", machine), script)
    assert machine.done == ["keyboard fr"]

    async def nothing(pilot: P) -> None:
        await until(pilot, "2 of 10  Network")
        await settled(pilot)

    machine.done.clear()
    drive(Console(machine), nothing)
    assert machine.done == ["keyboard fr"], "the setup was taken up where it was left"


# ---- among the settings ----------------------------------------------------------------------


def test_the_keyboard_among_the_settings_is_a_page_of_its_own_and_esc_takes_nothing_over(tmp_path: Path) -> None:
    machine = QuietMachine(configured(tmp_path / "root"))

    async def script(pilot: P) -> None:
        await until(pilot, "all is well")
        await pilot.press("s")
        await until(pilot, "Review and apply")
        await pilot.press("enter")
        await until(pilot, "Keyboard layout")
        text = shown(pilot)
        assert "It will ask for" not in text and "Welcome" not in text
        assert "F10 done" in text and "Esc cancel" in text and "next page" not in text
        await fill(pilot, "Keyboard layout", "fr")
        await pilot.press("escape")
        await until(pilot, "Review and apply")
        assert pilot.app.state.answers.get("system.keyboard.layout") is None
        await pilot.press("enter")
        await until(pilot, "Keyboard layout")
        await fill(pilot, "Keyboard layout", "fr")
        await pilot.press("f10")
        await until(pilot, "Review and apply")
        assert pilot.app.state.answers.get("system.keyboard.layout") == "fr"

    drive(Console(machine), script)


def test_a_password_that_was_typed_twice_lets_the_administrator_in(machine: QuietMachine) -> None:
    async def script(pilot: P) -> None:
        await choose(pilot, "SSH", "on")
        assert "could log in" in shown(pilot)
        await fill(pilot, "Password", "correct horse")
        await fill(pilot, "Password again", "correct horse")
        assert "could log in" not in shown(pilot)
        assert refusal(pilot, "SSH") == ""

    drive(at("administrator", machine), script)


def test_the_review_lists_settings_and_generated_files_only_when_asked(tmp_path: Path) -> None:
    machine = QuietMachine(configured(tmp_path / "root"))
    assert machine.apply(machine.plan(machine.config_path.read_text()), lambda step: None).ok

    async def script(pilot: P) -> None:
        await until(pilot, "all is well")
        await pilot.press("s", "f10")
        await until(pilot, "Nothing changes")
        await pilot.press("escape")
        await until(pilot, "Review and apply")
        pilot.app.state.answers.put("system.hostname", "other")
        await pilot.press("f10")
        await until(pilot, "~ system.hostname: forwarder (default) -> other")
        assert "+++" not in shown(pilot)
        await pilot.press("f")
        await until(pilot, "+++ /etc/appliance/appliance.yaml")

    drive(Console(machine), script)
