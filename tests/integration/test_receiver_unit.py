"""The receiver's unit under a real systemd: its confinement lets it work, and its sockets outlive it."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.harness.net import free_port, port_open, wait_until
from tests.harness.processes import ROOT
from tests.harness.systemd_sandbox import SYSTEMD, SystemdSandbox

UNIT = "appliance-receiver.service"
FILE = ROOT / "image/elements/forwarder/files/usr/lib/systemd/system" / UNIT
# What the test's machine does not have: the packed program, the user, the data partition.
DROP_IN = f"""[Unit]
ConditionPathExists=
DefaultDependencies=no
[Service]
User=root
Group=root
ProtectHome=read-only
PrivateTmp=no
WorkingDirectory={ROOT}
ReadWritePaths=
ReadWritePaths=/run/test
ExecStart=
ExecStart={sys.executable} -m appliance relay receive --config /run/test/receiver.yaml
ExecStartPre=
StandardError=append:/run/test/log
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SYSTEMD.exists() or os.geteuid() != 0, reason="needs systemd and root"),
]


class Machine(SystemdSandbox):
    """The unit in its sandbox, running, on a free port."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, {UNIT: FILE.read_text(), f"{UNIT}.d/test.conf": DROP_IN})
        self.port = free_port()
        self.data = self.root / "run/test"
        self.data.mkdir(mode=0o755)
        self.configure(self.port)

    def configure(self, port: int) -> None:
        self.port = port
        config = {
            "loki": {"url": "http://127.0.0.1:9/loki/api/v1/push"},
            "listeners": {"tcp": {"port": port, "address": "127.0.0.1", "max_connections_per_sender": 2000}},
            "relay": {"listen": {"handover": "/run/test/handover"}},
        }
        (self.data / "receiver.yaml").write_text(yaml.safe_dump(config))

    def do(self, verb: str, *more: str) -> None:
        done = self.run("systemctl", verb, *more, UNIT)
        log = self.data / "log"
        assert done.returncode == 0, done.stderr + (log.read_text()[-3000:] if log.exists() else "")

    def shown(self, name: str) -> str:
        return self.run("systemctl", "show", "--property", name, "--value", UNIT).stdout.strip()

    def messages(self) -> list[bytes]:
        files = sorted((self.data / "handover/receiver").glob("*.log"))
        lines = [line for file in files for line in file.read_bytes().split(b"\n")[:-1]]
        return [line.split(b" ", 3)[3] for line in lines]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        made.do("start")
        yield made
    finally:
        made.close()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def test_connections_survive_a_restart_and_a_crash_of_the_unit(machine: Machine) -> None:
    senders = [connect(machine.port) for _ in range(450)]  # more than one datagram to systemd holds
    for number, sender in enumerate(senders):
        sender.sendall(b"<13>whole %d\n<13>half" % number)
    wait_until(lambda: len(machine.messages()) == 450, 20)
    machine.do("restart")
    for number, sender in enumerate(senders):
        sender.sendall(b" and half %d\n9 <13>cou" % number)
    wait_until(lambda: len(machine.messages()) == 900, 20)
    wait_until(lambda: int(machine.shown("NFileDescriptorStore")) == 452)
    machine.do("kill", "--signal=KILL")
    for sender in senders:
        sender.sendall(b"nt")
    late = connect(machine.port)
    late.sendall(b"<13>late\n")
    messages = wait_until(lambda: (found := machine.messages()) and len(found) == 1351 and found, 20)
    assert sorted(messages) == sorted(
        [b"<13>whole %d" % n for n in range(450)]
        + [b"<13>half and half %d" % n for n in range(450)]
        + [b"<13>count"] * 450
        + [b"<13>late"]
    )
    assert machine.shown("NRestarts") == "1"
    for sender in [*senders, late]:
        sender.close()
    wait_until(lambda: int(machine.shown("NFileDescriptorStore")) == 2, 20)  # the listener and the table


def test_a_reload_moves_the_port_and_a_stop_lets_it_go(machine: Machine) -> None:
    old = machine.port
    with connect(old) as sender:
        machine.configure(free_port())
        machine.do("reload")
        wait_until(lambda: port_open(machine.port))
        wait_until(lambda: not port_open(old))
        sender.sendall(b"<13>still here\n")
        wait_until(lambda: machine.messages() == [b"<13>still here"])
    machine.do("stop")
    assert not port_open(machine.port)
    assert (machine.data.parent / "appliance-receiver").exists() is False
