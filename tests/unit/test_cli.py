"""The command line: lazy, quick, and every failure a sentence with a hint."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from appliance import __version__
from appliance.cli.commands import COMMANDS, LazyGroup, app
from appliance.cli.main import guard, main
from appliance.errors import ApplianceError, UsageError

VALID = "loki:\n  url: http://127.0.0.1:3100/loki/api/v1/push\nrelay:\n  listen: {push: '127.0.0.1:3500'}\n"


def appliance(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "appliance.cli.main", *arguments],
        capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "appliance.yaml"
    path.write_text(VALID)
    return path


def every_command(group: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    context = typer.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found.append(((*path, name), command))
        if hasattr(command, "list_commands"):
            found += every_command(command, (*path, name))
    return found


COMMANDS_HERE = [found for found in every_command(typer.main.get_command(app)) if not found[1].hidden]


def test_the_version_is_told() -> None:
    result = appliance("--version")
    assert (result.returncode, result.stdout) == (0, f"appliance {__version__}\n")


def test_help_lists_the_commands_with_a_sentence_each() -> None:
    result = appliance("--help")
    assert result.returncode == 0
    for name in ("config", "relay", "import-promtail"):
        assert f"  {name} " in result.stdout
        assert COMMANDS[name].sentence in result.stdout
    assert appliance().stdout == result.stdout


@pytest.mark.parametrize(("path", "command"), COMMANDS_HERE, ids=[" ".join(path) for path, _ in COMMANDS_HERE])
def test_every_command_has_a_help_with_an_example(path: tuple[str, ...], command: Any) -> None:
    assert command.help, path
    if not hasattr(command, "list_commands"):
        assert f"appliance {' '.join(path)}" in (command.epilog or "") + command.help, "its help has no example"


def test_help_imports_no_command_and_nothing_heavy() -> None:
    code = (
        "import sys\nfrom appliance.cli.main import main\nmain(['--help'])\n"
        "loaded = set(sys.modules)\n"
        "assert not {m for m in loaded if m.split('.')[0] in"
        " ('textual', 'rich', 'cryptography', 'jinja2', 'prometheus_client', 'urllib3', 'pydantic', 'yaml')}, loaded\n"
        "assert not {m for m in loaded if m.startswith(('appliance.relay', 'appliance.host', 'appliance.config.'))}\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr


def test_help_takes_less_than_a_quarter_of_a_second_of_processor_time() -> None:
    def once() -> float:
        before = os.times()
        appliance("--help")
        after = os.times()
        return after.children_user - before.children_user + after.children_system - before.children_system

    assert min(once() for _ in range(5)) < 0.25


def test_the_relays_process_holds_nothing_of_the_command_line_but_its_edge(tmp_path: Path) -> None:
    code = (
        "import sys\nimport appliance.cli.main as m\nimport appliance.config.load\n"
        "sys.modules['appliance.relay.service'] = type(sys)('appliance.relay.service')\n"
        "sys.modules['appliance.relay.service'].run = lambda config, again: 7\n"
        f"assert m.main(['relay', 'run', '--config', {str(tmp_path / 'a.yaml')!r}]) == 7\n"
        "assert 'typer' not in sys.modules and 'rich' not in sys.modules\n"
    )
    (tmp_path / "a.yaml").write_text(VALID)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr


# ---- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nonsense",), "nonsense"),
        (("config",), "missing command"),
        (("config", "validate", "--nonsense"), "nonsense"),
        (("config", "validate", "/nowhere/appliance.yaml"), "/nowhere/appliance.yaml"),
        (("relay", "run", "--config", "/nowhere/appliance.yaml"), "/nowhere/appliance.yaml"),
        (("config", "show", "--format", "xml"), "xml"),
        (("import-promtail",), "FILE"),
    ],
)
def test_what_is_asked_for_wrongly_is_one_sentence_one_hint_and_exit_code_2(
    arguments: tuple[str, ...], words: str
) -> None:
    result = appliance(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    error, hint = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert words in error
    assert hint.startswith("hint: ")


def test_a_wrong_configuration_is_exit_code_1_with_every_problem(file: Path) -> None:
    file.write_text("loki:\n  url: x\n  tenat: y\n")
    for command in (("config", "validate", str(file)), ("relay", "run", "--config", str(file))):
        result = appliance(*command)
        assert result.returncode == 1
        assert "loki.url" in result.stderr
        assert "did you mean tenant?" in result.stderr
        assert "Traceback" not in result.stderr


def test_an_unexpected_error_is_a_sentence_and_its_details_are_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken() -> int:
        raise RuntimeError("the roof is on fire")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("APPLIANCE_DEBUG", raising=False)
    assert guard(broken) == 1
    error = capsys.readouterr().err
    assert "RuntimeError: the roof is on fire" in error
    assert "Traceback" not in error
    (details,) = tmp_path.iterdir()
    assert str(details) in error
    assert "Traceback" in details.read_text()
    assert details.stat().st_mode & 0o077 == 0


def test_a_debugger_gets_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> int:
        raise RuntimeError("the roof is on fire")

    monkeypatch.setenv("APPLIANCE_DEBUG", "1")
    with pytest.raises(RuntimeError):
        guard(broken)


@pytest.mark.parametrize(
    ("error", "code"), [(ApplianceError("a", hint="b"), 1), (UsageError("a"), 2), (ApplianceError("a", exit_code=2), 2)]
)
def test_an_error_brings_its_exit_code(error: ApplianceError, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def failing() -> int:
        raise error

    assert guard(failing) == code
    assert capsys.readouterr().err.startswith("error: a\n")


def test_interruption_is_quiet_and_130(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert guard(interrupted) == 130
    assert capsys.readouterr().err == ""


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m appliance.cli.main config schema | head -c 1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert result.stdout == "{"
    assert result.stderr == ""


# ---- config ---------------------------------------------------------------------------------


def test_validate_says_that_a_file_is_valid_and_warns_of_open_secrets(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("hunter2")
    secret.chmod(0o644)
    file.write_text(VALID.replace("push\n", f"push\n  bearer_token_file: {secret}\n", 1))
    result = appliance("config", "validate", str(file))
    assert (result.returncode, result.stdout) == (0, f"{file} is valid\n")
    assert f"chmod 600 {secret}" in result.stderr
    secret.chmod(0o600)
    assert appliance("config", "validate", "--config", str(file)).stderr == ""


def test_show_writes_what_can_be_read_again_and_no_password(file: Path, tmp_path: Path) -> None:
    shown = appliance("config", "show", "--full", str(file))
    assert shown.returncode == 0
    again = tmp_path / "again.yaml"
    again.write_text(shown.stdout)
    assert appliance("config", "validate", str(again)).returncode == 0
    file.write_text(VALID.replace("push\n", "push\n  proxy: http://me:hunter2@proxy:3128\n", 1))
    assert "hunter2" not in appliance("config", "show", str(file)).stdout


def test_an_import_is_not_written_over_a_file_that_is_there(file: Path, tmp_path: Path) -> None:
    promtail = tmp_path / "promtail.yml"
    promtail.write_text("clients: [{url: http://127.0.0.1:3100/loki/api/v1/push}]\n")
    before = file.read_text()
    assert main(["import-promtail", str(promtail), "--output", str(file)]) == 2
    assert file.read_text() == before
    fresh = tmp_path / "fresh.yaml"
    assert main(["import-promtail", str(promtail), "--output", str(fresh)]) == 0
    assert main(["config", "validate", str(fresh)]) == 0


def test_a_command_that_is_not_part_of_this_installation_is_not_offered() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, LazyGroup)
    COMMANDS["ghost"] = COMMANDS["config"]._replace(module="appliance.cli.ghost")
    try:
        assert "ghost" not in group.list_commands(typer.Context(group))
        assert group.get_command(typer.Context(group), "ghost") is None
    finally:
        del COMMANDS["ghost"]


def test_starting_stays_quick_when_the_disk_cache_is_warm() -> None:
    started = time.monotonic()
    appliance("--version")
    assert time.monotonic() - started < 5
