"""Is Loki there? One answer within seconds, for those who must not wait: apply, tests, the console."""

from appliance.config.model import Loki
from appliance.relay.probe.check import Finding, check_loki

WITHIN = 3.0
"""Seconds after which a Loki that has not answered counts as away."""


def reach(loki: Loki, within: float = WITHIN) -> Finding:
    """Return the first thing that keeps lines from Loki, or that it accepts them. `ok` None: it is starting."""
    doubt: Finding | None = None
    for finding in check_loki(loki, within=within):
        if finding.ok is False:
            return finding
        if finding.ok is None and finding.step in ("ready", "authentication"):
            doubt = doubt or finding
        if finding.step == "authentication":
            break  # whether it can be queried is no matter
    return doubt or Finding("Loki", True, "Loki is reached and accepts lines")
