"""A machine for the console's tests: nothing real behind it, and always the same moment.

`python -m tests.harness.console [wizard|dashboard] [state]` runs the interface on it.
"""

import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from appliance.config.model import Config, Loki
from appliance.host.apply import Plan, Result, Step, StepState, make_plan
from appliance.host.status.facts import Certificate, Clock, Disk, Facts, Unit, Updates
from appliance.relay.probe.check import Finding
from tui.found import Interface
from tui.machine import Machine
from tui.state import Sample, State

NOW = 1_790_000_000.0
LOKI = "http://loki.example.org:3100/loki/api/v1/push"
CONFIG = f"loki: {{url: '{LOKI}'}}\nlisteners: {{udp: {{}}, tcp: {{}}, tls: {{}}}}\n"


def relay_status(now: float = NOW, **changes: Any) -> dict[str, Any]:
    """What the relay's /status says on a good day."""

    def source(sender: str, way: str, rate: float, ago: float) -> dict[str, Any]:
        return {"sender": sender, "input": way, "messages": 5000, "messages_per_second": rate,
                "first_seen": now - 86400, "last_seen": now - ago}  # fmt: skip

    status: dict[str, Any] = {
        "version": "1.0.0", "now": now, "started": now - 300000, "uptime": 300000.0, "ready": True, "problems": [],
        "inputs": {"udp": {"messages_per_second_10s": 42.0, "messages_per_second_60s": 40.0},
                   "tcp": {"messages_per_second_10s": 118.0, "messages_per_second_60s": 120.0}},
        "queue": {"entries": 160, "bytes": 48_200, "fill_ratio": 0.0001, "full": False},
        "loki": {"state": "ok", "url": LOKI, "entries": 10**6, "entries_per_second_10s": 160.0,
                 "entries_per_second_60s": 159.6, "last_success": now - 1, "last_error": None},
        "sources": {"count": 7, "latest": [
            source("192.0.2.1", "udp", 38.2, 1), source("192.0.2.11", "tcp", 61.0, 1),
            source("192.0.2.12", "tcp", 55.4, 2), source("192.0.2.20", "tcp", 4.1, 3),
            source("198.51.100.7", "tls", 0.9, 12), source("2001:db8::31", "tcp", 0.2, 40),
            source("192.0.2.44", "udp", 0.0, 5400),
        ]},
        "rsyslog": {"queue": 0}, "process": {"pid": 412},
    }  # fmt: skip
    status.update(changes)
    return status


def facts(now: float = NOW, **changes: Any) -> Facts:
    units = {
        name: Unit(name, "loaded", "active", "running", "success")
        for name in ("appliance-relay.service", "rsyslog.service", "chrony.service", "systemd-networkd.service")
    }
    good = Facts(
        now=now, uptime=300000.0, hostname="forwarder", version="1.0.0", as_root=True, configured=True,
        addresses=("192.0.2.10", "2001:db8::10"), has_default_route=True, units=units, relay=relay_status(now),
        disks=(Disk("/", 6 * 2**30, 4 * 2**30), Disk("/var/lib/appliance", 40 * 2**30, 39 * 2**30)),
        data_mounted=True, clock=Clock(True, 0.001, now - 10**7), generation=3,
        certificates=(Certificate("server", "/etc/appliance/tls/server.crt", now - 10**6, now + 300 * 86400, True),),
        updates=Updates(True, now - 40000, False),
    )  # fmt: skip
    return replace(good, **changes)


def waiting(now: float = NOW) -> Facts:
    """Loki has been away for some minutes."""
    error = {
        "when": now - 8, "cause": "loki.example.org:3100 refuses the connection",
        "remedy": "check that Loki runs, and the port in loki.url",
    }  # fmt: skip
    status = relay_status(
        now,
        loki={"state": "waiting", "url": LOKI, "last_success": now - 130, "last_error": error, "entries": 10**6,
              "entries_per_second_10s": 0.0},
        queue={"entries": 20800, "bytes": 6_400_000, "fill_ratio": 0.003, "full": False},
    )  # fmt: skip
    return facts(now, relay=status)


