"""What is counted for one destination, and its state. Plain values, read by metrics and status."""

from dataclasses import dataclass, field
from typing import Literal

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds of the histogram of request times; one more counts all beyond."""

State = Literal["ok", "waiting", "held", "idle"]
"""ok: Loki takes what it gets. waiting: it fails or asks for less, retries continue automatically.
held: the configuration has to change. idle: nothing to send yet."""


@dataclass(frozen=True, slots=True)
class LastError:
    """The last answer that was no success."""

    when: float
    code: str
    """Status or kind of failure, as in `status_codes`."""
    cause: str
    remedy: str


@dataclass(slots=True)
class Histogram:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    """Not cumulative: requests within each bucket, and beyond the last."""
    total: float = 0.0
    """Seconds of all requests."""

    def observe(self, seconds: float) -> None:
        self.total += seconds
        for index, bound in enumerate(BUCKETS):
            if seconds <= bound:
                self.counts[index] += 1
                return
        self.counts[-1] += 1


@dataclass(slots=True)
class SenderStats:
    """Counts since start. Written under the destination's lock, read without."""

    pushes: int = 0
    """Requests made."""
    pushed_entries: int = 0
    """Entries Loki has taken."""
    pushed_bytes: int = 0
    """Their uncompressed bytes."""
    encoded_bytes: int = 0
    """Bytes of request bodies, whatever became of them."""
    sent_bytes: int = 0
    """Bytes of request bodies that Loki has taken."""
    retries: int = 0
    status_codes: dict[str, int] = field(default_factory=dict)
    rate_limited: dict[str, int] = field(default_factory=lambda: {"tenant": 0, "stream": 0, "streams": 0})
    """429s of each kind: the tenant's rate, one stream's rate, the number of streams."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Entries that Loki refused, by reason; what became of them is in those that follow."""
    repaired: dict[str, int] = field(default_factory=dict)
    """Entries repaired and sent again, or repaired before, by reason."""
    dead_lettered: dict[str, int] = field(default_factory=dict)
    dead_lettered_bytes: dict[str, int] = field(default_factory=dict)
    """Bytes of their lines."""
    mutated: dict[str, int] = field(default_factory=dict)
    """Entries that Loki got otherwise than they came, by reason: fewer labels, or a shorter line."""
    mutated_bytes: dict[str, int] = field(default_factory=dict)
    """Bytes of the streams with fewer labels; bytes cut off lines."""
    request_seconds: dict[str, Histogram] = field(default_factory=dict)
    """By status code or kind of failure."""
    last_success: float = 0.0
    """Unix time; 0 before the first."""
    last_error: LastError | None = None
    state: State = "idle"
    in_flight: int = 0
    held_streams: int = 0
    """Streams that wait for their rate, or for a push of their own."""
    held: dict[str, int] = field(default_factory=dict)
    """Entries that were held for a while as only Loki's clock refuses them, by reason."""
    held_for_clock: int = 0
    """Those of them that are held now."""
    clock_skew: float | None = None
    """Seconds that Loki's clock is ahead of ours (negative: behind), to about a second; None: not known."""
    partial_segments: int = 0
    """Segments of which some streams have been sent and others wait."""
