"""systemd's view of units, asked in one call."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.host.runner import Runner

_PROPERTIES = "Id,LoadState,ActiveState,SubState,Result,NRestarts,ActiveEnterTimestampMonotonic"


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd unit: its states as `systemctl show` says them."""

    name: str
    load: str = ""
    active: str = ""
    sub: str = ""
    result: str = ""
    restarts: int = 0
    since: float | None = None  # seconds since it became active


def show_units(names: Sequence[str], runner: Runner, *, timeout: float = 10) -> dict[str, Unit]:
    """Return the units by name; empty when systemd does not answer within `timeout` seconds."""
    answer = runner(["systemctl", "show", f"--property={_PROPERTIES}", "--", *names], timeout=timeout)
    found = {}
    for block in answer.out.split("\n\n") if answer.ok else ():
        values = dict(line.partition("=")[::2] for line in block.splitlines())
        if "Id" not in values:
            continue
        entered = int(values.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        found[values["Id"]] = Unit(
            name=values["Id"],
            load=values.get("LoadState", ""),
            active=values.get("ActiveState", ""),
            sub=values.get("SubState", ""),
            result=values.get("Result", ""),
            restarts=int(values.get("NRestarts") or 0),
            since=max(0.0, time.monotonic() - entered) if entered else None,
        )
    return found
