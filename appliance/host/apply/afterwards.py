"""What is true once a change is applied and its services are healthy: do lines come, and is Loki reached?

Neither is a reason to roll back: a Loki that is away comes back, and lines wait for it.
"""

from collections.abc import Iterator

from appliance.config.model import Config
from appliance.host.apply.step import Step, StepState
from appliance.host.layout import Layout
from appliance.host.status.gather import read_relay
from appliance.host.status.part import section
from appliance.relay.probe.reach import reach

WITHIN = 3.0  # seconds for Loki to answer


def afterwards(config: Config, layout: Layout, *, within: float = WITHIN) -> Iterator[Step]:
    """Yield what can be said within about `within` seconds."""
    relay, reason = read_relay(layout)
    if relay is None:
        yield Step(
            "Lines", StepState.WARNED, f"the relay does not answer: {reason}", "see `journalctl -u appliance-relay`"
        )
    else:
        rates = [float(one.get("messages_per_second_10s", 0)) for one in section(relay, "inputs").values()]
        known = section(relay, "sources").get("count", 0)
        detail = (
            f"{sum(rates):.1f} lines/s now, {known} senders known"
            if sum(rates)
            else f"none just now, {known} senders known"
        )
        yield Step("Lines", StepState.DONE, detail)
    yield Step("Loki", StepState.RUNNING)
    finding = reach(config.loki, within)
    if finding.ok is False:
        yield Step("Loki", StepState.WARNED, f"Loki is not reached: {finding.detail}; lines wait here", finding.remedy)
    else:
        yield Step("Loki", StepState.DONE if finding.ok else StepState.WARNED, finding.detail, finding.remedy)
