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
    assert "+ listeners.udp: on" in dry.stdout and "Steps:" in dry.stdout
    assert not (operator.root / "etc").exists()
    assert "generation 1 is active" in operator.types("apply", "--non-interactive", file).stdout
    assert operator.config() == FIRST  # comments and all
    assert operator.types("diff", file).stdout.strip() == "nothing changes"
    assert "nothing changes" in operator.types("apply", "--yes", file).stdout
    changed = operator.types("diff", operator.file(SECOND), code=1).stdout
    assert "~ system.hostname: forwarder (default) -> second" in changed and "+++" not in changed
    files = operator.types("diff", "--files", operator.file(SECOND), code=1).stdout
    assert "+system: {hostname: second}" in files and "-forwarder" in files
    said = operator.types("apply", "--yes", operator.file(SECOND)).stdout
    assert "OK        Setting the host name" in said and "Changing the network" not in said
    history = operator.types("history").stdout.splitlines()
    assert history[0].split()[:2] == ["*", "2"] and len(history) == 3
    back = operator.types("rollback", "--yes").stdout
    assert "rolling back to generation 1" in back and "generation 3 is active" in back
    assert back.index("~ system.hostname: second -> forwarder (default)") < back.index("OK  "), "shown first"
    assert operator.config() == FIRST
    assert operator.types("export", "--generation", "2").stdout == SECOND
    assert "no generation 9" in operator.types("rollback", "9", "--yes", code=1).stderr


def test_it_is_asked_before_anything_changes_and_only_where_somebody_is(operator: Operator) -> None:
    refused = operator.types("apply", operator.file(FIRST), code=2)
    assert "no terminal to confirm on" in refused.stderr and "--yes" in refused.stderr
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
    assert "waiting for confirmation" in operator.types("history").stdout
    assert "confirm" in operator.types("apply", "--yes", operator.file(SECOND), code=1).stderr
    assert "confirmed" in operator.types("confirm").stdout
    assert "nothing is waiting" in operator.types("confirm", code=1).stderr
    assert operator.config() == NETWORK
    operator.types("rollback", "--yes", "--confirm-within", "600")
    assert "is active again" in operator.types("rollback", "--yes").stdout
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


def test_what_a_killed_apply_left_is_repaired_by_the_next_one(operator: Operator) -> None:
    operator.types("apply", "--yes", operator.file(FIRST))
    store = operator.root / "etc/appliance/generations"
    operator.types("apply", "--yes", operator.file(SECOND))
    (store / "current").write_text("1")
    (store / "switching").write_text('{"old": 1, "new": 2}')
    assert "generation 1 is active" in operator.types("recover").stdout
    assert "failed, rolled back: interrupted" in operator.types("history").stdout.splitlines()[0]
    assert operator.config() == FIRST
    assert operator.types("recover").stdout == ""


def test_what_means_the_same_changes_nothing_and_its_comments_are_kept(operator: Operator) -> None:
    operator.types("apply", "--yes", operator.file(FIRST))
    same = (
        "# a comment\nlisteners:\n  relp_tls: {}\n  tls: {}\n  tcp: {port: 514}\n  udp: {}\n"
        "loki:\n  url: http://loki:3100/loki/api/v1/push\naccess: {ssh: false}\n"
    )
    assert "nothing changes: only comments" in operator.types("diff", operator.file(same)).stdout
    assert "nothing changes: only comments" in operator.types("apply", "--dry-run", operator.file(same)).stdout
    said = operator.types("apply", operator.file(same)).stdout  # there is nothing to ask about
    assert said == "nothing changes; the text is kept as generation 2\n"
    assert operator.config() == same


def test_history_says_what_became_of_each_generation_and_a_rollback_passes_the_broken_one(operator: Operator) -> None:
    for name in ("one", "two", "three"):
        operator.types("apply", "--yes", operator.file(FIRST + f"system: {{hostname: {name}}}\n"))
    store = operator.root / "etc/appliance/generations"
    failed = '{"state": "rolled_back", "when": 0, "reason": "rsyslog.service: cannot bind port 2514"}'
    (store / "2/outcome.json").write_text(failed)
    (store / "1/outcome.json").write_text('{"state": "healthy", "when": 0}')
    lines = {line[1:].split()[0]: line for line in operator.types("history").stdout.splitlines()}
    assert lines["3"].startswith("*") and "applied, health not checked" in lines["3"]
    assert "failed, rolled back: rsyslog.service: cannot bind port 2514" in lines["2"]
    assert lines["1"].endswith("healthy")
    assert "rolling back to generation 1" in operator.types("rollback", "--yes").stdout
    assert "hostname: one" in operator.config()


def test_a_rollback_never_goes_to_the_same_or_to_the_machine_as_installed(operator: Operator) -> None:
    operator.types("apply", "--yes", operator.file(FIRST))
    operator.types("apply", "--yes", operator.file("# only a comment\n" + FIRST))
    said = operator.types("rollback", "--yes", code=1).stderr
    assert "no earlier generation that worked and differs" in said and "config history" in said
    assert operator.config().startswith("# only a comment")


def test_a_change_that_nobody_confirmed_is_history(operator: Operator) -> None:
    operator.types("apply", "--yes", operator.file(FIRST))
    operator.types("apply", "--yes", "--confirm-within", "600", operator.file(NETWORK))
    operator.types("rollback", "--yes")
    assert "not confirmed, reverted" in operator.types("history").stdout.splitlines()[0]
    operator.types("apply", "--yes", operator.file(SECOND))
    assert "rolling back to generation 1" in operator.types("rollback", "--yes").stdout


def test_files_that_were_edited_by_hand_are_named(operator: Operator) -> None:
    file = operator.file(FIRST)
    operator.types("apply", "--yes", file)
    (operator.root / "etc/chrony/chrony.conf").write_text("# mine\n")
    assert "not as this version generates them: /etc/chrony/chrony.conf" in operator.types("diff", file, code=1).stdout
