"""Every setting changed under load, in the running machine: nothing acknowledged is lost, and apply says the truth.

One machine, started once. Senders run all the while: RELP, which sends again what is not acknowledged; one connection
of plain TCP that stays for the whole run; others that are opened at the port that an apply has just said is open, and
are closed in order after the next apply; some datagrams and some lines by TLS after each apply.

FORWARDER_CHANGES=40 makes the long run, FORWARDER_SEED repeats one: the seed is printed.
"""

import os
import random
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import yaml

from tests.harness.load import RelpLoad, TcpLoad
from tests.harness.net import wait_until
from tests.harness.senders import lines, rfc5424, send_tcp, send_udp
from tests.loki_double import InProcessLoki
from tests.vm.built import hardware
from tests.vm.conftest import StartMachine
from tests.vm.machine import LOKI_SEEN_BY_GUEST, PATIENCE, Machine
from tests.vm.random_changes import RELP_PORTS, TCP_PORTS, TLS_PORT, UDP_PORTS, Change, Config, Walk

pytestmark = [
    pytest.mark.vm, pytest.mark.slow, pytest.mark.timeout(3600), pytest.mark.xdist_group("changes under load"),
]  # fmt: skip

CHANGES = int(os.environ.get("FORWARDER_CHANGES", "10"))
SEED = int(os.environ.get("FORWARDER_SEED", str(random.randrange(1_000_000))))
RIGHT = f"{LOKI_SEEN_BY_GUEST}/loki/api/v1/push"
WRONG = "http://127.0.0.1:9/loki/api/v1/push"
CONFIG: Config = {
    "loki": {"url": RIGHT},
    "listeners": {"udp": {"port": UDP_PORTS[0]}, "tcp": {"port": TCP_PORTS[0]}, "relp": {"port": RELP_PORTS[0]}},
}
UNITS = ("rsyslog", "appliance-relay", "appliance-receiver")
RELP_RATE, STAYING_RATE, PASSING_RATE = 500, 400, 100  # lines/s, 1,000 together
REPEATED_BY_A_KILL = 256 * 1024  # bytes: what the receiver has framed but not yet taken out of one socket
REAL_HARDWARE = 10.0  # seconds that an apply may take there
PAUSES = 5.0  # seconds of an apply that no processor shortens: health has to be steady for 2, Loki has 3 to answer


@pytest.fixture(scope="module")
def machine(start_machine: StartMachine) -> Machine:
    machine = start_machine(
        "changes", {"appliance": CONFIG}, tcp=(*TCP_PORTS, *RELP_PORTS, TLS_PORT), udp=UDP_PORTS
    )  # fmt: skip
    machine.wait_for(" && ".join(f"systemctl is-active --quiet {unit}" for unit in UNITS))
    machine.wait_for("! systemctl is-system-running | grep -q start")
    machine.run("systemctl stop appliance-console@tty1")  # its looks take processor time; test_wizard.py has it
    return machine


# ---- what the machine is before anything changes --------------------------------------------------


def test_each_program_owns_what_it_writes_and_the_relay_can_delete_it(machine: Machine) -> None:
    root = "/var/lib/appliance/handover"
    said = machine.text(f"stat -c '%n %a %U:%G' {root} {root}/* /run/appliance/handover").splitlines()
    assert {line.removeprefix(root).split(" ", 1)[0]: line.split(" ", 1)[1] for line in said} == {
        "": "2770 root:appliance",
        "/rsyslog": "2770 root:appliance",
        "/journal": "2770 root:appliance",
        "/receiver": "750 appliance:appliance",
        "/run/appliance/handover": "2770 root:appliance",
    }
    files = machine.text(f"stat -c '%a %G' {root}/rsyslog/*.log | sort -u")
    assert files == "660 appliance"
    assert machine.text("systemctl show -P User appliance-receiver") == "appliance"
    before = machine.text(f"ls {root}/rsyslog/*.log | head -1")
    machine.run("systemctl restart rsyslog")
    send_udp(machine.udp[UDP_PORTS[0]], [rfc5424("to the next file")])
    machine.wait_for(f"! [ -e {before} ]", 60)


def test_the_relay_opens_a_shut_gate(machine: Machine) -> None:
    gate = "/run/appliance/handover/rsyslog"
    began = "b=$(date +%s%N)"
    waits = f"for n in $(seq 300); do [ -e {gate} ] || break; sleep 0.05; done"
    others_before = machine.others()
    seconds = int(machine.text(f"{began}; echo SUSPENDED > {gate}; {waits}; echo $(($(date +%s%N) - b))")) / 1e9
    seconds = machine.undisturbed(seconds, others_before)
    print(f"\ngate open after {seconds:.2f} s")
    assert seconds < (1 if hardware() else 3)


