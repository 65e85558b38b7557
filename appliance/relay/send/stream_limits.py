"""Loki's limits per stream, held on our side, because a 204 hides what Loki refused.

Pure: what was sent so far, and the time, are values; `now` is monotonic, in seconds. For each
stream of a tenant it knows a token bucket (bytes), the newest timestamp sent, and the newest that
Loki may hold, which differs while we do not know what was sent before we started. From these `plan`
says which parts of a push may go as they are; what is near a limit goes last or alone, so that
Loki's answer is about it; what is over it waits; what Loki would refuse is repaired first. The common
case, a segment of which nothing is near a limit, is one compiled pass.
Source: Loki's per_stream_rate_limit, max_chunk_age, max_global_streams_per_user.
"""

import enum
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from appliance.config.model import LokiLimits
from appliance.relay.hot import BatchStreams, Room, StreamState, charge_whole
from appliance.relay.loki.limit_table import SIZES, Learned
from appliance.relay.loki.push_format import StreamPart
from appliance.relay.loki.rejections import Rejection
from appliance.relay.send.outcome import Bound, Cutoff, Lesson, NoRoom, Reduced, SlowerStream

MARGIN = 0.9
"""Share of each limit that is used."""
_NEAR = 0.75
"""Share of a burst from which on a stream goes last."""
_GENERATION = 20_000
"""Streams after which the older half is forgotten, unless used."""
_PERIOD = 900.0
"""Seconds; a stream not used for one to two of them is forgotten, as Loki forgets it after half an hour."""
_SECOND = 1_000_000_000
_ANY_JUMP = 1 << 60
_NO_ROOM = 300.0
"""Seconds for which each new stream goes alone after Loki had no room for one."""


class Need(enum.Enum):
    """What a part needs that may not simply go."""

    LAST = "last"  # in this push, after all others
    QUEUE = "queue"  # alone, in its turn, when the rate allows
    REPAIR = "repair"  # timestamps replaced first
    SPLIT = "split"  # too large for one push of its stream
    REDUCE = "reduce"  # Loki has no room for this stream: fewer labels


@dataclass(slots=True)
class Plan:
    """`odd` holds the parts that may not simply go; `new` the streams not sent before."""

    odd: list[tuple[StreamPart, Need]] = field(default_factory=list)
    new: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    """Streams with an odd part: what follows of them in this push queues behind it."""


def _free(labels: str) -> bool:
    """No push is in the stream's way."""
    return False


