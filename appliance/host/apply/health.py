"""Whether the machine works after a change: services up and staying up, listeners open.

Only what is local and certain within seconds is asked: a Loki that is down is no reason to roll back.
"""

import time
from collections.abc import Callable, Sequence

from appliance.config.model import Config
from appliance.host.apply import actions
from appliance.host.journal import said_once
from appliance.host.runner import Answer, Runner
from appliance.host.sockets import listening
from appliance.host.system.complete import complete
from appliance.host.system.ports import open_ports
from appliance.host.units import Unit, show_units

_OWNERS = {
    "relay": actions.RELAY_UNIT, "receiver": actions.RECEIVER_UNIT, "rsyslog": actions.RSYSLOG_UNIT,
    "ssh": actions.SSH_UNIT,
}  # fmt: skip
_ERRORS = 3  # lines of a unit that say why it failed


def wanted_units(config: Config) -> list[str]:
    """Return the units that must be active once this configuration is applied."""
    units = [
        actions.NETWORKD_UNIT, actions.CHRONY_UNIT, actions.RELAY_UNIT, actions.RECEIVER_UNIT, actions.RSYSLOG_UNIT
    ]  # fmt: skip
    return [*units, actions.SSH_UNIT] if config.access.ssh else units


def wait_until_healthy(
    config: Config,
    runner: Runner,
    *,
    within: float = 30,
    steady: float = 2,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
    since: float | None = None,
) -> list[str]:
    """Return the problems after `within` seconds; empty as soon as all was healthy for `steady` seconds.

    Sentences name the unit or listener and the reason, in the unit's own words since `since` (Unix seconds).
    Restarts during the steady time count as ill.
    """
    deadline = now() + within
    well_since: float | None = None
    restarts: dict[str, int] = {}
    while True:
        wrong, seen = _ask(config, runner, since)
        if wrong or seen != restarts:
            well_since = None
        restarts = seen
        if not wrong:
            well_since = now() if well_since is None else well_since
            if now() - well_since >= steady:
                return []
        if now() >= deadline:
            return wrong or ["a service keeps restarting: see `journalctl -p warning -n 50`"]
        sleep(0.25)


def _ask(config: Config, runner: Runner, since: float | None) -> tuple[list[str], dict[str, int]]:
    units = wanted_units(config)
    shown = show_units(units, runner)
    wrong = []
    for name in units:
        unit = shown.get(name, Unit(name))
        if unit.load == "not-found":
            wrong.append(f"{name} is not installed")
        elif unit.active != "active":
            reason = journal_reason(name, runner, since) or unit.result or "no reason given"
            wrong.append(f"{name} is {unit.active or 'unknown'}: {reason}")
    if not wrong:
        open_now = listening()
        for port in open_ports(complete(config)):
            if port.owner != "ssh" and (port.protocol, port.port) not in open_now:
                said = journal_reason(_OWNERS[port.owner], runner, since)
                wrong.append(
                    f"{port.name}: nothing listens on {port.protocol} port {port.port}" + (f": {said}" if said else "")
                )
    return wrong, {name: unit.restarts for name, unit in shown.items()}


def failure_reason(command: Sequence[str], answer: Answer, runner: Runner, *, since: float) -> str:
    """Return why a command failed: for a unit that did not start in its own words, else in the command's."""
    unit = command[-1]
    if command[0] != "systemctl" or not unit.endswith(".service"):
        return answer.reason
    return journal_reason(unit, runner, since) or answer.reason


def journal_reason(unit: str, runner: Runner, since: float | None = None) -> str:
    """Return the last errors a unit wrote since then, its warnings when it wrote none; empty without any."""
    began = ["--since", f"@{int(since)}"] if since is not None else []
    for level, lines in (("err", 2 * _ERRORS), ("warning", 1)):
        command = ["journalctl", "-u", unit, *began, "-p", level, "-n", str(lines), "-o", "cat", "--no-pager"]
        answer = runner(command, timeout=10)
        said = [" ".join(line.split())[:300] for line in answer.out.splitlines()] if answer.ok else []
        said = said_once(line for line in said if line and line != "-- No entries --")
        if said:
            return "; ".join(dict.fromkeys(said[-_ERRORS:]))
    return ""
