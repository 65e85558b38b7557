"""What may become of a push, as values: the outcomes, what is learned, and what is counted.

Made by the pure functions of `prepare.py` and `settle.py`; applied in one place, `delivery.py`.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from appliance.relay.loki.push_format import Entry
from appliance.relay.loki.rejections import Rejection
from appliance.relay.send.request import Group, History, SegmentRef, StreamSlice


class Queued(NamedTuple):
    """Slices of one stream that go alone, in order, `delay` seconds from now."""

    labels: str
    slices: Group
    delay: float = 0.0


class Letter(NamedTuple):
    """An entry to be kept as a dead letter."""

    ref: SegmentRef
    labels: str
    entry: Entry
    reason: str


# ---- outcomes ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """Loki has taken all of it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The same push again, `delay` seconds from now."""

    delay: float = 0.0
    recharge: bool = False
    """Loki may have counted it towards a stream's rate, and will again."""


@dataclass(frozen=True, slots=True)
class Split:
    """The same slices again, in several pushes."""

    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Replace:
    """The push is over; others, of single streams, take its place before what waits of those streams."""

    queued: tuple[Queued, ...]
    letters: tuple[Letter, ...] = ()
    stored: int | None = None
    """Entries that Loki took; None if it took nothing at all."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The push is over; its entries are kept as dead letters."""

    letters: tuple[Letter, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """The same push again, but nothing of the tenant goes for a while: the configuration has to change."""


Outcome = Done | Retry | Split | Replace | DeadLetter | Hold


# ---- what is learned from an answer ------------------------------------------------------------


class Bound(NamedTuple):
    """A limit that holds for every entry."""

    rejection: Rejection


class Cutoff(NamedTuple):
    """The oldest timestamp that Loki takes for a stream."""

    labels: str
    cutoff_ns: int


class SlowerStream(NamedTuple):
    """A stream went over its rate of `allowed` bytes a second; 0 if Loki did not say."""

    labels: str
    allowed: int


class NoRoom(NamedTuple):
    """Loki has no such stream, and no room for it."""

    labels: str


class Reduced(NamedTuple):
    """A stream goes under fewer labels for a while; those left out are metadata."""

    labels: str
    to: str
    moved: tuple[tuple[str, str], ...]


class PushSize(NamedTuple):
    """Loki takes so many uncompressed bytes in a push."""

    size: int


class BodySize(NamedTuple):
    """A body of so many bytes was too large."""

    size: int


Lesson = Bound | Cutoff | SlowerStream | NoRoom | Reduced | PushSize | BodySize


# ---- what is counted ---------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """Entries and bytes by reason; the fields are those of SenderStats."""

    rejected: dict[str, int] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)
    mutated: dict[str, int] = field(default_factory=dict)
    mutated_bytes: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)


def add(counts: dict[str, int], key: str, number: int = 1) -> None:
    """Add to a count by key."""
    counts[key] = counts.get(key, 0) + number


@dataclass(frozen=True, slots=True)
class Ruling:
    """An outcome, and what comes with it."""

    outcome: Outcome
    lessons: tuple[Lesson, ...] = ()
    tally: Tally = field(default_factory=Tally)
    histories: tuple[History, ...] = ()
    """Of the push's slices, in order, if they change."""
    unexplained: bool = False
    """Refused for a reason that is not understood."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is left in a push, and what queues by stream instead."""

    slices: tuple[StreamSlice, ...]
    queued: tuple[Queued, ...] = ()
    joining: Group = ()
    """Repaired slices that may go with this push, after all others, if their streams allow."""
    tally: Tally = field(default_factory=Tally)