class StreamLimits:
    """The streams of one tenant."""

    def __init__(self, limits: LokiLimits) -> None:
        self._streams: dict[str, StreamState] = {}
        self._generation = 0
        self._used = 0  # streams used in this generation
        self._rotated = 0.0
        self._reduced: dict[str, tuple[str, tuple[tuple[str, str], ...], float]] = {}
        self._no_room_until = float("-inf")
        self.contradicted_until = float("-inf")
        """Until when Loki's window is thought to be narrower than told: repaired entries go alone."""
        self.configure(limits)

    def configure(self, limits: LokiLimits) -> None:
        """Take new limits; what was learnt from answers about the old ones is forgotten."""
        self.limits = limits
        self.bounds: dict[str, Rejection] = {}
        """The narrowest of the distributor's rejections by reason: Loki's own limits may be lower than told."""
        self.rate = max(limits.stream_rate * MARGIN, 1.0)
        self.burst = max(limits.stream_burst * MARGIN, 1.0)
        self.behind_ns = round(limits.behind * _SECOND)
        self.window_ns = round(limits.behind * MARGIN * _SECOND)

    @property
    def largest_part(self) -> int:
        """Return bytes of one stream that may go in one push."""
        return int(min(self.burst * 0.5, self.limits.push_size * 0.5)) or 1

    def __len__(self) -> int:
        return len(self._streams)

    # ---- before a push -------------------------------------------------------------------------

    def charge_whole(
        self, streams: BatchStreams, now: float, now_ns: int, held: dict[str, Any], unanswered_ns: int = 0
    ) -> bool:
        """Charge all streams of a push if nothing at all speaks against sending it as it is.

        False, with nothing charged: its parts must be looked at one by one. `held` and `unanswered_ns` as
        for `plan`.
        """
        self._rotate(now)
        room = self._room(now, now_ns)
        if streams.newest_ns <= self._may_overtake(unanswered_ns, streams.oldest_ns):
            room.jump = _ANY_JUMP
        renewed = charge_whole(streams, self._streams, held, room, self._generation)
        self._used += max(renewed, 0)
        return renewed >= 0

    def _room(self, now: float, now_ns: int) -> Room:
        return Room(
            now,
            1.0 / self.rate,
            now + self.burst / self.rate * _NEAR,
            window=self.window_ns,
            floor=now_ns - int(self.limits.oldest * MARGIN * _SECOND),
            ceiling=now_ns + int(self.limits.ahead * MARGIN * _SECOND),
            large=self.largest_part,
        )

    def _may_overtake(self, unanswered_ns: int, oldest_ns: int) -> int:
        """Return up to which timestamp what begins at `oldest_ns` may overtake pushes that begin at `unanswered_ns`."""
        # Half of the window: a few later pushes may each go somewhat further before those are answered.
        return min(unanswered_ns + self.window_ns // 2, oldest_ns + self.window_ns)

    def plan(
        self, parts: Iterable[StreamPart], now: float, now_ns: int, held: Container[str], busy: Callable[[str], bool],
        unanswered_ns: int = 0,
    ) -> Plan:  # fmt: skip
        """Judge the parts of a push and charge those that go.

        `now_ns` is the time of day in Unix nanoseconds. `held` are streams that have parts waiting
        already, `busy` tells whether a stream has a part in a push that is not answered yet, and
        `unanswered_ns` is older than all that is in such pushes.
        """
        self._rotate(now)
        plan = Plan()
        room = self._room(now, now_ns)
        floor, ceiling = room.floor, room.ceiling
        for part in parts:
            labels, _, length, _, oldest, newest = part
            stream = self._streams.get(labels)
            if (
                stream is not None
                and max(stream.full_at, now) + length * room.per_byte <= room.near
                and stream.exists
                and oldest >= stream.newest_ns - room.window
                and (newest <= stream.newest_ns + room.jump or newest <= self._may_overtake(unanswered_ns, oldest))
                and oldest >= floor
                and newest <= ceiling
                and length <= room.large
                and labels not in held
                and labels not in plan.stopped
            ):
                self.charge(part, now, now_ns)
                continue
            in_the_way = busy if newest > self._may_overtake(unanswered_ns, oldest) else _free
            need = self._need(part, now, now_ns, floor, ceiling, held, in_the_way, plan)
            if need is not None:
                plan.odd.append((part, need))
                plan.stopped.add(labels)
            if need is None or need is Need.LAST:
                self.charge(part, now, now_ns)
        return plan

    def _need(
        self, part: StreamPart, now: float, now_ns: int, floor: int, ceiling: int,
        held: Container[str], busy: Callable[[str], bool], plan: Plan,
    ) -> Need | None:  # fmt: skip
        if part.labels in held or part.labels in plan.stopped:
            return Need.QUEUE
        if part.length > self.largest_part and part.entries > 1:
            return Need.SPLIT
        if part.oldest_ns < floor or part.newest_ns > ceiling:
            return Need.REPAIR
        stream = self._stream(part.labels)
        if stream is None:
            if now < self._reduced.get(part.labels, ("", (), now))[2]:
                return Need.REDUCE
            plan.new.add(part.labels)
            no_room = now < self._no_room_until or len(self) >= self.limits.streams * MARGIN
            if no_room or part.oldest_ns < now_ns - self.window_ns:
                # Loki may not have room for it, or hold newer entries that were sent before we started.
                return Need.QUEUE
            stream = self._begin(part, now, now_ns)
        elif not stream.exists and part.labels not in plan.new:
            # Sent before, but not answered for: only alone does the answer tell whether Loki has it.
            return Need.QUEUE
        if part.oldest_ns < stream.sent_ns - self.behind_ns:
            return Need.REPAIR
        if part.oldest_ns < stream.newest_ns - self.window_ns:
            return Need.QUEUE
        if part.newest_ns - part.oldest_ns > self.window_ns:
            return Need.QUEUE
        if part.newest_ns > stream.newest_ns + self.window_ns // 8 and busy(part.labels):
            # It must not overtake a push of the same stream that could then be too far behind.
            return Need.QUEUE
        ready = self.ready_at(part.labels, part.length, now)
        if ready > now:
            return Need.QUEUE
        full_at = max(stream.full_at, now) + part.length / self.rate
        return Need.LAST if full_at - now > self.burst / self.rate * _NEAR else None

    def ready_at(self, labels: str, length: int, now: float) -> float:
        """When so many bytes of the stream are within its rate; `now` or later."""
        stream = self._stream(labels)
        if stream is None:
            return now
        span = max(self.burst, length) / self.rate  # a single entry over the burst goes when the bucket is full
        full_at: float = max(stream.full_at, now) + length / self.rate
        return max(now, full_at - span)

    def clear(self, part: StreamPart, now: float, now_ns: int) -> bool:
        """Return whether a part that was queued may by now go together with others."""
        stream = self._stream(part.labels)
        return (
            stream is not None
            and stream.exists
            and part.length <= self.largest_part
            and part.oldest_ns >= stream.newest_ns - self.window_ns
            and part.newest_ns - part.oldest_ns <= self.window_ns
            and part.oldest_ns >= now_ns - int(self.limits.oldest * MARGIN * _SECOND)
            and part.newest_ns <= now_ns + int(self.limits.ahead * MARGIN * _SECOND)
            and max(stream.full_at, now) + part.length / self.rate <= now + self.burst / self.rate * _NEAR
        )

    def too_far_behind(self, part: StreamPart) -> bool:
        """Return whether Loki is sure to refuse entries of the part for their distance to the newest sent."""
        stream = self._stream(part.labels)
        return stream is not None and part.oldest_ns < stream.sent_ns - self.behind_ns

    def newest_ns(self, labels: str) -> int:
        """Return newest timestamp sent of a stream; 0 if none is known."""
        stream = self._stream(labels)
        return stream.sent_ns if stream is not None else 0

    def charge(self, part: StreamPart, now: float, now_ns: int) -> None:
        """Note that the part is being sent."""
        stream = self._stream(part.labels)
        if stream is None:
            stream = self._begin(part, now, now_ns)
        stream.full_at = max(stream.full_at, now) + part.length / self.rate
        stream.sent_ns = max(stream.sent_ns, part.newest_ns)
        stream.newest_ns = max(stream.newest_ns, part.newest_ns)

    # ---- after an answer -----------------------------------------------------------------------

    def learn(self, lesson: Lesson, now: float) -> None:
        """Change what an answer has shown to be otherwise."""
        match lesson:
            case Bound(rejection):
                self._learn_bound(rejection)
            case Cutoff(labels, cutoff_ns):
                self._learn_cutoff(labels, cutoff_ns, now)
            case SlowerStream(labels, allowed):
                self.learn_rate(labels, allowed, now)
            case NoRoom(labels):
                # For a while each new one goes alone, so that it is answered for.
                self._no_room_until = now + _NO_ROOM
                self._streams.pop(labels, None)
            case Reduced(labels, to, moved):
                self.reduce(labels, to, moved, now)
            case _:
                raise AssertionError(f"{lesson} is not about streams")

    def confirm(self, part: StreamPart) -> None:
        """Loki took the part when it was alone: so it takes whatever is not older."""
        stream = self._stream(part.labels)
        if stream is not None:
            stream.exists = True
            stream.newest_ns = max(stream.sent_ns, min(stream.newest_ns, part.oldest_ns + self.window_ns))

    def confirm_streams(self, streams: Iterable[str]) -> None:
        """Loki took a push with these new streams, one of them last: it had room for it, so for all before it."""
        for labels in streams:
            stream = self._stream(labels)
            if stream is not None:
                stream.exists = True

    def _learn_cutoff(self, labels: str, cutoff_ns: int, now: float) -> None:
        """Loki named the oldest timestamp that it takes for a stream."""
        stream = self._stream(labels)
        if stream is not None and cutoff_ns:
            if cutoff_ns > stream.sent_ns - self.behind_ns + _SECOND:
                self.contradicted_until = now + _PERIOD
            # Whether a newer entry or a shorter window is the cause: what counts is where the edge lies.
            stream.sent_ns = stream.newest_ns = cutoff_ns + self.behind_ns

    def _learn_bound(self, rejection: Rejection) -> None:
        """Loki's distributor named a limit that holds for every entry, and goes on to hold."""
        learns = rejection.limit.learns
        if learns in (Learned.OLDEST, Learned.OTHER):
            self.bounds[rejection.reason] = rejection
        elif learns in SIZES and rejection.allowed:
            before = self.bounds.get(rejection.reason, rejection)
            self.bounds[rejection.reason] = min(before, rejection, key=lambda one: one.allowed)

    def learn_rate(self, labels: str, limit: int, now: float) -> None:
        """Loki refused a part for its stream's rate, naming its limit in bytes a second (0: not named)."""
        if limit and limit * MARGIN < self.rate:
            self.burst = max(self.burst * limit * MARGIN / self.rate, limit * 0.1)
            self.rate = limit * MARGIN
        else:
            self.burst = max(self.burst / 2, self.rate * 0.1)
        stream = self._stream(labels)
        if stream is not None:
            stream.full_at = now + self.burst / self.rate

    def reduce(self, labels: str, to: str, moved: Sequence[tuple[str, str]], now: float) -> None:
        """Remember for some minutes that a stream goes under fewer labels."""
        if len(self._reduced) >= _GENERATION:
            self._reduced = {k: v for k, v in self._reduced.items() if v[2] > now} if now else {}
            if len(self._reduced) >= _GENERATION:
                self._reduced.clear()
        self._reduced[labels] = (to, tuple(moved), now + 300.0)

    def reduction(self, labels: str) -> tuple[str, tuple[tuple[str, str], ...]] | None:
        """Return the labels a stream goes under instead, and those moved to metadata."""
        found = self._reduced.get(labels)
        return found[:2] if found else None

    def used(self, labels: str, now: float) -> float:
        """Return bytes of the stream's burst that are used up."""
        stream = self._stream(labels)
        return max(stream.full_at - now, 0.0) * self.rate if stream is not None else 0.0

    # ---- bounded memory ------------------------------------------------------------------------

    def _begin(self, part: StreamPart, now: float, now_ns: int) -> StreamState:
        newest = max(part.newest_ns, now_ns)
        stream = self._streams[part.labels] = StreamState(now, part.newest_ns, newest, self._generation)
        self._used += 1
        return stream

    def _stream(self, labels: str) -> StreamState | None:
        stream = self._streams.get(labels)
        if stream is not None and stream.generation != self._generation:
            stream.generation = self._generation
            self._used += 1
        return stream

    def _rotate(self, now: float) -> None:
        if self._used >= _GENERATION or now - self._rotated >= _PERIOD or now < self._rotated:
            self._streams = {k: v for k, v in self._streams.items() if v.generation == self._generation}
            self._generation += 1
            self._used, self._rotated = 0, now
