"""`appliance config apply|diff|history|rollback|confirm|export|import|edit` on a fake root, as an operator types them.

Everything is rendered for real and judged by the programs that are installed here.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FIRST = (
    "# ours\nloki: {url: 'http://loki:3100/loki/api/v1/push'}\nlisteners: {udp: {}, tcp: {}, tls: {}, relp_tls: {}}\n"
)
SECOND = FIRST + "system: {hostname: second}\n"
NETWORK = FIRST + "system: {network: {ipv4: {method: static, address: 192.0.2.9/24, gateway: 192.0.2.1}}}\n"


class Operator:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "root"
        self.root.mkdir()

    def file(self, text: str, name: str = "new.yaml") -> str:
        (self.directory / name).write_text(text)
        return str(self.directory / name)

    def types(
        self, *words: str, code: int = 0, stdin: str | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "appliance.cli.main", "config", *words, "--root", str(self.root)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, input=stdin or "", env={**os.environ, **(env or {})}
        )
        assert done.returncode == code, f"{done.returncode}: {done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def config(self) -> str:
        return (self.root / "etc/appliance/appliance.yaml").read_text()


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


def test_from_the_first_apply_to_the_rollback(operator: Operator) -> None:
    file = operator.file(FIRST)
    dry = operator.types("apply", "--dry-run", file)
    assert "+listeners" in dry.stdout and "Steps:" in dry.stdout
    assert not (operator.root / "etc").exists()
    assert "generation 1 is in force" in operator.types("apply", "--non-interactive", file).stdout
    assert operator.config() == FIRST  # comments and all
    assert operator.types("diff", file).stdout.strip() == ""
    assert "nothing to change" in operator.types("apply", "--yes", file).stdout
    changed = operator.types("diff", operator.file(SECOND), code=1).stdout
    assert "+system: {hostname: second}" in changed and "-forwarder" in changed
    said = operator.types("apply", "--yes", operator.file(SECOND)).stdout
    assert "ok     Setting the host name" in said and "Changing the network" not in said
    history = operator.types("history").stdout.splitlines()
    assert history[0].split()[:2] == ["*", "2"] and len(history) == 3
    assert "generation 3 is in force" in operator.types("rollback", "--yes").stdout
    assert operator.config() == FIRST
    assert operator.types("export", "--generation", "2").stdout == SECOND
    assert "no generation 9" in operator.types("rollback", "9", "--yes", code=1).stderr


def test_it_is_asked_before_anything_changes_and_only_where_somebody_is(operator: Operator) -> None:
    refused = operator.types("apply", operator.file(FIRST), code=2)
    assert "nobody can be asked" in refused.stderr and "--yes" in refused.stderr
    assert not (operator.root / "etc").exists()


def test_every_problem_of_a_wrong_file_is_told_with_its_line(operator: Operator) -> None:
    wrong = (
        "loki: {url: 'http://x/loki/api/v1/push'}\nlisteners: {udp: {port: 99999}}\n"
        "system:\n  timezone: Mars\nnonsense: 1\n"
    )
    said = operator.types("apply", "--yes", operator.file(wrong), code=1).stderr
    assert "listeners.udp.port" in said and "nonsense" in said and "system.timezone" in said and "[line 4]" in said
    assert not (operator.root / "etc").exists()


def test_a_change_of_network_waits_for_confirmation(operator: Operator) -> None:
    operator.types("apply", "--yes", operator.file(FIRST))
    said = operator.types("apply", "--yes", "--confirm-within", "600", operator.file(NETWORK)).stdout
    assert "reverts in" in said
    assert "waits to be confirmed" in operator.types("history").stdout
    assert "confirm" in operator.types("apply", "--yes", operator.file(SECOND), code=1).stderr
    assert "confirmed" in operator.types("confirm").stdout
    assert "nothing waits" in operator.types("confirm", code=1).stderr
    assert operator.config() == NETWORK
    operator.types("rollback", "--yes", "--confirm-within", "600")
    assert "is in force again" in operator.types("rollback", "--yes").stdout
    assert operator.config() == NETWORK


def test_a_backup_comes_back_by_import_and_standard_input(operator: Operator) -> None:
    operator.types("apply", "--yes", operator.file(SECOND))
    backup = operator.types("export").stdout
    operator.types("apply", "--yes", operator.file(FIRST))
    operator.types("import", "--yes", "-", stdin=backup)
    assert operator.config() == SECOND


def test_editing_applies_what_the_editor_left(operator: Operator, tmp_path: Path) -> None:
    operator.types("apply", "--yes", operator.file(FIRST))
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nexit 0\n")
    editor.chmod(0o755)
    assert "nothing was changed" in operator.types("edit", env={"EDITOR": str(editor), "VISUAL": ""}).stdout
    editor.write_text("#!/bin/sh\necho 'system: {hostname: -}' >> $1\n")
    said = operator.types("edit", code=1, env={"EDITOR": str(editor), "VISUAL": ""}).stderr
    assert "system.hostname" in said and operator.config() == FIRST
    gone = operator.types("edit", code=2, env={"EDITOR": "/nowhere/editor", "VISUAL": ""}).stderr
    assert "cannot be run" in gone


def test_what_a_killed_apply_left_is_mended_by_the_next_one(operator: Operator) -> None:
    operator.types("apply", "--yes", operator.file(FIRST))
    store = operator.root / "etc/appliance/generations"
    operator.types("apply", "--yes", operator.file(SECOND))
    (store / "current").write_text("1")
    (store / "switching").write_text('{"old": 1, "new": 2}')
    assert "generation 1 stands" in operator.types("recover").stdout
    assert operator.config() == FIRST
    assert operator.types("recover").stdout == ""
