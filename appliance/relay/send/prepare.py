"""What of a push may go as it is, and what must be repaired, split or queued by stream first.

Pure: from values to values, which `delivery.py` applies before the push. What each stream may do is
`stream_limits.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appliance.config.model import LokiLimits
from appliance.relay.loki.limit_table import Reason
from appliance.relay.loki.push_format import StreamPart, encode_raw, raw_entries
from appliance.relay.send.outcome import Prepared, Queued, Tally, add
from appliance.relay.send.refusals import Read, with_labels
from appliance.relay.send.repair import Bounds, out_of_time, restamp
from appliance.relay.send.request import Group, StreamSlice, in_chunks, in_two
from appliance.relay.send.settle import receipt_stamp
from appliance.relay.send.stream_limits import Need, Plan, StreamLimits


@dataclass(frozen=True, slots=True)
class View:
    """What is known when a push is prepared."""

    settings: LokiLimits
    limits: StreamLimits
    """Read only."""
    read: Read
    now_ns: int
    """Time of day, Unix nanoseconds."""


def set_apart(slices: Sequence[StreamSlice], plan: Plan, view: View, *, together: bool) -> Prepared:
    """Leave in the push what may go as it is; the rest queues by stream.

    `together`: repaired streams may go with this push, after all others, if their own limits allow.
    """
    owner = {id(part): one for one in slices if one.listed is not None for part in one.listed}
    final = slices[-1]
    # The last place is for a new stream, if there is one: then the answer says whether Loki has room.
    last = next(
        (part for part, need in plan.odd if need is Need.LAST and owner[id(part)] is final and not plan.new), None
    )
    together = together and last is None
    tally = Tally()
    queued: list[Queued] = []
    joining: list[StreamSlice] = []
    leaving: dict[int, set[int]] = {}
    for part, need in plan.odd:
        if part is last:
            continue
        one = owner[id(part)]
        labels, group = _apart(one, part, need, view, tally)
        if together and need is Need.REPAIR and group[0].repaired:
            joining.extend(group)
        else:
            queued.append(Queued(labels, group))
        leaving.setdefault(id(one), set()).add(part.offset)
    kept: list[StreamSlice] = []
    for one in slices:
        gone = leaving.get(id(one), set())
        if one.listed is None or (not gone and (last is None or one is not final)):
            kept.append(one)
            continue
        parts = tuple(part for part in one.parts if part.offset not in gone and part is not last)
        if last is not None and one is final:
            parts = (*parts, last)
        if parts == one.parts:
            kept.append(one)
        elif parts:
            kept.append(one.subset(parts))
    return Prepared(tuple(kept), tuple(queued), tuple(joining), tally)


def _apart(one: StreamSlice, part: StreamPart, need: Need, view: View, tally: Tally) -> tuple[str, Group]:
    """Return what queues in place of one stream of a slice, and under which labels."""
    largest = view.limits.largest_part
    if need is Need.REPAIR:
        body = _repaired(one, part, view, tally)
        if body is not None:
            return part.labels, (one.altered(body, repaired=True),)
    if need is Need.REDUCE:
        reduction = view.limits.reduction(part.labels)
        if reduction is not None:
            labels, body = with_labels(view.read(one), part, *reduction)
            add(tally.mutated, Reason.STREAM_LIMIT, part.entries)
            add(tally.mutated_bytes, Reason.STREAM_LIMIT, part.length)
            return labels, (one.altered(body, repaired=False),)
    if part.length > largest and part.entries > 1:
        return part.labels, tuple(in_chunks(one, view.read(one), part, largest))
    alone = StreamSlice(one.ref, (part,), whole=False, charged=need is Need.LAST)
    return part.labels, (alone,)


def repaired_waiting(one: StreamSlice, view: View, tally: Tally) -> StreamSlice | None:
    """Return a slice of one stream whose timestamps Loki would refuse by now, repaired; None if it may go as it is."""
    if one.repaired:
        return None
    bounds = Bounds.of(view.settings, view.now_ns, 0.05)
    for part in one.parts:
        out_of_bounds = part.oldest_ns < bounds.oldest_ns or part.newest_ns > bounds.newest_ns
        if out_of_bounds or view.limits.too_far_behind(part):
            body = _repaired(one, part, view, tally)
            if body is not None:
                repaired = one.altered(body, repaired=True, history=one.history)
                repaired.history, repaired.charged, repaired.solo = one.history, one.charged, one.solo
                return repaired
    return None


def _repaired(one: StreamSlice, part: StreamPart, view: View, tally: Tally) -> bytes | None:
    """Return the part with the timestamps replaced that Loki would refuse; None if there are none."""
    bounds = Bounds.of(view.settings, view.now_ns, 0.1)
    newest, behind_ns = view.limits.newest_ns(part.labels), view.limits.behind_ns
    edge = newest - behind_ns if newest else 0
    stamp = receipt_stamp(one, newest, view.settings.oldest, behind_ns, view.now_ns)
    number = 0
    entries: list[bytes] = []
    for entry in raw_entries(view.read(one), part):
        reason = out_of_time(entry.timestamp_ns, bounds, edge)
        if reason is None:
            entries.append(entry.field)
            continue
        number += 1
        add(tally.repaired, reason)
        entries.append(restamp(entry, bounds, stamp + number, reason))
    return encode_raw(part.labels, entries) if number else None


def new_last(slices: Sequence[StreamSlice], new: set[str]) -> list[StreamSlice] | None:
    """Return the slices with a new stream as the last of the push; None if it is, or if there is none.

    Loki makes streams in the order of the push: if there was room for the last, there was for all.
    """
    if not new or not (final := slices[-1].parts) or final[-1].labels in new:
        return None
    labels = next((part.labels for one in reversed(slices) for part in one.parts if part.labels in new), None)
    if labels is None:
        return None
    first: list[StreamSlice] = []
    moved: list[StreamSlice] = []
    for one in slices:
        mine = tuple(part for part in one.parts if part.labels == labels)
        others = tuple(part for part in one.parts if part.labels != labels)
        if not mine:
            first.append(one)
        elif one is slices[-1] and not moved:
            first.append(one.subset((*others, *mine)))
        elif others:
            moved.append(one.subset(mine))
            first.append(one.subset(others))
        else:
            moved.append(one)
    return first + moved


def within(slices: Sequence[StreamSlice], room: float) -> list[Group]:
    """Return the slices in groups of at most `room` uncompressed bytes, as far as single streams allow."""
    waiting: list[Group] = [tuple(slices)]
    groups: list[Group] = []
    while waiting:
        group = waiting.pop()
        pair = in_two(group) if _size(group) > room else None
        if pair is None:
            groups.append(group)
        else:
            waiting.extend(reversed(pair))
    return groups


def _size(slices: Iterable[StreamSlice]) -> int:
    return sum(one.size for one in slices)
