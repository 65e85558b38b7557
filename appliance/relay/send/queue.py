"""What waits for one tenant of a Loki, and which of it goes next.

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
from appliance.relay.send.outcome import BodySize, Lesson, PushSize
from appliance.relay.send.request import NEVER, PushRequest, SegmentRef, StreamQueue, StreamSlice
from appliance.relay.send.stream_limits import StreamLimits
from appliance.relay.send.throttle import Backoff, Pace
from appliance.relay.spool.spool import Segment

_COMBINED = 1_500_000
"""Uncompressed bytes up to which small segments share a push."""
_COMBINED_SEGMENTS = 500
_FEW = 16
"""Waiting streams up to which slices of several segments go together, stream by stream."""
_PARTIAL_SEGMENTS = 64
_PARTIAL_BYTES = 64 * 2**20
"""Segments, and their bytes, of which some streams wait for their pace, while more are started."""
_PARTIAL_SLICES = 16_000
"""The same for what waits of them: each one takes about half a kibibyte of memory."""
_BACKLOG_MS = 5000
"""Age of the oldest waiting segment from which on it is a backlog that fresh ones may overtake."""
_FRESH_EVERY = 4
"""Of so many pushes during a backlog one is for fresh segments."""
_OVERTAKE = 0.8
"""Share of Loki's out-of-order window within which a backlog may be overtaken."""
_ENTRY_OVERHEAD = 32
"""Bytes that Loki adds to an entry on its way to the ingester (detected level, hashes)."""
_REPAIR_OVERHEAD = 96
"""Bytes by which an entry may grow when its timestamp is repaired: the one it had goes into its metadata."""
_PUSH_MARGIN = 0.9
_SMALLEST_PUSH = 16384.0
_FIRST_HOLD = 3.0
LONGEST_HOLD = 30.0
"""Seconds between tries while the configuration is wrong; the first ones come sooner."""


