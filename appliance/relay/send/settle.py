"""What becomes of a push, by Loki's answer. Pure: from values to a `Ruling`, which `delivery.py` applies.

What an answer means is `loki/response.py`, which entries it refused `refusals.py`, how they are repaired
`repair.py`. Nothing here changes the push, its queue or the limits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from appliance.config.model import Loki
from appliance.relay.loki.limit_table import Reason, Then
from appliance.relay.loki.push_format import encode_stream, entries_of, halves
from appliance.relay.loki.response import Answer, Diagnosis, Failure, Kind
from appliance.relay.send.outcome import (
    BodySize,
    DeadLetter,
    Done,
    Hold,
    Lesson,
    Letter,
    PushSize,
    Queued,
    Reduced,
    Replace,
    Retry,
    Ruling,
    Split,
    Tally,
    add,
)
from appliance.relay.send.refusals import Findings, Read, Refused, with_labels
from appliance.relay.send.repair import Bounds, cut, repair, repair_labels
from appliance.relay.send.request import NEW, History, PushRequest, StreamSlice, in_chunks, in_two
from appliance.relay.send.stream_limits import StreamLimits

MAX_REFUSALS = 40
"""Pushes refused in a row, for reasons not understood, before the configuration is suspected."""
LONGEST_WAIT = 30.0
"""Seconds between tries of what is refused without a reason that is known."""
_ENTRY_TRIES = 3
_SPLIT_AFTER = 8
"""Failures of one push, while others succeed, before it is taken apart."""
_GIVE_UP_AFTER = 50
"""The same for a push of a single entry."""
_SLOWER = 3
"""Refusals for the tenant's rate after which a push is made smaller: one over the burst would never pass."""
_UNEXPLAINED = 6
"""Refusals by a 429 that says nothing after which a single stream is thought to be what is refused."""
_SMALL = 64 * 1024
"""Bytes of an entry that nothing can honestly call too large."""
_SMALL_BODY = 32768
_NO_ROOM = 60.0
"""Seconds between tries for a stream that Loki has no room for."""
_STAND_BACK = 5.0
"""The same while it is not known whether Loki takes any other."""
_PACED = 0.05
"""Seconds at least before a stream that was over its rate goes on; how long is for its queue to say."""
_CLOCK_FIRST, _CLOCK_LONGEST = 2.0, 30.0
"""Seconds between tries of what only Loki's clock refuses."""
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when an answer is judged, besides the push and the answer."""

    loki: Loki
    drop_order: Sequence[str]
    limits: StreamLimits
    """Read only; what the answer teaches is known already."""
    read: Read
    now_ns: int
    """Time of day, Unix nanoseconds."""
    pushed_ns: int
    body_size: int
    """Bytes of the request's body."""
    stored: int
    """Pushes that Loki has taken."""
    refused_in_a_row: int
    """Pushes refused since, for reasons not understood."""
    wait: float
    """Seconds until the destination may be tried again after a failure."""
    clock_skew: float | None = None


def settle(push: PushRequest, answer: Answer, diagnosis: Diagnosis, findings: Findings | None, at: Situation) -> Ruling:
    """Return what becomes of the push. `findings` are of the answer's rejections, when it is PARTIAL."""
    match diagnosis.kind:
        case Kind.STORED:
            return Ruling(Done())
        case Kind.PARTIAL:
            assert findings is not None
            return _partial(push, diagnosis, findings, at)
        case Kind.TENANT_RATE:
            return _too_fast(push, diagnosis, at)
        case Kind.TOO_LARGE:
            return _too_large(push, answer, diagnosis, at)
        case Kind.REFUSED:
            return _refused(push, diagnosis, at)
        case Kind.CONFIGURATION:
            return Ruling(Hold())
        case Kind.RETRY:
            return _later(push, answer, at)


# ---- later, or smaller -------------------------------------------------------------------------


def _later(push: PushRequest, answer: Answer, at: Situation) -> Ruling:
    """Loki, or what stands before it, failed."""
    if answer.failure is Failure.STOPPED:
        return Ruling(Retry())
    first = push.slices[0].history
    others_succeed = 0 <= first.stored_seen < at.stored
    now = replace(
        first, failures=first.failures + 1, tries=first.tries + others_succeed, stored_seen=at.stored
    )  # fmt: skip
    histories = (now, *(one.history for one in push.slices[1:]))
    if answer.failure is not None or not others_succeed or now.tries < _SPLIT_AFTER:
        # Every other time another push is tried, so that one that cannot be sent does not block the rest.
        delay = at.wait + (0.2 if now.failures % 2 == 0 else 0.0)
        if others_succeed:
            delay = min(at.loki.backoff.min * 2.0**now.tries, at.loki.backoff.max)
        recharge = answer.failure in (Failure.TIMEOUT, Failure.RESET)
        return Ruling(Retry(delay, recharge=recharge), histories=histories)
    # This push alone fails again and again.
    if push.entries > 1 or now.tries >= _GIVE_UP_AFTER:
        return _take_apart(push, "server_error", at, histories)
    return Ruling(Retry(at.loki.backoff.max), histories=histories)


