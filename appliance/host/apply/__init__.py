"""The apply engine: a configuration becomes the machine's files, or nothing changes.

host = host_at()                       # or host_at("/some/fake/root")
plan = make_plan(text, host)           # raises ConfigError, ApplianceError; changes nothing
plan.differences, plan.steps, plan.risky   # for people; plan.diff: the files
result = apply(plan, host, progress)   # switches, restarts, checks; rolls back on failure
"""

from appliance.host.apply.engine import (
    Result,
    apply,
    confirm,
    recover,
    revert_unconfirmed,
    roll_back_to,
)
from appliance.host.apply.plan import Plan, make_plan
from appliance.host.apply.step import Step, StepState
from appliance.host.host import Host, host_at

__all__ = [
    "Host", "Plan", "Result", "Step", "StepState", "apply", "confirm", "host_at", "make_plan", "recover",
    "revert_unconfirmed", "roll_back_to",
]  # fmt: skip
