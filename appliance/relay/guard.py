"""Bounds on streams and label values, so that no sender can use up the streams Loki allows.

A stream that is new while room is short gives up labels, least useful first, and keeps them as
structured metadata: nothing is lost but an index. Which labels an entry would have is decided in
`labels.py`; what Loki answers is the sender's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.config import model
from appliance.relay.hot import Target
from appliance.relay.label_syntax import format_labels

# Full label sets may fill this share of the streams; what is left is for reduced ones, in steps, so
# that a flood of one kind cannot take the last stream from everybody else.
_FULL_SHARE = 0.8


@dataclass(slots=True)
class GuardStats:
    active: int = 0
    """Streams that had an entry within `guard.idle`."""
    overflowed: int = 0
    """Label sets that had to give up labels because streams were short."""
    values_overflowed: dict[str, int] = field(default_factory=dict)
    """Label values that became metadata, by label."""


class Guard:
    """The streams in use. Belongs to the loop's thread."""

    def __init__(self, settings: model.Guard, limits: model.LokiLimits, *, on_prune: Callable[[], None]) -> None:
        self.stats = GuardStats()
        self._on_prune = on_prune
        self.configure(settings, limits)
        self._targets: dict[str, Target] = {}
        self._values: dict[str, set[str]] = {}

    def configure(self, settings: model.Guard, limits: model.LokiLimits) -> None:
        """Take new bounds, for streams that are new from now on."""
        self.settings = settings
        self._max_labels = limits.label_names - 1  # Loki adds service_name
        self._max_name = limits.label_name_length
        self._max_value = limits.label_value_length

    def admit(self, labels: dict[str, str], now_ns: int) -> tuple[Target, dict[str, str]]:
        """The stream for these labels and the labels that it had to give up."""
        kept = {name: value for name, value in labels.items() if value}
        moved: dict[str, str] = {}
        for name, value in list(kept.items()):
            if len(name) > self._max_name:  # all ASCII
                moved[name] = kept.pop(name)
            elif self._too_long(value) or not self._value_admitted(name, value):
                moved[name] = kept.pop(name)
                self.stats.values_overflowed[name] = self.stats.values_overflowed.get(name, 0) + 1
        expendable = self._expendable(kept)
        while len(kept) > self._max_labels and expendable:
            name = expendable.pop(0)
            moved[name] = kept.pop(name)
        target = self._targets.get(format_labels(kept))
        steps = len(expendable)
        gave_up = False
        while target is None:
            step = steps - len(expendable)
            share = _FULL_SHARE + (1 - _FULL_SHARE) * step / max(steps, 1)
            if len(self._targets) < self.settings.max_streams * share or not expendable:
                text = format_labels(kept)
                target = self._targets[text] = Target(text)
                break
            name = expendable.pop(0)
            moved[name] = kept.pop(name)
            gave_up = True
            target = self._targets.get(format_labels(kept))
        self.stats.overflowed += gave_up
        target.last_used = now_ns
        for name, value in kept.items():
            self._values.setdefault(name, set()).add(value)
        self.stats.active = len(self._targets)
        return target, moved

    def _too_long(self, value: str) -> bool:
        return len(value) > self._max_value or len(value.encode(errors="replace")) > self._max_value

    def _value_admitted(self, name: str, value: str) -> bool:
        known = self._values.get(name)
        return known is None or value in known or len(known) < self.settings.max_values_per_label

    def _expendable(self, labels: dict[str, str]) -> list[str]:
        """Names in the order in which they are given up; `job` never is."""
        order = self.settings.drop_order
        unlisted = sorted((name for name in labels if name not in order and name != "job"), reverse=True)
        return unlisted + [name for name in order if name in labels and name != "job"]

    def prune(self, now_ns: int) -> None:
        """Forget streams that have been idle, so that others may take their place."""
        limit = now_ns - int(self.settings.idle * 1e9)
        idle = [text for text, target in self._targets.items() if target.last_used < limit]
        if not idle:
            return
        for text in idle:
            del self._targets[text]
        self._values.clear()  # they come back with their next entry
        self.stats.active = len(self._targets)
        self._on_prune()