class PushQueue:
    """One tenant's segments, pushes and limits. Not thread-safe: the destination's lock guards it."""

    def __init__(self, name: str, loki: Loki) -> None:
        self.name = name
        self.waiting: deque[Segment] = deque()
        self.retry: list[PushRequest] = []
        self.held: dict[str, StreamQueue] = {}
        self.in_flight: set[PushRequest] = set()
        self.hold_until = 0.0
        """Until when a configuration error is waited out; 0 while there is none."""
        self.holds = 0
        """Such waits in a row."""
        self.partial: set[SegmentRef] = set()
        self._partial_bytes = 0
        self._partial_slices = 0
        self._ready: list[tuple[float, int, StreamQueue]] = []
        self._blocked: list[StreamQueue] = []
        self.for_clock = 0
        """Entries that wait because only Loki's clock refuses them."""
        self._joinable: dict[SegmentRef, dict[str, StreamQueue]] = {}
        self._number = itertools.count()
        self._turn = 0
        self._oldest: tuple[float, int] = (-1.0, 0)
        self.limits = StreamLimits(loki.limits)
        self.configure(loki)

    def configure(self, loki: Loki) -> None:
        """Use new settings; all waits start over."""
        self.limits.configure(loki.limits)
        self.pace = Pace(loki.connections, Backoff(loki.backoff))
        self.push_limit = float(loki.limits.push_size * _PUSH_MARGIN)
        """Uncompressed bytes of a push as Loki counts them."""
        self.body_limit = float("inf")
        """Compressed bytes of a push, once a 413 has taught it."""
        self.hold_until, self.holds = 0.0, 0
        for request in self.retry:
            request.ready_at = 0.0

    @property
    def empty(self) -> bool:
        return not (self.waiting or self.retry or self.held or self.in_flight)

    # ---- what goes next ------------------------------------------------------------------------

    def next(self, now: float, now_ms: float) -> tuple[PushRequest | None, float]:
        """Return the next request, and when to ask again if there is none (infinity: when something changes)."""
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
        request, again = self._retried(now)
        if request is None:
            request, later = self._held(now, int(now_ms * 1e6))
            again = min(again, later)
        if request is None:
            request = self._new(now, now_ms)
        if request is not None:
            self.in_flight.add(request)
        return request, again

    def _retried(self, now: float) -> tuple[PushRequest | None, float]:
        if not self.retry:
            return None, float("inf")
        settling = self.settling
        due = [request for request in self.retry if request.ready_at <= now and (request.planned or not settling)]
        if not due:
            return None, min(
                (request.ready_at for request in self.retry if request.ready_at > now), default=float("inf")
            )
        request = min(due, key=lambda request: request.slices[0].ref.segment.sequence)
        self.retry.remove(request)
        return request, now

    def _held(self, now: float, now_ns: int) -> tuple[PushRequest | None, float]:
        while self._ready:
            ready_at, _, stream = self._ready[0]
            if ready_at > now:
                return self._joined(now, now_ns), ready_at
            heapq.heappop(self._ready)
            if stream.in_flight or not stream.slices or self.held.get(stream.labels) is not stream:
                continue
            if self.busy(stream.labels):
                self._blocked.append(stream)
                continue
            if self._may_join(stream, now, now_ns):
                self._joinable.setdefault(stream.slices[0].ref, {})[stream.labels] = stream
                continue
            slices = self._together(stream)
            needed = sum(one.size for one in slices if not one.charged)
            ready_at = self.limits.ready_at(stream.labels, needed, now)
            if ready_at > now:
                self._schedule(stream, ready_at)
                continue
            stream.in_flight = True
            return PushRequest(self.name, slices, stream=stream, planned=True), now
        return self._joined(now, now_ns), float("inf")

    def _may_join(self, stream: StreamQueue, now: float, now_ns: int) -> bool:
        """Return whether the head of a stream's queue may go with other streams: it waits for nothing any more."""
        one = stream.slices[0]
        plain = len(one.parts) == 1 and one.body is None
        return plain and not one.solo and self.limits.clear(one.parts[0], now, now_ns)

    def _joined(self, now: float, now_ns: int) -> PushRequest | None:
        """Return the heads of all queues that hold streams of the same segment and may go, as one request."""
        while self._joinable:
            ref = min(self._joinable, key=lambda ref: ref.segment.sequence)
            candidates = list(self._joinable.pop(ref).values())
            parts: list[StreamPart] = []
            size = 0
            for stream in candidates:
                if stream.in_flight or not stream.slices or self.held.get(stream.labels) is not stream:
                    continue
                one = stream.slices[0]
                joins = one.ref is ref and size < self._combined()
                if self.busy(stream.labels):
                    self._blocked.append(stream)
                    continue
                if not joins or not self._may_join(stream, now, now_ns):
                    self._schedule(stream, now)
                    continue
                part = one.parts[0]
                parts.append(part)
                size += part.length
                if not one.charged:
                    self.limits.charge(part, now, now_ns)
                stream.slices.popleft()
                self._not_waiting(ref)
                if stream.slices:
                    self._blocked.append(stream)  # behind this very push
                else:
                    del self.held[stream.labels]
            if parts:
                ref.outstanding -= len(parts) - 1
                parts.sort(key=lambda part: part.offset)
                return PushRequest(self.name, [StreamSlice(ref, tuple(parts), whole=False)], planned=True)
        return None

    def _together(self, stream: StreamQueue) -> list[StreamSlice]:
        largest = self.limits.largest_part
        # Many streams take turns one by one, so that they come to the same segment at the same time.
        most = _COMBINED_SEGMENTS if len(self.held) <= _FEW else 1
        slices: list[StreamSlice] = []
        size = 0
        for one in stream.slices:
            size += one.size + (0 if one.repaired else one.entries * _REPAIR_OVERHEAD)
            if slices and (one.solo or slices[0].solo or size > largest or len(slices) >= most):
                break
            slices.append(one)
        return slices

    def _new(self, now: float, now_ms: float) -> PushRequest | None:
        if (
            self.settling
            or not self.waiting
            or len(self.partial) >= _PARTIAL_SEGMENTS
            or self._partial_bytes >= _PARTIAL_BYTES
            or self._partial_slices >= _PARTIAL_SLICES
        ):
            return None
        started = [
            request.created_ms
            for request in (*self.in_flight, *self.retry)
            if request.stream is None and not request.fresh
        ]
        latest = min(started) + self.limits.behind_ns / 2e6 if started else float("inf")
        fresh = self._fresh_turn(now, now_ms)
        segments = self._take_newest(now_ms) if fresh else self._take_oldest(latest)
        if not segments:
            return None
        return PushRequest(self.name, [StreamSlice(SegmentRef(segment)) for segment in segments], fresh=fresh)

    def _fresh_turn(self, now: float, now_ms: float) -> bool:
        """Return whether it is the turn of the newest segments, in spite of a backlog."""
        backlog = len(self.waiting) > 1 and now_ms - self.waiting[0].created_ms > _BACKLOG_MS
        if not backlog:
            self._turn = 0
            return False
        self._turn += 1
        newest = self.waiting[-1]
        if self._turn % _FRESH_EVERY or now_ms - newest.created_ms > _BACKLOG_MS:
            return False
        oldest = min(
            self._oldest_waiting(now), min((request.oldest_ns for request in self._open()), default=newest.oldest_ns)
        )
        return newest.newest_ns - oldest < self.limits.behind_ns * _OVERTAKE

    def _open(self) -> Iterable[PushRequest]:
        return itertools.chain(self.in_flight, self.retry)

    def _oldest_waiting(self, now: float) -> int:
        """Return oldest timestamp of all that waits; looked up at most once a second."""
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
        """Return whether a push with new streams is in flight: what carries them, too, waits for its answer."""
        return any(request.new for request in self.in_flight)

    def busy(self, labels: str) -> bool:
        """Return whether a push with entries of the stream is not answered yet."""
        return any(
            request.stream is None and request.planned and request.carries(labels)
            for request in (*self.in_flight, *self.retry)
        )

    @property
    def unanswered_ns(self) -> int:
        """Return a timestamp not newer than any in pushes of several streams that are not answered yet."""
        return min((request.oldest_ns for request in self._open() if request.stream is None and request.planned),
                   default=NEVER)  # fmt: skip

    # ---- what comes back: called by delivery.py alone -------------------------------------------

    def enqueue(self, labels: str, slices: Iterable[StreamSlice], now: float, *, first: bool, delay: float) -> None:
        """Let slices of one stream go alone, in order; `first`: before what waits already."""
        slices = list(slices)
        stream = self.held.get(labels)
        if stream is None:
            stream = self.held[labels] = StreamQueue(labels)
        self._partial_slices += len(slices)
        for one in slices:
            ref = one.ref
            ref.waiting += 1
            self.for_clock += one.entries if one.for_clock else 0
            if ref not in self.partial:
                self.partial.add(ref)
                self._partial_bytes += ref.segment.raw_size
        if first:
            stream.slices.extendleft(reversed(slices))
        else:
            stream.slices.extend(slices)
        if not stream.in_flight:
            self._schedule(stream, now + delay)

    def again(self, request: PushRequest, ready_at: float) -> None:
        """Let a push be tried again as it is, from `ready_at` on."""
        request.ready_at = ready_at
        if request.stream is None:  # what is of a stream's queue never left it
            self.retry.append(request)

    def take_out(self, request: PushRequest, slices: Iterable[StreamSlice]) -> None:
        """Slices of a stream's push leave the stream's queue."""
        stream = request.stream
        if stream is not None:
            for one in slices:
                stream.slices.remove(one)
                self.for_clock -= one.entries if one.for_clock else 0
                self._not_waiting(one.ref)

    def swap(self, request: PushRequest, old: StreamSlice, new: StreamSlice) -> None:
        """Let one slice stand in another's place, in the push and in its stream's queue."""
        request.slices[request.slices.index(old)] = new
        stream = request.stream
        if stream is not None:
            self.for_clock += (new.entries if new.for_clock else 0) - (old.entries if old.for_clock else 0)
            stream.slices[stream.slices.index(old)] = new

    def hold(self, now: float) -> None:
        """Nothing goes for a while: the configuration has to change. Longer each time."""
        self.holds += 1
        self.hold_until = now + min(_FIRST_HOLD * 2.0 ** (self.holds - 1), LONGEST_HOLD)

    def worked(self, size: int, now: float) -> None:
        """Loki stored something of a push of `size` uncompressed bytes."""
        self.hold_until, self.holds = 0.0, 0
        self.pace.stored(size, now)

    def learn(self, lesson: Lesson, now: float) -> None:
        """Change what an answer has shown to be otherwise."""
        match lesson:
            case PushSize(size):
                self.push_limit = max(min(self.push_limit, size * _PUSH_MARGIN), _SMALLEST_PUSH)
            case BodySize(size):
                self.body_limit = max(min(self.body_limit, size * 0.75), _SMALLEST_PUSH)
            case _:
                self.limits.learn(lesson, now)

    def landed(self, request: PushRequest, now: float, *, delay: float = 0.0) -> None:
        """A request is no longer in flight; what is left of a held stream goes on after `delay` seconds."""
        self.in_flight.discard(request)
        stream = request.stream
        if stream is not None:
            stream.in_flight = False
            if not stream.slices:
                if self.held.get(stream.labels) is stream:
                    del self.held[stream.labels]
            else:
                self._schedule(stream, now + delay)
        for blocked in self._blocked:
            self._schedule(blocked, now)
        self._blocked.clear()

    def _not_waiting(self, ref: SegmentRef) -> None:
        self._partial_slices -= 1
        ref.waiting -= 1
        if ref.waiting == 0 and ref in self.partial:
            self.partial.remove(ref)
            self._partial_bytes -= ref.segment.raw_size

    def _schedule(self, stream: StreamQueue, ready_at: float) -> None:
        stream.ready_at = ready_at
        heapq.heappush(self._ready, (ready_at, next(self._number), stream))
