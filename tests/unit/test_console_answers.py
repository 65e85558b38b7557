"""The answers of the setup apart from any screen: judged as a file is, kept over a restart, taken from a file."""

import stat
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.cli.main import main
from appliance.config.load import load, parse
from appliance.config.problems import ConfigError
from appliance.errors import UsageError
from tests.harness.console import CONFIG, QuietMachine, configured
from tui.answers import Answers, save, saved
from tui.run import answers_from, set_up
from tui.state import State

URL = "http://loki.example.org:3100/loki/api/v1/push"


def judged(text: str) -> list[tuple[str, str]]:
    try:
        problems = parse(text).warnings
    except ConfigError as error:
        problems = list(error.problems)
    return sorted((p.path, p.message) for p in problems if p.path not in ("relay.listen", "loki.url"))


def test_answers_are_refused_with_the_very_words_that_a_file_gets() -> None:
    answers = Answers()
    answers.put("loki.url", URL)
    answers.put("system.network.ipv4", {"method": "static", "address": "192.0.2.255/24"})
    answers.put("system.timezone", "Mars/Olympus")
    assert sorted((p.path, p.message) for p in answers.problems()) == judged(answers.text())
    assert {p.path for p in answers.problems()} >= {"system.network.ipv4.address", "system.timezone"}


def test_an_answer_taken_back_leaves_nothing_behind() -> None:
    answers = Answers()
    before = answers.text()
    answers.put("system.network.ipv4.method", "static")
    answers.put("system.network.ipv4.method", None)
    assert answers.text() == before
    answers.put("listeners.udp.port", "1514")
    answers.put("listeners.udp.port", None)
    assert answers.get("listeners.udp") == {}, "a listener stays on when nothing more is said about it"


def test_an_existing_configuration_comes_back_unharmed() -> None:
    text = (
        CONFIG + "labels: {static: {job: mine}}\nrelay: {spool: {max_size: 7GiB}}\nsystem: {timezone: Europe/Paris}\n"
    )
    assert Answers.of_text(text, "here").check().config == parse(text).config


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60), st.text(max_size=25), st.text(max_size=25), st.lists(st.text(max_size=20), max_size=3))
def test_whatever_is_typed_is_refused_or_taken_but_never_an_accident(
    url: str, address: str, gateway: str, dns: list[str]
) -> None:
    answers = Answers()
    answers.put("loki.url", url)
    answers.put("system.network.ipv4", {"method": "static", "address": address, "gateway": gateway})
    answers.put("system.network.dns", dns)
    problems, config = answers.judge()
    refused = [problem for problem in problems if problem.severity == "error"]
    assert refused or config is not None
    if not refused:
        assert parse(answers.text()).config == config
        assert config is not None and config.loki.url == url


@settings(max_examples=60, deadline=None)
@given(st.ip_addresses(v=4, network="10.0.0.0/8").map(str), st.integers(9, 30))
def test_a_gateway_outside_the_network_is_refused_and_one_inside_taken(address: str, prefix: int) -> None:
    from ipaddress import ip_interface

    network = ip_interface(f"{address}/{prefix}").network
    hosts = [str(network[1]), str(network[2])]
    own, other = hosts if address != hosts[1] else hosts[::-1]
    answers = Answers()
    answers.put("loki.url", URL)
    answers.put("system.network.ipv4", {"method": "static", "address": f"{own}/{prefix}", "gateway": other})
    assert not [p for p in answers.problems() if p.severity == "error"]
    answers.put("system.network.ipv4.gateway", "203.0.113.1")
    assert [p.path for p in answers.problems() if p.severity == "error"] == ["system.network.ipv4.gateway"]


# ---- kept over a restart --------------------------------------------------------------------


def test_answers_are_kept_for_root_alone_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "setup.yaml"
    answers = Answers()
    answers.put("loki.url", "not yet a URL")
    answers.page = "time"
    save(answers, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    back = saved(path)
    assert back is not None and back.tree == answers.tree and back.page == "time"


@pytest.mark.parametrize("text", ["", "\0", "[1, 2", "answers: 3\npage: loki\n", "- a\n", "\xff"])
def test_a_damaged_draft_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "setup.yaml"
    path.write_bytes(text.encode("latin-1"))
    assert saved(path) is None


# ---- answers from a file --------------------------------------------------------------------


def answers_file(tmp_path: Path, mode: int = 0o600, **secrets: str) -> Path:
    tree = {"loki": {"url": URL, "basic_auth": {"username": "bob"}}, "listeners": {"tcp": {}}, "secrets": secrets}
    path = tmp_path / "answers.yaml"
    path.write_text(yaml.safe_dump(tree))
    path.chmod(mode)
    return path


def test_answers_from_a_file_take_the_same_way_as_those_that_are_typed(tmp_path: Path) -> None:
    machine = QuietMachine(tmp_path / "root")
    file = answers_file(tmp_path, loki_password="swordfish", administrator_password="correct horse")
    state = answers_from(file, machine)
    assert "swordfish" not in state.answers.text() and "correct horse" not in state.answers.text()
    assert set_up(state, dry_run=False) == 0
    config = load(machine.config_path)
    assert config.loki.basic_auth is not None
    secret = machine.host.layout.at(config.loki.basic_auth.password_file)
    assert secret.read_text() == "swordfish\n" and stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert machine.password_is_right("correct horse")


def test_answers_with_secrets_that_others_can_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="others may read it") as caught:
        answers_from(answers_file(tmp_path, 0o644, loki_password="swordfish"), QuietMachine(tmp_path / "root"))
    assert "chmod 600" in caught.value.hint


def test_an_unknown_secret_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="loki_pasword"):
        answers_from(answers_file(tmp_path, loki_pasword="x"), QuietMachine(tmp_path / "root"))


def test_refused_answers_change_nothing(tmp_path: Path) -> None:
    machine = QuietMachine(tmp_path / "root")
    state = State(machine, Answers({"loki": {"url": "nonsense"}}))
    with pytest.raises(ConfigError, match=r"loki\.url"):
        set_up(state, dry_run=False)
    assert not machine.config_path.exists()


def test_setup_by_command_line_shows_what_would_change_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    file = tmp_path / "answers.yaml"
    file.write_text(yaml.safe_dump({"loki": {"url": URL}, "listeners": {"tcp": {}}}))
    assert main(["setup", "--answers", str(file), "--dry-run", "--root", str(root)]) == 0
    assert f"+ loki.url: {URL}" in capsys.readouterr().out
    assert not (root / "etc/appliance/appliance.yaml").exists()


def test_setup_without_a_terminal_says_how_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["console", "--root", str(configured(tmp_path))]) == 2
    assert "--answers FILE" in capsys.readouterr().err
    assert main(["setup", "--apply"]) == 2
