"""What is true once a change is applied and its services are healthy: do lines come, and is Loki reached?

Neither is a reason to roll back: a Loki that is away comes back, and lines wait for it.
"""

from collections.abc import Iterator
from typing import Any

from appliance.config.model import Config
from appliance.host.apply.step import Step, StepState
from appliance.host.layout import Layout
from appliance.host.status.gather import read_relay
from appliance.host.status.part import length_of_time, section
from appliance.relay.probe.reach import reach

WITHIN = 3.0  # seconds for Loki to answer
_JUST_STARTED = 30.0  # seconds in which a rate says nothing yet


def afterwards(config: Config, layout: Layout, *, within: float = WITHIN) -> Iterator[Step]:
    """Yield what can be said within about `within` seconds."""
    relay, reason = read_relay(layout)
    if relay is None:
        yield Step(
            "Lines", StepState.WARNED, f"the relay does not answer: {reason}", "see `journalctl -u appliance-relay`"
        )
    else:
        yield Step("Lines", StepState.DONE, _lines(relay))
    yield Step("Loki", StepState.RUNNING)
    finding = reach(config.loki, within)
    if finding.ok is False:
        yield Step("Loki", StepState.WARNED, f"Loki is not reached: {finding.detail}; lines wait here", finding.remedy)
    else:
        yield Step("Loki", StepState.DONE if finding.ok else StepState.WARNED, finding.detail, finding.remedy)


def _lines(relay: dict[str, Any]) -> str:
    """Return how many lines come: of a relay that has just started those since then, else the rate."""
    inputs = [one for one in section(relay, "inputs").values() if isinstance(one, dict)]
    uptime, known = float(relay.get("uptime", 0.0)), section(relay, "sources").get("count", 0)
    if uptime < _JUST_STARTED:
        came = sum(int(one.get("messages", 0)) for one in inputs)
        return f"{came or 'none'} in the {length_of_time(uptime)} since the relay started, {known} senders known"
    rate = sum(float(one.get("messages_per_second_10s", 0)) for one in inputs)
    return (f"{rate:.1f} lines/s now" if rate else "none just now") + f", {known} senders known"
