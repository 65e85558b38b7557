"""A step of an apply as a value: what is done, how it went, and a word on it."""

from dataclasses import dataclass
from enum import Enum

from appliance.severity import OF_FINDING


class StepState(Enum):
    RUNNING = "running"
    DONE = "done"
    WARNED = "warned"
    FAILED = "failed"

    @property
    def word(self) -> str:
        """Return what people read; nothing while it runs."""
        return "" if self is StepState.RUNNING else OF_FINDING[_OK[self]]


_OK: dict[StepState, bool | None] = {StepState.DONE: True, StepState.WARNED: None, StepState.FAILED: False}


@dataclass(frozen=True, slots=True)
class Step:
    """Progress, for people: what is being done, and how it went."""

    title: str
    state: StepState
    detail: str = ""
    remedy: str = ""