def _too_fast(push: PushRequest, diagnosis: Diagnosis, at: Situation) -> Ruling:
    """The tenant is over its rate: nothing was stored, as far as the answer can be trusted."""
    first = push.slices[0].history
    refusals = first.refusals + 1
    seen = first.stored_seen if first.refusals else at.stored
    histories = tuple(replace(one.history, refusals=refusals, stored_seen=seen) for one in push.slices)
    if not diagnosis.explained and refusals >= _UNEXPLAINED:
        parts = [(one, part) for one in push.slices for part in one.parts]
        if len({part.labels for _, part in parts}) == 1:
            # Whatever it means, it must not stand before the streams that Loki does take.
            waiting = tuple(one.alone(part) for one, part in parts)
            for one in waiting:
                one.history = replace(NEW, refusals=_UNEXPLAINED - 1, stored_seen=at.stored)
            delay = _NO_ROOM if seen < at.stored else _STAND_BACK
            return Ruling(Replace((Queued(parts[0][1].labels, waiting, delay),)))
    after = _SLOWER if diagnosis.explained else _SLOWER - 1
    if refusals % after == 0 and push.entries > 1:
        return Ruling(_halved(push, at), histories=histories)
    return Ruling(Retry(), histories=histories)


def _too_large(push: PushRequest, answer: Answer, diagnosis: Diagnosis, at: Situation) -> Ruling:
    lessons: tuple[Lesson, ...] = ()
    if diagnosis.allowed:
        lessons = (PushSize(diagnosis.allowed),)
    elif answer.status == 413 and at.body_size > _SMALL_BODY:
        lessons = (BodySize(at.body_size),)
    if push.entries > 1:
        return Ruling(_halved(push, at), lessons)
    one = push.slices[0]
    if push.size < _SMALL or one.repaired:
        histories = _doubted(push, at)
        return _single_refused(push, "too_large", at, histories, lessons)
    part = one.parts[0]
    entry = entries_of(at.read(one), part)[0]
    shorter = entry._replace(line=cut(entry.line, max(len(entry.line) // 2, 1024)))
    body = encode_stream(part.labels, [repair(shorter, Bounds(), 0)])
    tally = Tally()
    add(tally.repaired, "too_large")
    add(tally.mutated, Reason.LINE_TOO_LONG)
    add(tally.mutated_bytes, Reason.LINE_TOO_LONG, len(entry.line) - len(shorter.line))
    again = one.altered(body, repaired=len(entry.line) <= 2 * _SMALL)
    return Ruling(Replace((Queued(part.labels, (again,)),)), lessons, tally)


# ---- refused as a whole ------------------------------------------------------------------------


def _refused(push: PushRequest, diagnosis: Diagnosis, at: Situation) -> Ruling:
    """Nothing was stored, for something that single streams or entries carry."""
    first = next(iter(diagnosis.rejections), None)
    one = push.slices[0]
    parts = one.parts
    if first and first.limit.then is Then.RELABEL and len(push.slices) == len(parts) == 1 and not one.repaired:
        labels, moved = repair_labels(parts[0].labels, at.loki.limits, at.drop_order)
        if labels != parts[0].labels:
            labels, body = with_labels(at.read(one), parts[0], labels, moved)
            tally = Tally()
            add(tally.rejected, first.reason, push.entries)
            add(tally.repaired, first.reason, push.entries)
            return Ruling(Replace((Queued(labels, (one.altered(body, repaired=True),)),)), tally=tally)
    return _take_apart(push, first.reason if first else "refused", at)


def _take_apart(push: PushRequest, reason: str, at: Situation, histories: tuple[History, ...] = ()) -> Ruling:
    """Find out by halving which entry it is that is refused without a reason we know."""
    histories = _doubted(push, at, histories)
    if at.refused_in_a_row >= MAX_REFUSALS:
        return Ruling(Hold(), histories=histories, unexplained=True)
    if push.entries > 1:
        return Ruling(_halved(push, at, histories), histories=histories, unexplained=True)
    if push.entries == 1:
        return replace(_single_refused(push, reason, at, histories), unexplained=True)
    return Ruling(Replace(()), unexplained=True)  # nothing in it that could be lost


def _doubted(push: PushRequest, at: Situation, histories: tuple[History, ...] = ()) -> tuple[History, ...]:
    histories = histories or tuple(one.history for one in push.slices)
    return tuple(history.doubted(at.stored) for history in histories)


def _halved(push: PushRequest, at: Situation, histories: tuple[History, ...] = ()) -> Split | Replace:
    """Return the push as two that are half as large."""
    if push.stream is not None and len(push.slices) > 1:
        return Split(tuple((one,) for one in push.slices))
    pair = in_two(push.slices, histories) if push.stream is None else None
    if pair is not None:
        return Split(pair)
    one = push.slices[0]
    part = one.parts[0]
    bodies = halves(at.read(one), part)
    assert bodies is not None
    history = histories[0] if histories else None
    return Replace((Queued(part.labels, tuple(one.altered(body, repaired=False, history=history) for body in bodies)),))


def _single_refused(
    push: PushRequest, reason: str, at: Situation, histories: tuple[History, ...], lessons: tuple[Lesson, ...] = ()
) -> Ruling:
    """A single entry is refused, and not for what it is, as far as we know."""
    one, history = push.slices[0], replace(histories[0], tries=histories[0].tries + 1)
    # While Loki takes nothing else, the fault may as well be Loki's, or of what stands before it.
    if history.tries < _ENTRY_TRIES or at.stored == history.doubted_at:
        delay = min(2.0 ** min(history.tries, 10) * 0.25, LONGEST_WAIT)
        return Ruling(Retry(delay), lessons, histories=(history, *histories[1:]))
    part = one.parts[0]
    letters = tuple(Letter(one.ref, part.labels, entry, reason) for entry in entries_of(at.read(one), part))
    return Ruling(DeadLetter(letters), lessons)


# ---- refused in part ---------------------------------------------------------------------------


def _partial(push: PushRequest, diagnosis: Diagnosis, findings: Findings, at: Situation) -> Ruling:
    """Some streams or entries were refused, the rest was stored."""
    parts = [(at.read(one), part) for one in push.slices for part in one.parts]
    findings.note_late(parts, merged=push.stream is not None)
    refused = []
    for one in push.slices:
        newest = max((at.limits.newest_ns(part.labels) for part in one.parts), default=0)
        stamp = receipt_stamp(one, newest, at.loki.limits.oldest, at.limits.behind_ns, at.now_ns)
        found = findings.refused_of(at.read(one), one.parts, repaired=one.repaired, stamp_ns=stamp)
        refused.append((one, found))
    if not any(found.any for _, found in refused):
        return _take_apart(push, diagnosis.rejections[0].reason, at)
    tally, lessons = Tally(), list[Lesson]()
    queued: list[Queued] = []
    letters: list[Letter] = []
    for one, found in refused:
        _merge(tally, found.tally)
        lessons.extend(Reduced(labels, to, moved) for labels, (to, moved) in found.reduced.items())
        letters.extend(Letter(one.ref, labels, entry, reason) for labels, entry, reason in found.dead)
        queued.extend(_queued(one, found, tally, at))
    # Applied one after the other, each before what waits already: so the last comes first.
    number = sum(found.number for _, found in refused)
    stored = max(push.entries - number, 0)
    return Ruling(Replace(tuple(reversed(queued)), tuple(letters), stored), tuple(lessons), tally)


def _queued(one: StreamSlice, found: Refused, tally: Tally, at: Situation) -> list[Queued]:
    """Return what of a slice goes again, and when."""
    queued = [Queued(labels, (one.altered(body, repaired=True),)) for labels, body in found.repaired]
    queued += [Queued(labels, (one.altered(body, repaired=False),)) for labels, body in found.relabeled]
    largest = at.limits.largest_part
    for part in found.paced:
        again: tuple[StreamSlice, ...] = (one.alone(part),)
        if part.length > largest and part.entries > 1:
            again = tuple(in_chunks(one, at.read(one), part, largest))
        queued.append(Queued(part.labels, again, _PACED))
    queued += [Queued(part.labels, (one.alone(part),)) for part in found.alone]
    queued += [Queued(part.labels, (one.alone(part),), _NO_ROOM) for part in found.waiting]
    for labels, body, newest_ns in found.early:
        early = one.altered(body, repaired=False)
        early.for_clock = True
        early.history = replace(early.history, held=one.history.held + 1)
        if not one.for_clock:
            add(tally.held, Reason.TOO_NEW, early.entries)
        queued.append(Queued(labels, (early,), _clock_wait(newest_ns, early.history.held, at)))
    return queued


def _clock_wait(newest_ns: int, times: int, at: Situation) -> float:
    """Return seconds until Loki's clock takes a timestamp; not long, for the clock may be set right at any time."""
    longest = min(_CLOCK_FIRST * 2.0 ** min(times - 1, 10), _CLOCK_LONGEST)
    if at.clock_skew is None:
        return longest
    taken_until = at.now_ns / _SECOND + at.clock_skew + at.loki.limits.ahead
    return min(max(newest_ns / _SECOND - taken_until, _CLOCK_FIRST), longest)


def receipt_stamp(one: StreamSlice, newest_ns: int, oldest: float, behind_ns: int, now_ns: int) -> int:
    """Return the timestamp for entries whose own is refused: when they were received, as near as Loki takes it.

    `newest_ns` is the newest sent of the stream, `oldest` and `behind_ns` are Loki's limits.
    """
    received = one.ref.segment.created_ms * 1_000_000
    if received < now_ns - round(oldest * 0.8e9):
        received = now_ns
    # Well within the window, but not in the future, where the window does not ask for it.
    earliest = min(newest_ns - behind_ns // 2, max(now_ns, newest_ns - behind_ns + _SECOND))
    return min(max(received, earliest), max(now_ns, newest_ns))


def _merge(tally: Tally, more: Tally) -> None:
    for name in Tally.__slots__:
        for reason, number in getattr(more, name).items():
            add(getattr(tally, name), reason, number)