def samples(now: float = NOW) -> list[Sample]:
    """Five minutes with an outage of Loki in them."""
    found = []
    for step in range(150):
        when = now - 298 + 2 * step
        came = 150 + 40 * math.sin(step / 9) + 15 * math.sin(step / 2)
        left = 0.0 if 60 <= step < 85 else came * 1.7 if 85 <= step < 105 else came
        found.append(Sample(when, came, left, 48_200))
    return found


class QuietMachine(Machine):
    """A fake root, and answers that never change."""

    def __init__(self, root: Path, *, look: Callable[[float], Facts] = facts, live: bool = False) -> None:
        super().__init__(root)
        self.look, self.live = look, live
        self.loki_findings = [
            Finding("name", True, "loki.example.org is 192.0.2.5"),
            Finding("connection", True, "Loki at loki.example.org:3100 accepts, 2 ms"),
            Finding("HTTP", True, "Loki is ready"),
            Finding("login", True, "passed"),
            Finding("push, read", True, "12 of 12 entries in 3 streams were counted back"),
        ]
        self.done: list[str] = []
        self.fail_apply = ""
        self.risky = False
        self.pause = 0.0

    def now(self) -> float:
        return time.time() if self.live else NOW

    def facts(self) -> Facts:
        return self.look(self.now())

    def interfaces(self) -> list[Interface]:
        return [Interface("enX0", "52:54:00:12:34:56", True, ("192.0.2.10/24",))]

    def journal(self, unit: str, lines: int = 400) -> str:
        return f"2026-09-21T14:13:20 forwarder {unit or 'systemd'}: started\n" * 40 + "the last line → 日本\n"

    def test_network(self, config: Config) -> Iterator[Finding]:
        yield Finding("link", True, "enX0 connected")
        yield Finding("gateway", None, "192.0.2.1 does not answer", "fine only if it ignores pings")

    def test_time(self, servers: list[str]) -> Iterator[Finding]:
        for server in servers or ["2.debian.pool.ntp.org"]:
            yield Finding("NTP", True, f"{server} answers, our clock is within 3 ms")

    def test_loki(self, loki: Loki) -> Iterator[Finding]:
        self.done.append(f"test {loki.url}")
        time.sleep(self.pause)
        yield from self.loki_findings

    def test_message(self) -> Iterator[Finding]:
        yield Finding("sent", True, "over TCP to port 514, marked 0123456789ab")
        yield Finding("arrived", True, "in Loki after 1.2 s: host=forwarder, job=syslog")

    def _plan(self, text: str) -> Plan:
        return make_plan(text, self.host, comment="console", rsyslog=lambda config: _RSYSLOG)

    def apply(self, plan: Plan, progress: Callable[[Step], None]) -> Result:
        if self.fail_apply:
            progress(Step("Starting rsyslog", StepState.FAILED, self.fail_apply))
            return Result(ok=False, generation=1, rolled_back=True, reason=self.fail_apply)
        result = super().apply(plan, progress)
        return replace(result, confirm_by=self.now() + 60) if self.risky else result

    def confirm(self) -> None:
        self.done.append("confirm")

    def revert(self) -> None:
        self.done.append("revert")

    def load_keyboard(self, layout: str, variant: str) -> None:
        self.done.append(f"keyboard {layout} {variant}".rstrip())

    def restart(self) -> str:
        self.done.append("restart")
        return ""

    def power_off(self) -> str:
        self.done.append("power off")
        return ""


_RSYSLOG = 'module(load="imudp")\ninput(type="imudp" port="514")\naction(type="omfile" file="/dev/null")\n'


def configured(root: Path, text: str = CONFIG) -> Path:
    """Put a configuration below a fake root."""
    (root / "etc/appliance").mkdir(parents=True, exist_ok=True)
    (root / "etc/appliance/appliance.yaml").write_text(text)
    return root


def main(what: str, kind: str = "") -> None:
    from tui.app import Console

    root = Path(tempfile.mkdtemp(prefix="console-"))
    if what == "dashboard":
        configured(root)
    looks = {"": facts, "waiting": waiting}
    machine = QuietMachine(root, look=looks[kind], live=True)
    state = State(machine)
    state.begin()
    state.samples.extend(samples(time.time()))
    Console(machine, state=state).run(mouse=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
