"""Two configurations are compared by what they mean, and what differs is named key by key."""

from pathlib import Path

import pytest

from appliance.config.load import parse
from appliance.config.model import Config
from appliance.host.apply.meaning import differences

LOKI = "loki: {url: 'http://loki:3100/loki/api/v1/push'}\n"


def config(text: str) -> Config:
    return parse(LOKI + text).config


def between(old: str, new: str) -> list[str]:
    return [str(one) for one in differences(config(old), config(new))]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("listeners: {relp: {}}\n", "listeners:\n  relp:\n    port: 2514\n"),
        ("access: {ssh: false}\nrelay: {}\n", ""),
        (
            "listeners: {tls: {tls: {client_certificates: names, permitted_names: [a.example, b.example]}}}\n",
            "listeners:\n  tls:\n    tls: {permitted_names: ['a.example', b.example], client_certificates: names}\n",
        ),
        ("relay: {spool: {max_size: 1GiB}}\n", "relay: {spool: {max_size: 1024MiB}}\n"),
    ],
)
def test_another_spelling_is_no_difference(old: str, new: str) -> None:
    assert between(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "listeners: {relp: {}}\n", ["+ listeners.relp: on"]),
        ("listeners: {relp: {}}\n", "", ["- listeners.relp: on"]),
        ("listeners: {relp: {}}\n", "listeners: {relp: {port: 20514}}\n",
         ["~ listeners.relp.port: 2514 (default) -> 20514"]),
        ("system: {hostname: a}\n", "system: {hostname: b}\n", ["~ system.hostname: a -> b"]),
        ("system: {ntp: {servers: [x, y]}}\n", "", ["~ system.ntp.servers: x, y -> none (default)"]),
        ("labels: {static: {job: a}}\n", "labels: {static: {job: a, site: b}}\n", ["+ labels.static.site: b"]),
        ("", "access: {ssh: true, ssh_keys: []}\n", ["~ access.ssh: false (default) -> true"]),
    ],
)  # fmt: skip
def test_what_differs_is_named_with_both_values(old: str, new: str, said: list[str]) -> None:
    assert between(old, new) == said


def test_a_password_in_a_url_and_a_header_are_not_shown() -> None:
    new = parse(
        "loki: {url: 'http://loki:3100/loki/api/v1/push', proxy: 'http://bob:hunter2@proxy:3128', "
        "headers: {X-Key: hunter2}}\n"
    ).config
    said = "\n".join(map(str, differences(config(""), new)))
    assert "hunter2" not in said and "loki.proxy" in said and "loki.headers.X-Key" in said


def test_the_console_leaves_a_file_alone_whose_meaning_stays(tmp_path: Path) -> None:
    from tests.harness.console import QuietMachine
    from tui.answers import Answers

    machine = QuietMachine(tmp_path)
    text = "# with a comment\n" + LOKI + "listeners: {udp: {}, tcp: {port: 514}, relp: {}}\n"
    plan = machine.plan(text)
    assert machine.apply(plan, lambda step: None).ok
    answers = Answers.of_text(machine.config_path.read_text(), "test")
    relp = answers.get("listeners.relp")
    answers.put("listeners.relp", None)
    answers.put("listeners.relp", relp)
    again = machine.plan(answers.text())
    assert again.changes_nothing and not again.changes
    assert machine.config_path.read_text() == text
