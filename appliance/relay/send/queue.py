"""What waits for one tenant of Loki, and which of it goes next.

Pure but for the values it keeps: times are passed in (`now` monotonic in seconds). Order: what was
tried before, then streams that go at their own pace, then new segments, oldest first. Fresh
segments may overtake a backlog, but only while no entry of the backlog can thereby fall out of
Loki's out-of-order window.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Iterable

from appliance.config.model import Loki
from appliance.relay.loki.push_format import StreamPart
from appliance.relay.send.request import Carriage, HeldStream, Parcel, Piece
from appliance.relay.send.stream_limits import StreamLimits
from appliance.relay.send.throttle import Backoff, Pace
from appliance.relay.spool.spool import Segment

_COMBINED = 1_500_000
"""Uncompressed bytes up to which small segments share a push."""
_COMBINED_SEGMENTS = 500
_FEW = 16
"""Waiting streams up to which pieces of several segments go together, stream by stream."""
_PARTIAL_SEGMENTS = 64
_PARTIAL_BYTES = 64 * 2**20
"""Segments, and their bytes, of which some streams wait for their pace, while more are started."""
_PARTIAL_PIECES = 16_000
"""The same for what waits of them: each piece takes about half a kibibyte of memory."""
_BACKLOG_MS = 5000
"""Age of the oldest waiting segment from which on it is a backlog that fresh ones may overtake."""
_FRESH_EVERY = 4
"""Of so many pushes during a backlog one is for fresh segments."""
_OVERTAKE = 0.8
"""Share of Loki's out-of-order window within which a backlog may be overtaken."""
_ENTRY_OVERHEAD = 32
"""Bytes that Loki adds to an entry on its way to the ingester (detected level, hashes)."""
_PUSH_MARGIN = 0.9


