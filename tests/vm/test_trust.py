"""Who can do what on the machine: services are confined, and a factory reset leaves nobody's way in.

One machine that its seed configured, and one more start from its disk after the reset.
"""

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.vm.conftest import StartMachine
from tests.vm.consoles import Screen
from tests.vm.machine import LOKI_SEEN_BY_GUEST, PATIENCE, GuestError, Machine

pytestmark = [pytest.mark.vm, pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.xdist_group("trust")]

CONFIG: dict[str, Any] = {
    "loki": {"url": f"{LOKI_SEEN_BY_GUEST}/loki/api/v1/push"},
    "listeners": {"udp": {}, "tcp": {}, "relp": {}},
}
SEED = {"appliance": CONFIG}
NAME, PASSWORD = "oldadmin", "correct-horse-7"
# What `systemd-analyze security` may say at most (0 best, 10 worst).
EXPOSURE = {
    "appliance-relay": 1.5,
    "appliance-receiver": 1.5,
    "rsyslog": 4.0,
    "appliance-console@tty1": 5.0,
    "appliance-console@ttyS0": 5.0,
}


def hashed(password: str) -> str:
    command = ["openssl", "passwd", "-6", "-stdin"]
    return subprocess.run(command, input=password, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def machine(start_machine: StartMachine) -> Machine:
    machine = start_machine("trust", SEED, tcp=(514, 22))
    machine.wait_for("systemctl is-active --quiet rsyslog && systemctl is-active --quiet appliance-relay")
    machine.wait_for("! systemctl is-system-running | grep -q start")
    return machine


def logs_in_at_tty2(machine: Machine, tmp_path: Path) -> bool:
    """Return whether name and password open a shell at the second virtual console, by its keyboard."""

    def text() -> str:
        return machine.run("fold -w 80 /dev/vcs2 | sed 's/ *$//' | grep -v '^$'; true").text

    def until(*words: str) -> str:
        deadline = time.monotonic() + PATIENCE
        while not any(word in (shown := text()) for word in words):
            if time.monotonic() > deadline:
                raise GuestError(f"none of {words} came:\n{shown}")
            time.sleep(1)
        return shown

    screen = Screen(machine, tmp_path)
    machine.run("systemctl restart getty@tty2; chvt 2")
    until("login:")
    time.sleep(2)
    screen.type(f"{NAME}\n")
    until("Password:")
    screen.type(f"{PASSWORD}\n")
    shown = until("Login incorrect", f"{NAME}@")
    machine.run("systemctl stop getty@tty2; chvt 1")
    return f"{NAME}@" in shown


def logs_in_by_ssh(machine: Machine, key: Path) -> bool:
    command = ["ssh", "-i", str(key), "-p", str(machine.tcp[22]), "-o", "BatchMode=yes", "-o", "ConnectTimeout=30",
               "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", f"{NAME}@127.0.0.1",
               "id -un"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode == 0 and done.stdout.strip() == NAME


@pytest.mark.parametrize("unit", EXPOSURE)
def test_a_service_is_confined(machine: Machine, unit: str) -> None:
    said = machine.text(f"systemd-analyze security --no-pager {unit}.service | tail -1")
    score = float(said.rpartition(": ")[2].split()[0])
    print(f"\n{unit}: {score}")
    assert score <= EXPOSURE[unit]


def test_the_exposed_parser_cannot_read_what_it_does_not_need(machine: Machine) -> None:
    pid = machine.text("systemctl show --property MainPID --value rsyslog")
    machine.run("mkdir -p /etc/appliance/secrets; echo secret > /etc/appliance/secrets/probe")
    enter = f"nsenter --mount --target {pid}"
    assert machine.run(f"{enter} cat /etc/appliance/secrets/probe", check=False).status != 0
    assert machine.run(f"{enter} touch /etc/probe", check=False).status != 0
    assert machine.run(f"{enter} ls /home/probe /root/probe", check=False).status != 0
    machine.run("rm /etc/appliance/secrets/probe")
    bounded = machine.text(f"grep CapBnd /proc/{pid}/status").split()[1]
    assert int(bounded, 16) == 1 << 10  # CAP_NET_BIND_SERVICE


def test_after_a_factory_reset_nobody_from_before_gets_in_and_the_seed_is_read_again(
    machine: Machine, start_machine: StartMachine, key: Path, tmp_path: Path
) -> None:
    secret = "/etc/appliance/secrets/password"
    access = {"administrator": NAME, "password_file": secret, "ssh": True,
              "ssh_keys": [key.with_suffix(".pub").read_text().strip()]}  # fmt: skip
    machine.run(f"mkdir -p /etc/appliance/secrets; umask 077; echo '{hashed(PASSWORD)}' > {secret}")
    machine.run(f"cat > /run/new.yaml <<'END'\n{yaml.safe_dump({**CONFIG, 'access': access})}END")
    machine.run("appliance config apply --yes --non-interactive /run/new.yaml")
    assert machine.run("getent passwd admin", check=False).status != 0, "the former account is still there"
    machine.wait_for_port(22)
    assert logs_in_by_ssh(machine, key)
    assert logs_in_at_tty2(machine, tmp_path)
    assert machine.run(f"runuser -u {NAME} -- sudo -n true", check=False).status != 0, "sudo without a password"
    machine.run(f"echo key > /home/{NAME}/issued.key; echo x > /root/support-1.tar.gz")
    machine.run("appliance factory-reset --logs --yes --no-restart")
    machine.run("sync")
    machine.shut_down()

    again = start_machine("after-reset", SEED, from_disk=machine.disk, tcp=(514, 22))
    again.wait_for("systemctl is-active --quiet rsyslog && systemctl is-active --quiet appliance-relay")  # by the seed
    assert again.run(f"getent passwd {NAME}", check=False).status != 0
    assert again.run(f"grep -r {NAME} /etc/passwd /etc/shadow /etc/group /etc/sudoers.d", check=False).status != 0
    # The seed's configuration makes its own administrator, who has no password and no key.
    assert again.text("ls -A /home; ls /root/*.gz /home/*/issued.key 2>/dev/null; true") == "admin"
    assert again.text("getent shadow admin").split(":")[1] in ("*", "!*")
    assert not logs_in_at_tty2(again, tmp_path)
    assert not logs_in_by_ssh(again, key)
    assert again.text("systemctl --failed --no-legend") == ""
