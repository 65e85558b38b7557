"""One Loki that is sent to: all that belongs to it and to nothing else.

Its connections, queues by tenant, limits, waits, dead letters and counts. There may be several of them,
each with its own position in the spool, which is known only by `Batches`. No decisions are made here.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from appliance.config import model
from appliance.relay.loki.client import LokiClient
from appliance.relay.loki.clock import NOTICEABLE
from appliance.relay.loki.response import Answer, Diagnosis, Kind
from appliance.relay.send.outcome import add
from appliance.relay.send.queue import PushQueue
from appliance.relay.send.request import Opener, RawCache
from appliance.relay.send.stats import Histogram, LastError, SenderStats
from appliance.relay.send.throttle import Backoff
from appliance.relay.spool.dead_letters import DeadLetters
from appliance.relay.spool.spool import LoadedSegment, Segment

log = logging.getLogger(__name__)

_MAX_TENANTS = 1000


class Batches(Protocol):
    """A reader's view of the spool: what this destination has not taken yet."""

    def __len__(self) -> int: ...

    def segments(self) -> list[Segment]:
        """Return all that is left, oldest first."""

    def tail(self, count: int) -> list[Segment]:
        """Return the newest `count`, oldest of them first."""

    def wait_for_new(self, after_sequence: int, timeout: float) -> bool:
        """Wait at most `timeout` seconds for a segment newer than `after_sequence`."""

    def wake(self) -> None:
        """Wake every waiting thread."""

    def holds(self, segment: Segment) -> bool:
        """Return whether the segment is still there for this reader."""

    def load(self, segment: Segment) -> LoadedSegment:
        """Its bytes. Raise SegmentUnreadable, or OSError if reading may succeed later."""

    def remove(self, segment: Segment) -> None:
        """This reader is done with it."""

    def set_aside(self, segment: Segment, reason: str) -> None:
        """It cannot be read."""


class Destination:
    """One Loki by its name and configuration. What is shared between threads is touched under `lock`."""

    def __init__(
        self,
        name: str,
        loki: model.Loki,
        spool: Batches,
        dead_letters: DeadLetters,
        drop_order: Sequence[str],
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.loki, self.spool, self.dead_letters = name, loki, spool, dead_letters
        self.drop_order = tuple(drop_order)
        self.now, self.clock = now, clock
        self.lock = threading.RLock()
        self.client = LokiClient(loki)
        self.backoff = Backoff(loki.backoff)
        self.queues: dict[str, PushQueue] = {}
        """By tenant; the empty name is the configured one."""
        self.stats = SenderStats()
        self.raw = RawCache()
        self.opener = Opener()
        self.stored = 0
        """Pushes that Loki took."""
        self.refused_in_a_row = 0
        """Pushes refused since, for reasons not understood."""

    def now_ns(self) -> int:
        """Return the time of day in Unix nanoseconds."""
        return int(self.now() * 1e9)

    def configure(self, loki: model.Loki, drop_order: Sequence[str] | None = None) -> LokiClient:
        """Take new settings; all waits end. Returns the client of before, for its caller to close."""
        client = LokiClient(loki)
        with self.lock:
            old, self.client, self.loki = self.client, client, loki
            self.backoff = Backoff(loki.backoff)
            self.refused_in_a_row = 0
            if drop_order is not None:
                self.drop_order = tuple(drop_order)
            for queue in self.queues.values():
                queue.configure(loki)
        return old

    def queue_of(self, tenant: str) -> PushQueue:
        """Return the tenant's queue; to be called under the lock."""
        queue = self.queues.get(tenant)
        if queue is None:
            if len(self.queues) >= _MAX_TENANTS:
                for name in [name for name, queue in self.queues.items() if queue.empty]:
                    del self.queues[name]
            queue = self.queues[tenant] = PushQueue(tenant, self.loki)
        return queue

    def worked(self, queue: PushQueue, size: int) -> None:
        """Loki stored something of a push of `size` uncompressed bytes."""
        self.stored += 1
        self.refused_in_a_row = 0
        self.backoff.succeeded()
        self.stats.last_success = self.now()
        queue.worked(size, self.clock())

    def note_answer(self, answer: Answer, diagnosis: Diagnosis, body_size: int, *, again: bool) -> None:
        """Count and log the answer to a push, `again` if it was tried before; to be called under the lock."""
        stats = self.stats
        stats.pushes += 1
        stats.encoded_bytes += body_size
        stats.retries += again
        add(stats.status_codes, answer.code)
        stats.request_seconds.setdefault(answer.code, Histogram()).observe(answer.seconds)
        if answer.clock_skew is not None:
            before, stats.clock_skew = stats.clock_skew, answer.clock_skew
            if abs(answer.clock_skew) >= NOTICEABLE and abs(before or 0.0) < NOTICEABLE:
                ahead = round(answer.clock_skew)
                log.warning("Loki's clock differs from ours", extra={"key": "clock", "seconds_ahead": ahead})
        if diagnosis.kind is Kind.TENANT_RATE:
            add(stats.rate_limited, "tenant")
        for kind in {one.limit.counted_429 for one in diagnosis.rejections if one.limit.counted_429}:
            add(stats.rate_limited, kind)
        if diagnosis.kind is not Kind.STORED:
            stats.last_error = LastError(self.now(), answer.code, diagnosis.cause, diagnosis.remedy)
            level = logging.ERROR if diagnosis.kind is Kind.CONFIGURATION else logging.WARNING
            log.log(
                level,
                "Loki did not take a push",
                extra={"key": str(diagnosis.kind), "cause": diagnosis.cause, "remedy": diagnosis.remedy},
            )

    def note_state(self, in_flight: int) -> None:
        """Bring what is counted about the present up to date; to be called under the lock."""
        stats, queues = self.stats, self.queues.values()
        stats.in_flight = in_flight
        stats.held_streams = sum(len(queue.held) for queue in queues)
        stats.held_for_clock = sum(queue.for_clock for queue in queues)
        stats.partial_segments = sum(len(queue.partial) for queue in queues)
        if not stats.held_streams:
            self.raw.clear()
        if not in_flight:
            self.opener.clear()
        if any(queue.hold_until and not queue.empty for queue in queues):
            stats.state = "held"
        elif self._failing(queues):
            stats.state = "waiting"
        else:
            stats.state = "ok" if stats.last_success else "idle"

    def _failing(self, queues: Iterable[PushQueue]) -> bool:
        return bool(
            self.backoff.failures or self.refused_in_a_row or any(queue.pace.backoff.failures for queue in queues)
        )
