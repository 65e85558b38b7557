"""Whether the machine works after a change: services up and staying up, listeners open.

Only what is local and certain within seconds is asked: a Loki that is down is no reason to roll back.
"""

import time
from collections.abc import Callable

from appliance.config.model import Config
from appliance.host.apply import actions
from appliance.host.runner import Runner
from appliance.host.sockets import listening
from appliance.host.system.complete import complete
from appliance.host.system.ports import open_ports
from appliance.host.units import Unit, show_units


def wanted_units(config: Config) -> list[str]:
    """Return the units that have to be active once this configuration is in force."""
    units = [actions.NETWORKD_UNIT, actions.CHRONY_UNIT, actions.RELAY_UNIT, actions.RSYSLOG_UNIT]
    return [*units, actions.SSH_UNIT] if config.access.ssh else units


def wait_until_healthy(
    config: Config,
    runner: Runner,
    *,
    within: float = 30,
    steady: float = 2,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> list[str]:
    """Return what is wrong when `within` seconds are over; empty as soon as all was well for `steady` seconds.

    Sentences name the unit or listener and the reason. Restarts during the steady time count as ill.
    """
    deadline = now() + within
    well_since: float | None = None
    restarts: dict[str, int] = {}
    while True:
        wrong, seen = _ask(config, runner)
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


def _ask(config: Config, runner: Runner) -> tuple[list[str], dict[str, int]]:
    units = wanted_units(config)
    shown = show_units(units, runner)
    wrong = []
    for name in units:
        unit = shown.get(name, Unit(name))
        if unit.load == "not-found":
            wrong.append(f"{name} is not installed")
        elif unit.active != "active":
            reason = journal_reason(name, runner) or unit.result or "no reason given"
            wrong.append(f"{name} is {unit.active or 'unknown'}: {reason}")
    if not wrong:
        open_now = listening()
        for port in open_ports(complete(config)):
            if port.owner != "ssh" and (port.protocol, port.port) not in open_now:
                wrong.append(f"{port.name}: nothing listens on {port.protocol} port {port.port}")
    return wrong, {name: unit.restarts for name, unit in shown.items()}


def journal_reason(unit: str, runner: Runner) -> str:
    """Return the last warning or error a unit wrote, empty when there is none to be had."""
    answer = runner(["journalctl", "-u", unit, "-p", "warning", "-n", "1", "-o", "cat", "--no-pager"], timeout=10)
    return answer.out.strip()[:300] if answer.ok else ""