def test_tls_sent_to_the_port_of_plain_tcp_is_named_with_its_remedy(machine: Machine) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises((OSError, ssl.SSLError)):
        plain = socket.create_connection(("127.0.0.1", machine.tcp[TCP_PORTS[0]]), timeout=30)
        with plain, context.wrap_socket(plain):
            pass

    def named() -> bool:
        said = machine.run("appliance status", check=False).text
        return "10.0.2.2" in said and "TLS" in said and "listeners.tls" in said

    wait_until(named, 60, every=1)


def test_connections_stay_over_a_restart_and_a_kill_of_the_receiver(machine: Machine, loki: InProcessLoki) -> None:
    load = TcpLoad(machine.tcp[TCP_PORTS[0]], rate=1000, make=_numbered("receiver"))
    time.sleep(2)
    machine.run("systemctl restart appliance-receiver")
    time.sleep(2)
    pid = machine.text("systemctl show -P MainPID appliance-receiver")
    machine.run("systemctl kill -s KILL appliance-receiver")
    machine.wait_for(f"[ $(systemctl show -P MainPID appliance-receiver) != {pid} ]")
    machine.wait_for("systemctl is-active --quiet appliance-receiver")
    time.sleep(2)
    sent = load.finish(PATIENCE)
    _wait_for_all(loki, "receiver", sent)
    tally = loki.tally(sent, '{application="receiver"}')
    print(f"\nreceiver restarted and killed: {sent} sent, {tally.lost} lost, {tally.duplicates} twice")
    assert tally.duplicates <= REPEATED_BY_A_KILL // len(_numbered("receiver")(0))


# ---- changes under load -----------------------------------------------------------------------


@dataclass
class Senders:
    """All that sends while the configuration changes, and what came of it."""

    machine: Machine
    relp: RelpLoad
    staying: TcpLoad
    passing: TcpLoad | None = None
    passed: int = 0
    datagrams: int = 0
    tls: int = 0

    @classmethod
    def start(cls, machine: Machine) -> "Senders":
        relp = RelpLoad(
            machine.tcp[RELP_PORTS[0]], rate=RELP_RATE, patience=3 * PATIENCE, make=_numbered("relp")
        )  # fmt: skip
        staying = TcpLoad(machine.tcp[TCP_PORTS[0]], rate=STAYING_RATE, make=_numbered("staying"))
        senders = cls(machine, relp, staying)
        senders.open_passing(TCP_PORTS[0])
        return senders

    def open_passing(self, port: int) -> None:
        self.passing = TcpLoad(self.machine.tcp[port], rate=PASSING_RATE, make=_numbered("passing", self.passed))

    def close_passing(self) -> None:
        """Close in order: what was sent counts."""
        assert self.passing is not None
        self.passed += self.passing.finish(PATIENCE)
        self.passing = None

    def follow(self, config: Config) -> None:
        """Go where the listeners are now; send a little by those that are not under load."""
        listeners = config["listeners"]
        self.close_passing()
        self.open_passing(listeners["tcp"]["port"])
        if relp := listeners.get("relp"):
            self.relp.client.move_to(self.machine.tcp[relp["port"]])
        make = _numbered("datagram", self.datagrams)
        send_udp(self.machine.udp[listeners["udp"]["port"]], [make(n) for n in range(10)], pause=0.01)
        self.datagrams += 10
        if "tls" in listeners:
            context = ssl.create_default_context(cadata=self.machine.text("cat /etc/appliance/tls/ca.crt"))
            context.check_hostname = False
            presented = ssl.get_server_certificate(("127.0.0.1", self.machine.tcp[TLS_PORT]))
            wanted = self.machine.text("openssl x509 -in /etc/appliance/tls/server.crt")
            assert presented.split() == wanted.split(), "an old certificate is presented"
            make = _numbered("tls", self.tls)
            send_tcp(self.machine.tcp[TLS_PORT], lines(make(n) for n in range(10)), tls=context)
            self.tls += 10

    def finish(self) -> dict[str, int]:
        """Return how many lines of which application were sent, once all that can be acknowledged is."""
        self.close_passing()
        return {
            "relp": self.relp.finish(PATIENCE), "staying": self.staying.finish(PATIENCE), "passing": self.passed,
            "datagram": self.datagrams, "tls": self.tls,
        }  # fmt: skip


