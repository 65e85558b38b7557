"""One parcel under way: what all steps of its delivery share.

The pieces are taken, put back or replaced here, so that none is ever forgotten. What is shared
between threads (`Shared`) is touched under its lock.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from appliance.config import model
from appliance.relay.loki.client import LokiClient
from appliance.relay.loki.push_format import Entry
from appliance.relay.loki.response import Answer
from appliance.relay.send.queue import Tenant
from appliance.relay.send.request import Cargo, Carriage, Opener, Parcel, Piece, RawCache
from appliance.relay.send.stats import SenderStats, add
from appliance.relay.send.throttle import Backoff
from appliance.relay.spool.dead_letters import DeadLetter, DeadLetters
from appliance.relay.spool.spool import Spool

log = logging.getLogger(__name__)

_SECOND = 1_000_000_000
HOLD = 30.0
"""Seconds between tries while the configuration is wrong; the first ones come sooner."""


@dataclass(slots=True)
class Shared:
    """What all threads of a sender share."""

    loki: model.Loki
    client: LokiClient
    spool: Spool
    dead_letters: DeadLetters
    drop_order: Sequence[str]
    backoff: Backoff
    now: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    lock: threading.RLock = field(default_factory=threading.RLock)
    stats: SenderStats = field(default_factory=SenderStats)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    raw: RawCache = field(default_factory=RawCache)
    opener: Opener = field(default_factory=Opener)
    stored: int = 0
    """Pushes that Loki took."""
    refused_in_a_row: int = 0

    def now_ns(self) -> int:
        return int(self.now() * 1e9)


class Errand:
    """A parcel, its bytes, and the ways in which its pieces leave it."""

    def __init__(self, shared: Shared, tenant: Tenant, parcel: Parcel) -> None:
        self._shared, self._tenant, self._parcel = shared, tenant, parcel
        self._cargo = Cargo()
        self._done: list[Carriage] = []
        self._delay = 0.0
        """Seconds after which the rest of a held stream goes on."""
        self._again = False
        """The parcel is to be tried again as it is, once this errand is over."""
        self._client = shared.client
        self._body_size = 0
        self._pushed_ns = 0

    def _works(self, size: int) -> None:
        """Loki answered and stored something."""
        shared = self._shared
        shared.stored += 1
        shared.refused_in_a_row = 0
        shared.backoff.succeeded()
        self._tenant.hold_until, self._tenant.holds = 0.0, 0
        self._tenant.pace.stored(size, shared.clock())
        shared.stats.last_success = shared.now()

    def _confirm_new(self) -> None:
        """Loki answered for the last stream; if that was new, it had room for all new ones before it."""
        parcel = self._parcel
        if not parcel.new:
            return
        final = parcel.pieces[-1].parts
        if final and final[-1].labels in parcel.new:
            self._tenant.limits.confirm_streams(labels for piece in parcel.pieces for labels in piece.labels())

    def _taken(self, carriage: Carriage) -> None:
        carriage.pieces -= 1
        if carriage.pieces == 0:
            self._done.append(carriage)

    def _remove_done(self) -> None:
        for carriage in self._done:
            try:
                self._shared.spool.remove(carriage.segment)
            except OSError as error:
                log.error("a segment that was sent cannot be removed", extra={"reason": error.strerror})
        self._done.clear()

    def _put_back(self, delay: float = 0.0) -> None:
        parcel = self._parcel
        parcel.ready_at = self._shared.clock() + delay
        self._delay = delay
        self._again = True

    def _replace(self, streams: Iterable[tuple[str, list[Piece]]], delay: float = 0.0) -> None:
        """The parcel's pieces are done; others, of single streams, take their place before what waits."""
        parcel, now = self._parcel, self._shared.clock()
        if parcel.held is not None:
            self._tenant.take_out(parcel)
        self._delay = max(self._delay, delay)
        for labels, pieces in streams:
            for piece in pieces:
                piece.carriage.pieces += 1
            self._tenant.queue(labels, pieces, now, first=True, delay=delay)
        for piece in parcel.pieces:
            self._taken(piece.carriage)

    def _stamp(self, piece: Piece, newest_ns: int) -> int:
        """The time stamp for entries whose own is refused: when they were received, as near as Loki takes it."""
        now_ns = self._shared.now_ns()
        limits = self._shared.loki.limits
        received = piece.carriage.segment.created_ms * 1_000_000
        if received < now_ns - round(limits.oldest * 0.8e9):
            received = now_ns
        behind_ns = self._tenant.limits.behind_ns
        # Well within the window, but not in the future, where the window does not ask for it.
        earliest = min(newest_ns - behind_ns // 2, max(now_ns, newest_ns - behind_ns + _SECOND))
        return min(max(received, earliest), max(now_ns, newest_ns))

    def _bury(self, dead: list[tuple[Carriage, str, Entry, str]], answer: Answer) -> None:
        """Keep entries as dead letters. Until they are written their segments stay, though nothing of it is sent."""
        shared, tenant = self._shared, self._parcel.tenant or self._shared.loki.tenant or ""
        carriages = {carriage for carriage, *_ in dead}
        with shared.lock:
            for carriage in carriages:
                carriage.pieces += 1

        def buried() -> None:
            with shared.lock:
                for _, _, entry, why in dead:
                    add(shared.stats.dead_lettered, why)
                    add(shared.stats.dead_lettered_bytes, why, len(entry.line))
                for carriage in carriages:
                    self._taken(carriage)
                self._remove_done()

        letters = [DeadLetter(tenant, labels, entry, why, answer.body) for _, labels, entry, why in dead]
        if letters:
            shared.dead_letters.bury(letters, buried)
