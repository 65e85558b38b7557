"""The scripts by which rsyslog is stopped: the gate is shut only when it takes longer, and somebody takes over."""

import os
import subprocess
import time
from pathlib import Path

from tests.harness.rsyslog import STOP

TELL = STOP.with_name("tell-relay")


def stop(pid: int, gate: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(STOP), str(pid), str(gate), *command], capture_output=True, text=True, timeout=60)


def program(directory: Path, name: str, text: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def process(script: str) -> "subprocess.Popen[bytes]":
    child = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def test_who_ends_at_once_finds_no_gate(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.write_text("SUSPENDED\n")  # left behind by a stop that was cut short
    child = process("trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    with subprocess.Popen([str(STOP), str(child.pid), str(gate), "touch", str(tmp_path / "told")]) as stopping:
        child.wait(10)
        assert stopping.wait(10) == 0
    assert not gate.exists()
    assert not (tmp_path / "told").exists()


def test_who_takes_longer_finds_the_gate_shut_and_the_relay_is_told(tmp_path: Path) -> None:
    gate, told = tmp_path / "gate", tmp_path / "told"
    child = process(
        f"trap 'stopping=1' TERM; echo ready; while [ -z \"$stopping\" ] || [ ! -e {gate} ]; do sleep 0.05; done;"
        f" cp {gate} {tmp_path}/seen; while [ ! -e {told} ]; do sleep 0.05; done"
    )
    started = time.monotonic()
    with subprocess.Popen([str(STOP), str(child.pid), str(gate), "touch", str(told)]) as stopping:
        child.wait(20)
        assert stopping.wait(10) == 0
    assert time.monotonic() - started >= 1.9
    assert (tmp_path / "seen").read_text() == "SUSPENDED\n"
    assert not gate.exists(), "the next start would find it shut"


def test_who_has_ended_already_is_no_failure(tmp_path: Path) -> None:
    child = process("echo ready")
    child.wait(10)
    assert stop(child.pid, tmp_path / "gate", "false").returncode == 0
    assert subprocess.run([str(STOP), "", str(tmp_path / "gate"), "false"], timeout=10).returncode == 0


def tell(directory: Path) -> list[str]:
    """What tell-relay calls, with the programs of `directory` in place of systemd's and util-linux'."""
    log = directory / "log"
    environment = {"PATH": f"{directory}:{os.environ['PATH']}", "LOG": str(log)}
    subprocess.run([str(TELL), "4711"], env=environment, timeout=10, check=False)
    return log.read_text().splitlines()


def test_a_relay_that_runs_is_told_and_one_that_is_away_stood_in_for(tmp_path: Path) -> None:
    program(tmp_path, "runuser", 'echo "runuser $*" >>"$LOG"')
    program(tmp_path, "systemctl", 'echo "systemctl $*" >>"$LOG"')
    signal = "systemctl kill --kill-who=main --signal=SIGUSR1 appliance-relay.service"
    assert tell(tmp_path) == [signal]
    (tmp_path / "log").unlink()
    program(tmp_path, "systemctl", 'echo "systemctl $*" >>"$LOG"; exit 1')
    stand_in = "/usr/bin/appliance relay stand-in --config /etc/appliance/relay.yaml --until-gone 4711"
    assert tell(tmp_path) == [signal, f"runuser -u appliance -- {stand_in}"]
    (tmp_path / "log").unlink()
    program(tmp_path, "runuser", 'echo "runuser" >>"$LOG"; exit 1')
    assert tell(tmp_path) == [signal, "runuser", signal]