def test_any_setting_changed_under_load_loses_nothing_and_apply_says_the_truth(
    machine: Machine, loki: InProcessLoki
) -> None:
    slower = _times_slower_than_this_computer(machine)
    idle = _undisturbed_seconds(machine, "systemctl restart rsyslog")
    print(
        f"\nFORWARDER_SEED={SEED}; idle restart of rsyslog {idle:.1f} s; programs start {slower:.0f} times slower here"
    )
    started = machine.text("systemctl show -P MainPID appliance-receiver")
    walk = Walk(SEED, CONFIG, RIGHT, WRONG)
    senders = Senders.start(machine)
    wait_until(lambda: loki.count('{application="relp"}') > 100, PATIENCE)
    took: list[float] = []
    steps: list[Change] = [*walk.changes(CHANGES), walk.back()]
    for number, change in enumerate(steps):
        seconds, said = _apply(machine, change)
        took.append(seconds)
        print(f"{number + 1:3} {seconds:5.1f} s  {change.words}")
        _judge(machine, change.config, said)
        senders.follow(change.config)
    sent = senders.finish()
    for application, count in sent.items():
        _wait_for_all(loki, application, count)
    tallies = {
        application: loki.tally(count, f'{{application="{application}"}}') for application, count in sent.items()
    }
    for application, tally in tallies.items():
        print(f"{application:9} {sent[application]:6} sent, {tally.lost} lost, {tally.duplicates} twice")
    resent = senders.relp.client.resent
    print(f"RELP connected {senders.relp.client.connections} times, sent {resent} again")
    print(f"apply took {min(took):.1f} to {max(took):.1f} s, an idle restart of rsyslog {idle:.1f} s")
    assert tallies.pop("relp").duplicates <= resent
    assert {application: tally.duplicates for application, tally in tallies.items()} == dict.fromkeys(tallies, 0)
    assert machine.text("systemctl show -P MainPID appliance-receiver") == started
    assert machine.text("systemctl --failed --no-legend --plain") == ""
    assert (
        machine.text("journalctl -b --no-pager | grep -E 'code=(killed|dumped)|segfault' | grep -v receiver; true")
        == ""
    )
    there = PAUSES + (max(took) - PAUSES) / slower
    print(f"the longest apply would take about {there:.1f} s on this computer itself")
    assert there <= REAL_HARDWARE


def _apply(machine: Machine, change: Change) -> tuple[float, str]:
    """Apply a change; return the seconds it took without other load on this computer, and what was said."""
    text = yaml.safe_dump(change.config)
    machine.run(f"cat > /run/new.yaml <<'END'\n{text}END")
    renew = "appliance tls renew --force && " if change.renews else ""
    others_before = machine.others()
    began = time.monotonic()
    said = machine.run(f"{renew}appliance config apply --yes /run/new.yaml; echo code=$?").text
    return machine.undisturbed(time.monotonic() - began, others_before), said


def _judge(machine: Machine, config: Config, said: str) -> None:
    """What was said holds: all succeeded, Loki is reached or not, lines come, and what is to listen listens."""
    assert said.rstrip().endswith("code=0") and "CRITICAL" not in said, said
    if "nothing changes" not in said:
        assert ("Loki is not reached" in said) == (config["loki"]["url"] == WRONG), said
        flow = re.search(r"Lines: (.*)", said)
        assert flow and not flow[1].startswith("none"), said
    look = (
        "ss -tulnH | awk '$5 !~ /127.0.0|::1|%lo/ { print $1, $5 }'; echo ---; "
        f"systemctl is-active {' '.join(UNITS)}; echo ---; hostname; readlink /etc/localtime"
    )
    ports, active, names = machine.text(look).split("---")
    assert active.split() == ["active"] * len(UNITS), active
    found = {(line.split()[0], int(line.rpartition(":")[2])) for line in ports.strip().splitlines()}
    assert {one for one in found if one[1] not in (68, 546)} == _listening(config), said
    system = config.get("system", {})
    name, zone = names.split()
    assert name == system.get("hostname", "forwarder")
    assert zone.endswith(system.get("timezone", "UTC"))


def _listening(config: Config) -> set[tuple[str, int]]:
    return {("udp" if name == "udp" else "tcp", one["port"])
            for name, one in config["listeners"].items() if name != "queue"}  # fmt: skip


def _wait_for_all(loki: InProcessLoki, application: str, sent: int) -> None:
    selector = f'{{application="{application}"}}'
    wait_until(lambda: loki.tally(sent, selector).lost == 0, PATIENCE, every=2,
               what=lambda: (application, sent, loki.tally(sent, selector)))  # fmt: skip


def _numbered(application: str, first: int = 0) -> Callable[[int], bytes]:
    """Messages of an application, numbered from somewhere on; of ten hosts."""
    return lambda number: rfc5424(
        f"n={first + number} ".ljust(100, "x"), host=f"host{number % 10}", application=application
    )


def _times_slower_than_this_computer(machine: Machine) -> float:
    """How many times longer the guest's processor takes for the same work."""
    work = "import time; b = time.process_time(); sum(n * n for n in range(300_000)); print(time.process_time() - b)"
    here = min(float(subprocess.check_output(["/usr/bin/python3", "-c", work])) for _ in range(3))
    others_before, began = machine.others(), time.monotonic()
    there = min(float(machine.text(f"python3 -c '{work}'")) for _ in range(3))
    passed = time.monotonic() - began
    return max(1.0, there * machine.undisturbed(passed, others_before) / passed / here)


def _undisturbed_seconds(machine: Machine, command: str) -> float:
    others_before, began = machine.others(), time.monotonic()
    machine.run(command)
    return machine.undisturbed(time.monotonic() - began, others_before)
