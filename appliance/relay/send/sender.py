"""Sends the spool's segments to one destination: threads, waiting, stopping.

A few threads share what waits: each takes the next push (`send/queue.py` says which), delivers it
(`send/delivery.py`) and looks again. One more thread watches the spool for new segments and the files
with credentials for changes. While Loki fails, one push at a time is tried. Nothing leaves the
spool before Loki has taken it or it is kept as a dead letter.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from appliance.config import model
from appliance.relay.send.delivery import Delivery
from appliance.relay.send.destination import Batches, Destination
from appliance.relay.send.queue import PushQueue
from appliance.relay.send.request import PushRequest
from appliance.relay.send.stats import SenderStats
from appliance.relay.spool.dead_letters import DeadLetters
from appliance.relay.spool.spool import Segment

log = logging.getLogger(__name__)

_WATCH = 0.25
"""Seconds between two looks at what does not announce itself."""
_LONGEST_WAIT = 5.0
_DROPPED = 1000
"""Segments dropped by the spool that may be waited for in vain."""
_DROP_ORDER = ("facility", "level", "application", "host")


class Sender:
    """Sends what is in the spool to one destination until it is stopped."""

    def __init__(
        self,
        loki: model.Loki,
        spool: Batches,
        *,
        dead_letters: DeadLetters,
        name: str = "loki",
        drop_order: Sequence[str] = _DROP_ORDER,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.destination = Destination(name, loki, spool, dead_letters, drop_order, now=now, clock=clock)
        self._changed = threading.Condition(self.destination.lock)
        self._spool = spool
        self._seen = 0
        self._stopping = False
        self._in_flight = 0
        self._threads: list[threading.Thread] = []
        self._workers = 0

    @property
    def stats(self) -> SenderStats:
        return self.destination.stats

    def alive(self) -> bool:
        """Return whether all threads run that should."""
        return sum(thread.is_alive() for thread in self._threads) > self._workers

    # ---- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the threads; what is in the spool goes first."""
        self._take_new(self._spool.segments())
        self._run(f"{self.destination.name}-watch", self._watch)
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
            self.destination.client.abort()
            alive = [thread for thread in self._threads if thread.is_alive()]
            if not alive or time.monotonic() >= deadline:
                break
            alive[0].join(0.05)
        self.destination.client.close()

    def reload(self, loki: model.Loki, drop_order: Sequence[str] | None = None) -> None:
        """Take new settings; all waits end and what waits is tried at once."""
        old = self.destination.configure(loki, drop_order)
        with self._changed:
            self._changed.notify_all()
        self._start_workers()
        old.close()

    def _start_workers(self) -> None:
        while self._workers < self.destination.loki.connections:
            self._workers += 1
            self._run(f"{self.destination.name}-{self._workers}", self._work, self._workers)

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
            self.destination.dead_letters.try_again()
            if self.destination.client.credentials_changed():
                log.info("a file with credentials for Loki has changed")
                with self._changed:
                    for queue in self.destination.queues.values():
                        queue.hold_until = min(queue.hold_until, self.destination.clock())
                    self._changed.notify_all()

    def _take_new(self, segments: list[Segment]) -> None:
        with self._changed:
            for segment in segments:
                self.destination.queue_of(segment.tenant).waiting.append(segment)
                self._seen = max(self._seen, segment.sequence)
            self._forget_dropped()
            self._changed.notify()

    def _forget_dropped(self) -> None:
        """Wait no longer for what the spool has dropped, once that is much."""
        queues = self.destination.queues.values()
        if sum(len(queue.waiting) for queue in queues) > len(self._spool) + _DROPPED:
            kept = {segment.sequence for segment in self._spool.segments()}
            for queue in queues:
                queue.waiting = deque(segment for segment in queue.waiting if segment.sequence in kept)

    def _work(self, number: int) -> None:
        while True:
            # A fault in what waits would stay: it ends the thread, and the watchdog the process.
            found = self._wait_for_push(number)
            if found is None:
                return
            try:
                Delivery(self.destination, *found).run()
            except Exception:  # a fault with one push must not end the thread, nor lose what it carried
                log.exception("a push could not be made")
            with self._changed:
                self._in_flight = sum(len(queue.in_flight) for queue in self.destination.queues.values())
                self.destination.note_state(self._in_flight)
                self._changed.notify()

    def _wait_for_push(self, number: int) -> tuple[PushQueue, PushRequest] | None:
        """Return the next push, as soon as there is one; None when the thread is to end."""
        to = self.destination
        with self._changed:
            found, again = self._next()
            while found is None:
                if self._stopping or number > to.loki.connections:
                    self._workers -= not self._stopping
                    return None
                self._changed.wait(min(max(again - to.clock(), 0.0), _LONGEST_WAIT))
                found, again = self._next()
            self._in_flight += 1
            to.note_state(self._in_flight)
            self._changed.notify()  # there may be more for another thread
            return found

    def _next(self) -> tuple[tuple[PushQueue, PushRequest] | None, float]:
        """Return a push of some tenant, or when to look again."""
        to = self.destination
        now, again = to.clock(), float("inf")
        if self._stopping:
            return None, now
        if to.backoff.until > now:
            return None, to.backoff.until
        if to.backoff.failures and self._in_flight:
            return None, again
        for name, queue in list(to.queues.items()):
            push, later = queue.next(now, to.now() * 1000)
            if push is not None:
                if len(to.queues) > 1:  # the others come first next time
                    to.queues[name] = to.queues.pop(name)
                return (queue, push), now
            again = min(again, later)
        return None, again
