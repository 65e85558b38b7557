"""How fast to push: waits between tries while Loki fails, and a tenant's rate while it says "slower".

Pure but for the random numbers, which are passed in; times are Unix seconds.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.config.model import Backoff as BackoffSettings


@dataclass(slots=True)
class Backoff:
    """Exponential waits with full jitter (Brooker, "Exponential Backoff and Jitter"), forever."""

    settings: BackoffSettings
    jitter: Callable[[], float] = random.random
    failures: int = 0
    until: float = 0.0

    def failed(self, now: float, retry_after: float | None = None) -> None:
        """Wait longer than last time, and at least as long as was asked for."""
        longest = min(self.settings.max, self.settings.min * 2.0 ** min(self.failures, 60))
        self.failures += 1
        # A floor of a tenth keeps a lucky draw from being no wait at all.
        wait = longest * (0.1 + 0.9 * self.jitter())
        self.until = now + max(wait, (retry_after or 0.0) * (1.0 + 0.1 * self.jitter()))

    def succeeded(self) -> None:
        self.failures = 0
        self.until = 0.0


@dataclass(slots=True)
class Pace:
    """One tenant's pushes in flight and bytes a second: cut when Loki says 429, grown when it takes all."""

    most: int
    backoff: Backoff
    in_flight_limit: float = field(init=False)
    rate: float = 0.0
    """Bytes a second; 0 while there is no reason for a limit."""
    ceiling: float = 0.0
    paid_until: float = 0.0
    taken: float = 0.0
    """Bytes that Loki took in the current measuring period."""
    taken_since: float = 0.0

    def __post_init__(self) -> None:
        self.in_flight_limit = float(self.most)

    def ready_at(self, now: float) -> float:
        """When the next push may start."""
        # A second's worth may go at once.
        paced = self.paid_until - 1.0 if self.rate else 0.0
        return max(now, self.backoff.until, paced)

    def charge(self, size: int, now: float) -> None:
        """A push of `size` uncompressed bytes starts."""
        if self.rate:
            self.paid_until = max(self.paid_until, now) + size / self.rate

    def stored(self, size: int, now: float) -> None:
        """Loki took a push."""
        self.backoff.succeeded()
        self.in_flight_limit = min(float(self.most), self.in_flight_limit + 0.5)
        if now - self.taken_since > 10.0 or now < self.taken_since:
            self.taken, self.taken_since = 0.0, now
        self.taken += size
        if self.rate:
            self.rate *= 1.01
            if self.rate > 2.0 * self.ceiling:
                self.rate = 0.0  # Loki has long been taking more than it once said

    def refused(self, limit: int, retry_after: float | None, now: float) -> None:
        """Loki said that the tenant is over its rate of `limit` bytes a second (0: not said)."""
        self.in_flight_limit = max(1.0, self.in_flight_limit / 2)
        measured = self.taken / max(now - self.taken_since, 1.0)
        wanted = limit * 0.95 if limit else max(self.rate or measured, 10_000.0) * 0.7
        self.rate = min(wanted, self.rate * 0.9) if self.rate and not limit else wanted
        self.ceiling = self.rate
        self.backoff.failed(now, retry_after)
