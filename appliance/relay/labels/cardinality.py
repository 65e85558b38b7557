"""Bounds on streams and label values, so that no sender can use up the streams Loki allows.

A stream that is new while room is short loses labels, least useful first, and keeps them as
structured metadata: nothing is lost but an index. Which labels an entry would have is decided in
`labels/resolver.py`; what Loki answers is the sender's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.config import model
from appliance.relay.hot import Target
from appliance.relay.loki.label_syntax import format_pair, join_pairs

# Full label sets may fill this share of the streams; what is left is for reduced ones, in steps, so
# that a flood of one kind cannot take the last stream from everybody else.
_FULL_SHARE = 0.8
_NONE: dict[str, str] = {}
_TARGET_COST, _VALUE_COST = 320, 200  # bytes that a stream, a value takes beside its text, twice


@dataclass(slots=True)
class GuardStats:
    active: int = 0
    """Streams that had an entry within `guard.idle`."""
    overflowed: int = 0
    """Label sets that lost labels because streams were short."""
    values_overflowed: dict[str, int] = field(default_factory=dict)
    """Label values that became metadata, by label."""


@dataclass(slots=True)
class LabelMemory:
    """About how many bytes streams and label values take; several guards may share one."""

    used: int = 0
    max: int = 8 * 2**20

    @property
    def full(self) -> bool:
        return self.used >= self.max


class Guard:
    """The streams in use. Belongs to the loop's thread.

    While `memory` is full no further label value is taken, and no further stream but the most reduced.
    """

    def __init__(
        self,
        settings: model.Guard,
        limits: model.LokiLimits,
        *,
        on_prune: Callable[[], None],
        memory: LabelMemory | None = None,
    ) -> None:
        self.stats = GuardStats()
        self._on_prune = on_prune
        self._memory = memory or LabelMemory()
        self._values_memory = self._targets_memory = 0  # our share of it
        self.configure(settings, limits)
        self._targets: dict[str, Target] = {}

    def configure(self, settings: model.Guard, limits: model.LokiLimits) -> None:
        """Take new bounds, for streams that are new from now on."""
        # name="value" by value by name, of what is within the bounds
        self._values: dict[str, dict[str, str]] = {}
        self._memory.used -= self._values_memory
        self._values_memory = 0
        self.settings = settings
        self._max_labels = limits.label_names - 1  # Loki adds service_name
        self._max_name = limits.label_name_length
        self._max_value = limits.label_value_length

    def admit(self, labels: dict[str, str], now_ns: int) -> tuple[Target, dict[str, str]]:
        """Return the stream for these labels and the labels that were removed."""
        kept: dict[str, str] = {}  # name="value" by name
        given_up: list[str] = []
        unknown = False
        for name in sorted(labels):
            value = labels[name]
            if not value:
                continue
            known = self._values.get(name, _NONE)
            pair = known.get(value)
            if pair is None:
                unknown = True
                if len(name) > self._max_name:  # all ASCII
                    given_up.append(name)
                    continue
                if len(known) >= self.settings.max_values_per_label or self._too_long(value) or self._memory.full:
                    given_up.append(name)
                    self.stats.values_overflowed[name] = self.stats.values_overflowed.get(name, 0) + 1
                    continue
                pair = format_pair(name, value)
            kept[name] = pair
        if len(kept) > self._max_labels:
            for name in self._expendable(kept)[: len(kept) - self._max_labels]:
                given_up.append(name)
                del kept[name]
        text = join_pairs(kept.values())
        target = self._targets.get(text)
        if target is None:
            target = self._new(text, kept, given_up)
        target.last_used = now_ns
        if unknown:
            for name, pair in kept.items():
                values = self._values.setdefault(name, {})
                if labels[name] not in values:
                    values[labels[name]] = pair
                    self._values_memory += (cost := 2 * len(pair) + _VALUE_COST)
                    self._memory.used += cost
        self.stats.active = len(self._targets)
        return target, {name: labels[name] for name in given_up}

    def _new(self, text: str, kept: dict[str, str], given_up: list[str]) -> Target:
        """Return the stream for labels that have none yet; names that are removed go from `kept` to `given_up`."""
        expendable = self._expendable(kept)
        for step, name in enumerate(expendable):
            share = _FULL_SHARE + (1 - _FULL_SHARE) * step / len(expendable)
            if len(self._targets) < self.settings.max_streams * share and not self._memory.full:
                break
            given_up.append(name)
            del kept[name]
            self.stats.overflowed += step == 0
            text = join_pairs(kept.values())
            found = self._targets.get(text)
            if found is not None:
                return found
        target = self._targets[text] = Target(text)
        self._targets_memory += (cost := 2 * len(text) + _TARGET_COST)
        self._memory.used += cost
        return target

    def _too_long(self, value: str) -> bool:
        # Four bytes a character at most.
        return len(value) * 4 > self._max_value and len(value.encode(errors="replace")) > self._max_value

    def _expendable(self, labels: dict[str, str]) -> list[str]:
        """Return names in the order in which they are removed; `job` never is."""
        order = self.settings.drop_order
        listed = [name for name in order if name in labels and name != "job"]
        if len(listed) + ("job" in labels) == len(labels):
            return listed
        return sorted((name for name in labels if name not in order and name != "job"), reverse=True) + listed

    def prune(self, now_ns: int) -> None:
        """Forget streams that have been idle, so that others may take their place."""
        limit = now_ns - int(self.settings.idle * 1e9)
        idle = [text for text, target in self._targets.items() if target.last_used < limit]
        if not idle:
            return
        for text in idle:
            del self._targets[text]
            self._targets_memory -= (cost := 2 * len(text) + _TARGET_COST)
            self._memory.used -= cost
        self._forget_values()  # they come back with their next entry
        self.stats.active = len(self._targets)
        self._on_prune()

    def _forget_values(self) -> None:
        self._values.clear()
        self._memory.used -= self._values_memory
        self._values_memory = 0

    def forget(self) -> None:
        """Forget everything: nobody uses this guard any more."""
        self._forget_values()
        self._targets.clear()
        self._memory.used -= self._targets_memory
        self._targets_memory = 0