class Tenant:
    """One tenant's segments, parcels and limits. Not thread-safe: the sender's lock guards it."""

    def __init__(self, name: str, loki: Loki) -> None:
        self.name = name
        self.waiting: deque[Segment] = deque()
        self.retry: list[Parcel] = []
        self.held: dict[str, HeldStream] = {}
        self.in_flight: set[Parcel] = set()
        self.hold_until = 0.0
        """Until when a configuration error is waited out; 0 while there is none."""
        self.holds = 0
        """Such waits in a row."""
        self.partial: set[Carriage] = set()
        self._partial_bytes = 0
        self._partial_pieces = 0
        self._ready: list[tuple[float, int, HeldStream]] = []
        self._blocked: list[HeldStream] = []
        self._joinable: dict[Carriage, dict[str, HeldStream]] = {}
        self._number = itertools.count()
        self._turn = 0
        self._oldest: tuple[float, int] = (-1.0, 0)
        self.limits = StreamLimits(loki.limits)
        self.configure(loki)

    def configure(self, loki: Loki) -> None:
        """Take new settings; all waits start anew."""
        self.limits.configure(loki.limits)
        self.pace = Pace(loki.connections, Backoff(loki.backoff))
        self.push_limit = float(loki.limits.push_size * _PUSH_MARGIN)
        """Uncompressed bytes of a push as Loki counts them."""
        self.body_limit = float("inf")
        """Compressed bytes of a push, once a 413 has taught it."""
        self.hold_until, self.holds = 0.0, 0
        for parcel in self.retry:
            parcel.ready_at = 0.0

    @property
    def empty(self) -> bool:
        return not (self.waiting or self.retry or self.held or self.in_flight)

    # ---- what goes next ------------------------------------------------------------------------

    def next(self, now: float, now_ms: float) -> tuple[Parcel | None, float]:
        """The next parcel, and when to ask again if there is none (infinity: when something changes)."""
        if self.empty:
            return None, float("inf")
        if self.hold_until > now:
            return None, self.hold_until
        allowed = 1 if self.hold_until else int(self.pace.in_flight_limit)
        if len(self.in_flight) >= allowed:
            return None, float("inf")
        ready_at = self.pace.ready_at(now)
        if ready_at > now:
            return None, ready_at
        parcel, again = self._retried(now)
        if parcel is None:
            parcel, later = self._held(now, int(now_ms * 1e6))
            again = min(again, later)
        if parcel is None:
            parcel = self._new(now, now_ms)
        if parcel is not None:
            self.in_flight.add(parcel)
        return parcel, again

    def _retried(self, now: float) -> tuple[Parcel | None, float]:
        if not self.retry:
            return None, float("inf")
        settling = self.settling
        due = [parcel for parcel in self.retry if parcel.ready_at <= now and (parcel.planned or not settling)]
        if not due:
            return None, min((parcel.ready_at for parcel in self.retry if parcel.ready_at > now), default=float("inf"))
        parcel = min(due, key=lambda parcel: parcel.pieces[0].carriage.segment.sequence)
        self.retry.remove(parcel)
        return parcel, now

    def _held(self, now: float, now_ns: int) -> tuple[Parcel | None, float]:
        while self._ready:
            ready_at, _, stream = self._ready[0]
            if ready_at > now:
                return self._joined(now, now_ns), ready_at
            heapq.heappop(self._ready)
            if stream.in_flight or not stream.pieces or self.held.get(stream.labels) is not stream:
                continue
            if self.busy(stream.labels):
                self._blocked.append(stream)
                continue
            if self._may_join(stream, now, now_ns):
                self._joinable.setdefault(stream.pieces[0].carriage, {})[stream.labels] = stream
                continue
            pieces = self._coalesced(stream)
            needed = sum(piece.size for piece in pieces if not piece.charged)
            ready_at = self.limits.ready_at(stream.labels, needed, now)
            if ready_at > now:
                self._schedule(stream, ready_at)
                continue
            stream.in_flight = True
            return Parcel(self.name, pieces, held=stream, planned=True), now
        return self._joined(now, now_ns), float("inf")

    def _may_join(self, stream: HeldStream, now: float, now_ns: int) -> bool:
        """Whether the head of a stream's queue may go with other streams: it waits for nothing any more."""
        piece = stream.pieces[0]
        plain = len(piece.parts) == 1 and piece.body is None
        return plain and not piece.solo and self.limits.clear(piece.parts[0], now, now_ns)

    def _joined(self, now: float, now_ns: int) -> Parcel | None:
        """The heads of all queues that hold streams of the same segment and may go, as one parcel."""
        while self._joinable:
            carriage = min(self._joinable, key=lambda carriage: carriage.segment.sequence)
            candidates = list(self._joinable.pop(carriage).values())
            parts: list[StreamPart] = []
            size = 0
            for stream in candidates:
                if stream.in_flight or not stream.pieces or self.held.get(stream.labels) is not stream:
                    continue
                piece = stream.pieces[0]
                joins = piece.carriage is carriage and size < self._combined()
                if self.busy(stream.labels):
                    self._blocked.append(stream)
                    continue
                if not joins or not self._may_join(stream, now, now_ns):
                    self._schedule(stream, now)
                    continue
                part = piece.parts[0]
                parts.append(part)
                size += part.length
                if not piece.charged:
                    self.limits.charge(part, now, now_ns)
                stream.pieces.popleft()
                self._not_waiting(carriage)
                if stream.pieces:
                    self._blocked.append(stream)  # behind this very push
                else:
                    del self.held[stream.labels]
            if parts:
                carriage.pieces -= len(parts) - 1
                parts.sort(key=lambda part: part.offset)
                return Parcel(self.name, [Piece(carriage, tuple(parts), whole=False)], planned=True)
        return None

    def _coalesced(self, stream: HeldStream) -> list[Piece]:
        largest = self.limits.largest_part
        # Many streams take turns piece by piece, so that they come to the same segment at the same time.
        most = _COMBINED_SEGMENTS if len(self.held) <= _FEW else 1
        pieces: list[Piece] = []
        size = 0
        for piece in stream.pieces:
            size += piece.size
            if pieces and (piece.solo or pieces[0].solo or size > largest or len(pieces) >= most):
                break
            pieces.append(piece)
        return pieces

    def _new(self, now: float, now_ms: float) -> Parcel | None:
        if (
            self.settling
            or not self.waiting
            or len(self.partial) >= _PARTIAL_SEGMENTS
            or self._partial_bytes >= _PARTIAL_BYTES
            or self._partial_pieces >= _PARTIAL_PIECES
        ):
            return None
        started = [
            parcel.created_ms for parcel in (*self.in_flight, *self.retry) if parcel.held is None and not parcel.fresh
        ]
        latest = min(started) + self.limits.behind_ns / 2e6 if started else float("inf")
        fresh = self._fresh_turn(now, now_ms)
        segments = self._take_newest(now_ms) if fresh else self._take_oldest(latest)
        if not segments:
            return None
        return Parcel(self.name, [Piece(Carriage(segment)) for segment in segments], fresh=fresh)

    def _fresh_turn(self, now: float, now_ms: float) -> bool:
        """Whether it is the turn of the newest segments, in spite of a backlog."""
        backlog = len(self.waiting) > 1 and now_ms - self.waiting[0].created_ms > _BACKLOG_MS
        if not backlog:
            self._turn = 0
            return False
        self._turn += 1
        newest = self.waiting[-1]
        if self._turn % _FRESH_EVERY or now_ms - newest.created_ms > _BACKLOG_MS:
            return False
        oldest = min(
            self._oldest_waiting(now), min((parcel.oldest_ns for parcel in self._open()), default=newest.oldest_ns)
        )
        return newest.newest_ns - oldest < self.limits.behind_ns * _OVERTAKE

    def _open(self) -> Iterable[Parcel]:
        return itertools.chain(self.in_flight, self.retry)

    def _oldest_waiting(self, now: float) -> int:
        """Oldest time stamp of all that waits; looked up at most once a second."""
        if not 0 <= now - self._oldest[0] < 1.0:
            self._oldest = now, min(segment.oldest_ns for segment in self.waiting)
        return min(self._oldest[1], self.waiting[-1].oldest_ns)

    def _take_oldest(self, latest_ms: float) -> list[Segment]:
        taken: list[Segment] = []
        size, first = 0.0, self.waiting[0].created_ms
        while self.waiting and len(taken) < _COMBINED_SEGMENTS:
            segment = self.waiting[0]
            size += self._weight(segment)
            # A push that spans much time would keep the pushes after it waiting for its answer.
            apart = segment.created_ms - first > self.limits.behind_ns / 8e6
            if segment.created_ms > latest_ms or (taken and (size > self._combined() or apart)):
                break
            taken.append(self.waiting.popleft())
        return taken

    def _take_newest(self, now_ms: float) -> list[Segment]:
        taken: list[Segment] = []
        size = 0.0
        while self.waiting and len(taken) < _COMBINED_SEGMENTS:
            segment = self.waiting[-1]
            size += self._weight(segment)
            if taken and (size > self._combined() or now_ms - segment.created_ms > _BACKLOG_MS):
                break
            taken.append(self.waiting.pop())
        return taken[::-1]

    def _combined(self) -> float:
        return min(_COMBINED, self.push_limit)

    @staticmethod
    def _weight(segment: Segment) -> float:
        return segment.raw_size + segment.entries * _ENTRY_OVERHEAD

    def room(self, size: int, entries: int) -> float:
        """Uncompressed bytes that a push may have, when its entries are as long as in this one."""
        return self.push_limit * size / max(size + entries * _ENTRY_OVERHEAD, 1)

    @property
    def settling(self) -> bool:
        """Whether a push with new streams is in flight: what carries them, too, waits for its answer."""
        return any(parcel.new for parcel in self.in_flight)

    def busy(self, labels: str) -> bool:
        """Whether a push with entries of the stream is not answered yet."""
        return any(
            parcel.held is None and parcel.planned and parcel.carries(labels)
            for parcel in (*self.in_flight, *self.retry)
        )

    # ---- what comes back -----------------------------------------------------------------------

    def queue(self, labels: str, pieces: list[Piece], now: float, *, first: bool = False, delay: float = 0.0) -> None:
        """Let pieces of one stream go alone, in order; `first`: before what waits already."""
        stream = self.held.get(labels)
        if stream is None:
            stream = self.held[labels] = HeldStream(labels)
        self._partial_pieces += len(pieces)
        for piece in pieces:
            carriage = piece.carriage
            carriage.waiting += 1
            if carriage not in self.partial:
                self.partial.add(carriage)
                self._partial_bytes += carriage.segment.raw_size
        if first:
            stream.pieces.extendleft(reversed(pieces))
        else:
            stream.pieces.extend(pieces)
        if not stream.in_flight:
            self._schedule(stream, now + delay)

    def take_out(self, parcel: Parcel) -> None:
        """The pieces of a held stream's parcel leave its queue."""
        stream = parcel.held
        if stream is not None:
            for piece in parcel.pieces:
                stream.pieces.remove(piece)
                self._not_waiting(piece.carriage)

    def landed(self, parcel: Parcel, now: float, *, delay: float = 0.0) -> None:
        """A parcel is no longer in flight; what is left of a held stream goes on after `delay` seconds."""
        self.in_flight.discard(parcel)
        stream = parcel.held
        if stream is not None:
            stream.in_flight = False
            if not stream.pieces:
                if self.held.get(stream.labels) is stream:
                    del self.held[stream.labels]
            else:
                self._schedule(stream, now + delay)
        for blocked in self._blocked:
            self._schedule(blocked, now)
        self._blocked.clear()

    def _not_waiting(self, carriage: Carriage) -> None:
        self._partial_pieces -= 1
        carriage.waiting -= 1
        if carriage.waiting == 0 and carriage in self.partial:
            self.partial.remove(carriage)
            self._partial_bytes -= carriage.segment.raw_size

    def _schedule(self, stream: HeldStream, ready_at: float) -> None:
        stream.ready_at = ready_at
        heapq.heappush(self._ready, (ready_at, next(self._number), stream))
