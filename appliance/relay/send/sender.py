"""Hands the spool's segments to Loki: threads, waiting, stopping.

A few threads share what waits: each takes the next parcel (`send/queue.py` says which), delivers it
(`send/delivery.py`) and looks again. One more thread watches the spool for new segments and the files
with credentials for changes. While Loki fails, one parcel at a time is tried. Nothing leaves the
spool before Loki has taken it or it is kept as a dead letter.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from appliance.config import model
from appliance.relay.loki.client import LokiClient
from appliance.relay.send.delivery import Delivery
from appliance.relay.send.errand import Shared
from appliance.relay.send.queue import Tenant
from appliance.relay.send.request import Parcel
from appliance.relay.send.stats import SenderStats, State
from appliance.relay.send.throttle import Backoff
from appliance.relay.spool.dead_letters import DeadLetters
from appliance.relay.spool.spool import Segment, Spool

log = logging.getLogger(__name__)

_WATCH = 0.25
"""Seconds between two looks at what does not announce itself."""
_LONGEST_WAIT = 5.0
_MAX_TENANTS = 1000
_DROPPED = 1000
"""Segments given up by the spool that may be waited for in vain."""
_DROP_ORDER = ("facility", "level", "application", "host")


class Sender:
    """Sends what is in the spool until it is stopped."""

    def __init__(
        self,
        loki: model.Loki,
        spool: Spool,
        *,
        dead_letters: DeadLetters,
        drop_order: Sequence[str] = _DROP_ORDER,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = Shared(
            loki, LokiClient(loki), spool, dead_letters, tuple(drop_order), Backoff(loki.backoff), now, clock
        )
        self._changed = threading.Condition(self._shared.lock)
        self._spool = spool
        self._seen = 0
        self._stopping = False
        self._in_flight = 0
        self._idle_workers = 0
        self._threads: list[threading.Thread] = []
        self._workers = 0

    @property
    def stats(self) -> SenderStats:
        return self._shared.stats

    def alive(self) -> bool:
        """Whether all threads run that should."""
        return sum(thread.is_alive() for thread in self._threads) > self._workers

    # ---- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the threads; what is in the spool goes first."""
        self._take_new(self._spool.segments())
        self._run("loki-watch", self._watch)
        self._start_workers()

    def stop(self, timeout: float = 2.0) -> None:
        """End all threads, cutting what is in flight; what was not answered stays in the spool."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._spool.wake()
        # A grace for answers that are about to come: each one spares a duplicate after the restart.
        while self._in_flight and time.monotonic() < deadline - timeout / 2:
            time.sleep(0.01)
        while True:
            self._shared.client.abort()
            alive = [thread for thread in self._threads if thread.is_alive()]
            if not alive or time.monotonic() >= deadline:
                break
            alive[0].join(0.05)
        self._shared.client.close()

    def reload(self, loki: model.Loki, drop_order: Sequence[str] | None = None) -> None:
        """Take new settings; all waits end and what waits is tried at once."""
        client = LokiClient(loki)
        with self._changed:
            shared = self._shared
            old, shared.client, shared.loki = shared.client, client, loki
            shared.backoff = Backoff(loki.backoff)
            shared.refused_in_a_row = 0
            if drop_order is not None:
                shared.drop_order = tuple(drop_order)
            for tenant in shared.tenants.values():
                tenant.configure(loki)
            self._changed.notify_all()
        self._start_workers()
        old.close()

    def _start_workers(self) -> None:
        while self._workers < self._shared.loki.connections:
            self._workers += 1
            self._run(f"loki-{self._workers}", self._work, self._workers)

    def _run(self, name: str, target: Callable[..., None], *arguments: int) -> None:
        thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    # ---- the threads ---------------------------------------------------------------------------

    def _watch(self) -> None:
        """Bring new segments to the workers; end a hold when credentials change."""
        while not self._stopping:
            if self._spool.wait_for_new(self._seen, _WATCH):
                count = 16
                while len(found := self._spool.tail(count)) == count and found[0].sequence > self._seen + 1:
                    count *= 4
                self._take_new([segment for segment in found if segment.sequence > self._seen])
            self._shared.dead_letters.try_again()
            if self._shared.client.credentials_changed():
                log.info("a file with credentials for Loki has changed")
                with self._changed:
                    for tenant in self._shared.tenants.values():
                        tenant.hold_until = min(tenant.hold_until, self._shared.clock())
                    self._changed.notify_all()

    def _take_new(self, segments: list[Segment]) -> None:
        with self._changed:
            for segment in segments:
                tenant = self._shared.tenants.get(segment.tenant)
                if tenant is None:
                    self._forget_tenants()
                    tenant = self._shared.tenants[segment.tenant] = Tenant(segment.tenant, self._shared.loki)
                tenant.waiting.append(segment)
                self._seen = max(self._seen, segment.sequence)
            self._forget_dropped()
            self._changed.notify()

    def _forget_dropped(self) -> None:
        """Wait no longer for what the spool has given up, once that is much."""
        tenants = self._shared.tenants.values()
        if sum(len(tenant.waiting) for tenant in tenants) > len(self._spool) + _DROPPED:
            kept = {segment.sequence for segment in self._spool.segments()}
            for tenant in tenants:
                tenant.waiting = deque(segment for segment in tenant.waiting if segment.sequence in kept)

    def _forget_tenants(self) -> None:
        if len(self._shared.tenants) >= _MAX_TENANTS:
            for name in [name for name, tenant in self._shared.tenants.items() if tenant.empty]:
                del self._shared.tenants[name]

    def _work(self, number: int) -> None:
        while True:
            # A fault in what waits would stay: it ends the thread, and the watchdog the process.
            found = self._wait_for_parcel(number)
            if found is None:
                return
            try:
                Delivery(self._shared, *found).run()
            except Exception:  # a fault with one push must not end the thread, nor lose what it carried
                log.exception("a push could not be made")
            with self._changed:
                self._in_flight = sum(len(tenant.in_flight) for tenant in self._shared.tenants.values())
                self._set_state()
                self._changed.notify()

    def _wait_for_parcel(self, number: int) -> tuple[Tenant, Parcel] | None:
        """The next parcel, as soon as there is one; None when the thread is to end."""
        with self._changed:
            found, again = self._next()
            while found is None:
                if self._stopping or number > self._shared.loki.connections:
                    self._workers -= not self._stopping
                    return None
                self._changed.wait(min(max(again - self._shared.clock(), 0.0), _LONGEST_WAIT))
                found, again = self._next()
            self._in_flight += 1
            self._set_state()
            self._changed.notify()  # there may be more for another thread
            return found

    def _next(self) -> tuple[tuple[Tenant, Parcel] | None, float]:
        """A parcel of some tenant, or when to look again."""
        shared = self._shared
        now, again = shared.clock(), float("inf")
        if self._stopping:
            return None, now
        if shared.backoff.until > now:
            return None, shared.backoff.until
        if shared.backoff.failures and self._in_flight:
            return None, again
        for name, tenant in list(shared.tenants.items()):
            parcel, later = tenant.next(now, shared.now() * 1000)
            if parcel is not None:
                if len(shared.tenants) > 1:  # the others come first next time
                    shared.tenants[name] = shared.tenants.pop(name)
                return (tenant, parcel), now
            again = min(again, later)
        return None, again

    def _set_state(self) -> None:
        stats, tenants = self._shared.stats, self._shared.tenants.values()
        stats.in_flight = self._in_flight
        stats.held_streams = sum(len(tenant.held) for tenant in tenants)
        if not stats.held_streams:
            self._shared.raw.clear()
        if not self._in_flight:
            self._shared.opener.clear()
        stats.partial_segments = sum(len(tenant.partial) for tenant in tenants)
        state: State
        if any(tenant.hold_until and not tenant.empty for tenant in tenants):
            state = "held"
        elif (
            self._shared.backoff.failures
            or self._shared.refused_in_a_row
            or any(tenant.pace.backoff.failures for tenant in tenants)
        ):
            state = "waiting"
        else:
            state = "ok" if stats.last_success else "idle"
        stats.state = state
