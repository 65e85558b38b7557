"""The scripts by which rsyslog is stopped: not before its heartbeats went through; the gate is shut only in need."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.net import wait_until
from tests.harness.rsyslog import STOP

TELL = STOP.with_name("tell-relay")
Child = subprocess.Popen[bytes]


def stop(pid: int | str, directory: Path, *command: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([str(STOP), str(pid), str(directory / "gate"), str(directory / "heartbeat"), *command])


def program(directory: Path, name: str, text: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


class Listener:
    """A process that listens on `port`, as the relay does."""

    def __init__(self, port: int = 0) -> None:
        program = (
            f"import socket; s = socket.create_server(('127.0.0.1', {port})); print(s.getsockname()[1], flush=True)"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{program}; import signal; signal.pause()"], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def relay() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


def beats(directory: Path, port: int, *, at: float | None = None) -> None:
    """Heartbeats that have been through both queues, and began `at`."""
    for queue in ("relay", "journal"):
        (directory / f"heartbeat.{queue}").write_text(f"1\n{time.time() if at is None else at:.0f} {port}\n")


def process(at_term: str) -> Child:
    """A process that does what `at_term` says when it is asked to end."""
    child = subprocess.Popen(
        ["bash", "-c", f"trap '{at_term}' TERM; echo ready; while :; do sleep 0.05; done"], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def test_who_ends_at_once_finds_no_gate(tmp_path: Path, relay: Listener) -> None:
    gate = tmp_path / "gate"
    gate.write_text("SUSPENDED\n")  # left behind by a stop that was cut short
    beats(tmp_path, relay.port, at=time.time() + 1)
    child = process(f"test ! -e {gate} && touch {tmp_path}/open; exit 0")
    started = time.monotonic()
    with stop(child.pid, tmp_path, "touch", str(tmp_path / "told")) as stopping:
        child.wait(10)
        assert stopping.wait(10) == 0
    assert time.monotonic() - started < 2
    assert (tmp_path / "open").exists()
    assert not gate.exists()
    assert not (tmp_path / "told").exists()


@pytest.mark.parametrize("silent", ["relay", "journal"])
@pytest.mark.parametrize("last", ["never", "before this relay"])
def test_without_a_heartbeat_since_the_relay_came_the_relay_is_told(
    tmp_path: Path, relay: Listener, silent: str, last: str
) -> None:
    told, file = tmp_path / "told", tmp_path / f"heartbeat.{silent}"
    beats(tmp_path, relay.port, at=time.time() + 1)
    file.unlink() if last == "never" else file.write_text(f"{time.time() - 60:.0f} {relay.port}\n")
    child = process(f"cp {tmp_path}/gate {tmp_path}/seen; cp {file} {tmp_path}/beat; exit")
    began, started = int(time.time()), time.monotonic()
    with stop(child.pid, tmp_path, "sh", "-c", f"sleep 1; date '+%s {relay.port}' >{file}; touch {told}") as stopping:
        child.wait(20)
        assert stopping.wait(10) == 0
    assert time.monotonic() - started >= 4
    assert told.exists()
    assert int((tmp_path / "beat").read_text().split()[0]) >= began
    assert (tmp_path / "seen").read_text() == "SUSPENDED\n", "it would take as much as it can before it ends"
    assert not (tmp_path / "gate").exists()


def test_a_relay_that_has_gone_since_the_heartbeat_is_stood_in_for(tmp_path: Path, relay: Listener) -> None:
    told = tmp_path / "told"
    beats(tmp_path, relay.port, at=time.time() + 1)
    relay.close()
    child = process(f"test -e {told} && touch {tmp_path}/late; exit")
    with stop(child.pid, tmp_path, "touch", str(told)) as stopping:
        wait_until(told.exists, 10)
        stand_in = Listener(relay.port)
        time.sleep(2.1)  # its age is told in seconds
        beats(tmp_path, relay.port)
        child.wait(10)
        assert stopping.wait(10) == 0
    stand_in.close()
    assert (tmp_path / "late").exists()


def test_who_takes_longer_finds_the_gate_shut_and_the_relay_is_told(tmp_path: Path, relay: Listener) -> None:
    gate, told = tmp_path / "gate", tmp_path / "told"
    beats(tmp_path, relay.port, at=time.time() + 1)
    child = process(
        f"while [ ! -e {gate} ]; do sleep 0.05; done; cp {gate} {tmp_path}/seen;"
        f" while [ ! -e {told} ]; do sleep 0.05; done; exit 0"
    )
    started = time.monotonic()
    with stop(child.pid, tmp_path, "touch", str(told)) as stopping:
        child.wait(20)
        assert stopping.wait(10) == 0
    assert time.monotonic() - started >= 1.9
    assert (tmp_path / "seen").read_text() == "SUSPENDED\n"
    assert not gate.exists(), "the next start would find it shut"


def test_who_has_ended_already_is_no_failure(tmp_path: Path) -> None:
    child = process("exit 0")
    child.kill()
    child.wait(10)
    for pid in (child.pid, ""):
        with stop(pid, tmp_path, "touch", str(tmp_path / "told")) as stopping:
            assert stopping.wait(10) == 0
    assert not (tmp_path / "told").exists()


def test_who_ends_while_its_heartbeats_are_awaited_is_no_failure(tmp_path: Path) -> None:
    child = process("exit 0")
    with stop(child.pid, tmp_path, "touch", str(tmp_path / "told")) as stopping:
        time.sleep(0.5)
        child.kill()
        child.wait(10)
        assert stopping.wait(2) == 0
    assert not (tmp_path / "told").exists()


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
