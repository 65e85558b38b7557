"""The verdict: facts in, a list of parts out, each green, amber or red, with cause and remedy. Pure.

Order matters twice: unhealthy parts come first, and among them causes before what follows from
them (a full disk before the queue that cannot be written). `appliance status --json` prints exactly
this; appliance/host/status/status-json.md promises its names.
"""

import dataclasses
from collections.abc import Iterator

from appliance.host.status import machine_parts, path_parts
from appliance.host.status.facts import Facts
from appliance.host.status.part import RANK, Part, Verdict, section
from appliance.host.status.remedy import Reader, addressed
from appliance.severity import State

__all__ = ["Part", "Reader", "State", "Verdict", "judge"]

_MACHINE = (
    machine_parts.configuration,
    machine_parts.disk,
    machine_parts.network,
    machine_parts.time,
    machine_parts.certificates,
    machine_parts.updates,
    machine_parts.services,
)


def judge(facts: Facts, reader: Reader | None = None) -> Verdict:
    """Return the verdict on these facts, its remedies as `reader` can follow them: by default the current user."""
    verdict = _judge(facts)
    reader = reader or (Reader.ROOT if facts.as_root else Reader.USER)
    parts = tuple(dataclasses.replace(part, remedy=addressed(part.remedy, reader)) for part in verdict.parts)
    return Verdict(verdict.state, addressed(verdict.headline, reader), parts)


def _judge(facts: Facts) -> Verdict:
    if facts.configured is False:
        cause = "this machine is not configured yet: it accepts no logs"
        part = Part(
            "configuration", "red", "not configured", cause, "run `appliance setup`, or `appliance config apply FILE`"
        )
        others = [other for other in _basics(facts) if other.name != part.name]
        return Verdict("red", f"{cause}; run `appliance setup`", (part, *others))
    parts = [*_basics(facts), *_log_path(facts)]
    order = {name: index for index, name in enumerate(_CAUSES_FIRST)}
    parts.sort(key=lambda part: (-RANK[part.state], order.get(part.name, len(order))))
    worst = parts[0]
    if worst.state == "green":
        return Verdict("green", _all_well(facts), tuple(parts))
    return Verdict(worst.state, f"{worst.cause}; {worst.remedy}" if worst.remedy else worst.cause, tuple(parts))


_CAUSES_FIRST = (
    "configuration", "disk", "relay", "receiver", "rsyslog", "network", "time",
    "certificates", "loki", "queue", "handover", "messages", "updates", "services",
)  # fmt: skip


def _all_well(facts: Facts) -> str:
    loki = section(facts.relay, "loki")
    rate = loki.get("entries_per_second_60s")
    return "all is well" + (f": {rate:.1f} lines/s to Loki" if isinstance(rate, (int, float)) else "")


def _basics(facts: Facts) -> Iterator[Part]:
    for judge_part in _MACHINE:
        yield judge_part(facts)


def _log_path(facts: Facts) -> Iterator[Part]:
    yield path_parts.relay(facts)
    yield path_parts.receiver(facts)
    yield path_parts.rsyslog(facts)
    if facts.relay is not None:
        yield path_parts.loki(facts.relay, facts.now)
        if section(facts.relay, "handover"):
            yield path_parts.handover(facts.relay)
        yield path_parts.queue(facts.relay)
        yield path_parts.messages(facts.relay, facts.now)
