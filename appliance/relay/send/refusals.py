"""Which entries of a push Loki refused, by its rejections, and what becomes of them.

Pure. Loki names a few of the refused entries, or only their stream, or not even that; the rest follows from
the limit that was exceeded: the distributor applies it to every entry of the push alike, the ingester reports
the last stream alone. What was not refused has been stored and must not be sent again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from appliance.config.model import LokiLimits
from appliance.relay.loki.clock import NOTICEABLE
from appliance.relay.loki.limit_table import About, Learned, Reason, Stage, Then
from appliance.relay.loki.push_format import Entry, StreamPart, encode_stream, entries_of
from appliance.relay.loki.rejections import Rejection, names
from appliance.relay.send.outcome import Bound, Cutoff, Lesson, NoRoom, SlowerStream, Tally, add
from appliance.relay.send.repair import (
    REPAIRED,
    Bounds,
    add_metadata,
    broken,
    label_reason,
    reduce_labels,
    repair,
    repair_labels,
)
from appliance.relay.send.request import StreamSlice
from appliance.relay.send.stream_limits import StreamLimits

_SECOND = 1_000_000_000
_FOREVER = 1 << 62
Read = Callable[[StreamSlice], bytes]
"""The uncompressed bytes that the offsets of a slice's parts refer to."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is known besides the answer."""

    limits: LokiLimits
    now_ns: int
    drop_order: Sequence[str]
    clock_skew: float | None = None
    """Seconds that Loki's clock is ahead of ours; None if it is not known."""


@dataclass(slots=True)
class Refused:
    """What was refused of one slice. Everything else of it was stored."""

    repaired: list[tuple[str, bytes]] = field(default_factory=list)
    """Streams to send in their place: labels, and a `streams` field."""
    relabeled: list[tuple[str, bytes]] = field(default_factory=list)
    """The same under fewer labels, for want of streams: the entries themselves are as they were."""
    paced: list[StreamPart] = field(default_factory=list)
    """Parts to send again when their stream's rate allows."""
    alone: list[StreamPart] = field(default_factory=list)
    """Parts that may have been refused unseen: to send again alone."""
    waiting: list[StreamPart] = field(default_factory=list)
    """Parts of streams that Loki has no room for, and that have no label left to remove."""
    early: list[tuple[str, bytes, int]] = field(default_factory=list)
    """Entries that only Loki's clock refuses: labels, a `streams` field, and the newest timestamp."""
    dead: list[tuple[str, Entry, str]] = field(default_factory=list)
    """Entries that were repaired already and are refused all the same."""
    tally: Tally = field(default_factory=Tally)
    reduced: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = field(default_factory=dict)
    """Streams whose labels were reduced: the labels now, and those moved to metadata."""

    @property
    def any(self) -> bool:
        return bool(self.tally.rejected or self.alone)

    @property
    def number(self) -> int:
        """Return entries that were refused for sure."""
        return sum(self.tally.rejected.values())

    def count(self, reason: str, entries: int) -> None:
        if entries:
            add(self.tally.rejected, reason, entries)


class Findings:
    """The rejections of one answer, understood for the slices of its push; made before anything is learned."""

    def __init__(
        self,
        rejections: Sequence[Rejection],
        slices: Sequence[StreamSlice],
        new: set[str],
        limits: StreamLimits,
        now: float,
        rules: Rules,
        read: Read,
    ) -> None:
        ours = {part.labels for one in slices for part in one.parts}
        self._rules, self._limits, self._new = rules, limits, new
        self._rejections = rejections
        self.named = {one: names(one.stream, ours) if one.stream else set() for one in rejections}
        self._suspects: set[str] = set()
        self._rest_doubtful = False
        for one in rejections:
            if one.limit.about is About.STREAM and not self.named[one]:
                self._find_unnamed(one, ours)
        self._late: dict[int, set[int]] = {}
        distributor = [one for one in rejections if one.limit.stage is Stage.DISTRIBUTOR]
        known = Bounds.of(rules.limits, rules.now_ns).narrowed(limits.bounds.values())
        # Rejections of the ingester take the place of the distributor's, which then can only be inferred.
        self._broken = Bounds().narrowed(distributor) if distributor else known
        self._repair_to = (
            Bounds.of(rules.limits, rules.now_ns, 0.1).narrowed(limits.bounds.values()).narrowed(distributor)
        )
        edge = self._newest_taken(slices, read)
        if edge:
            self._broken = replace(self._broken, newest_ns=edge)
            self._repair_to = replace(self._repair_to, newest_ns=min(self._repair_to.newest_ns, edge))
        self._label_reasons = {one.reason for one in rejections if one.limit.about is About.LABELS}
        allowed = (one.allowed for one in rejections if one.limit.learns is Learned.LABEL_NAMES and one.allowed)
        self._label_names = min(allowed, default=0)
        # What was used up of the rate of a refused stream had been too much for any other, too.
        paced = [one for one in rejections if one.limit.then is Then.PACE]
        self._paced_for = paced[0].reason if paced else ""
        used = [limits.used(labels, now) for one in paced for labels in self.named[one]]
        self._too_fast = {labels for labels in ours if used and limits.used(labels, now) >= min(used)}

    def _find_unnamed(self, one: Rejection, ours: set[str]) -> None:
        """A stream is refused that Loki does not name, as Loki 2 does: one of the new ones, if there are any."""
        if len(ours) == 1:
            self.named[one] = ours
            return
        self._suspects |= (self._new & ours) or ours
        self._rest_doubtful |= not one.limit.rest_stored

    def _newest_taken(self, slices: Sequence[StreamSlice], read: Read) -> int:
        """Return the newest timestamp that Loki took, when it refused as many as it says for being too new; else 0."""
        refused = sum(one.ignored for one in self._rejections if one.limit.learns is Learned.NEWEST)
        if not refused:
            return 0
        for ahead in (True, False):  # those ahead of our clock, if they are enough: of all to be sure
            stamps = sorted(
                entry.timestamp_ns
                for one in slices
                for part in one.parts
                if part.newest_ns > self._rules.now_ns or not ahead
                for entry in entries_of(read(one), part)
            )
            if len(stamps) >= refused:
                return stamps[-refused] - 1
        return 0

    def lessons(self) -> tuple[Lesson, ...]:
        """Return what the limits have to learn from the answer."""
        found: list[Lesson] = [Bound(one) for one in self._rejections]
        for one, streams in self.named.items():
            for labels in sorted(streams):
                match one.limit.learns:
                    case Learned.WINDOW:
                        found.append(Cutoff(labels, one.cutoff_ns))
                    case Learned.STREAM_RATE:
                        found.append(SlowerStream(labels, one.allowed))
                    case Learned.STREAMS:
                        found.append(NoRoom(labels))
                    case _:
                        pass
        if any(one.limit.learns is Learned.STREAMS for one in self._rejections):
            found.extend(NoRoom(labels) for labels in sorted(self._suspects))
        return tuple(found)

    @property
    def short_of_streams(self) -> bool:
        """Return whether Loki refused a stream for want of room."""
        return any(one.limit.learns is Learned.STREAMS for one in self._rejections)

    def note_late(self, parts: Sequence[tuple[bytes, StreamPart]], *, merged: bool) -> None:
        """Find what was too far behind, given all parts of the push in order.

        `merged`: they went as one stream. Else each stands for itself, and Loki's rejection is about
        the last part of its stream.
        """
        for one, named in self.named.items():
            if one.limit.learns is not Learned.WINDOW:
                continue
            mine = [(body, part) for body, part in parts if part.labels in named]
            mine = mine if merged else mine[-1:]
            entries = [entries_of(body, part) for body, part in mine]
            refused = late([entry for some in entries for entry in some], one, self._limits.behind_ns)
            first = 0
            for (_, part), some in zip(mine, entries, strict=True):
                self._late[id(part)] = {index - first for index in refused if first <= index < first + len(some)}
                first += len(some)

    def refused_of(self, body: bytes, parts: Iterable[StreamPart], *, repaired: bool, stamp_ns: int) -> Refused:
        """Return what was refused of one slice; `stamp_ns` is for entries whose own timestamp is."""
        result = Refused()
        for part in parts:
            if not (self._by_stream(body, part, result) or self._by_label(body, part, result, repaired)):
                self._by_entry(body, part, result, repaired, stamp_ns)
        return result

    def _by_stream(self, body: bytes, part: StreamPart, result: Refused) -> bool:
        """Return whether the part was refused whole, for its stream."""
        if part.labels in self._too_fast:
            result.count(self._paced_for, part.entries)
            result.paced.append(part)
            return True
        for one, named in self.named.items():
            if one.limit.about is not About.STREAM or part.labels not in named:
                continue
            result.count(one.reason, part.entries)
            self._refuse_stream(one, body, part, result)
            return True
        if part.labels in self._suspects or self._rest_doubtful or (self.short_of_streams and part.labels in self._new):
            result.alone.append(part)
            return True
        return False

    def _refuse_stream(self, one: Rejection, body: bytes, part: StreamPart, result: Refused) -> None:
        match one.limit.then:
            case Then.PACE:
                result.paced.append(part)
            case Then.REDUCE | Then.RELABEL:
                reduced = reduce_labels(part.labels, self._rules.drop_order)
                if reduced is None:
                    result.waiting.append(part)
                    return
                result.reduced[part.labels] = reduced
                labels, changed = with_labels(body, part, *reduced)
                result.relabeled.append((labels, changed))
                add(result.tally.mutated, one.reason, part.entries)
                add(result.tally.mutated_bytes, one.reason, len(changed))
            case Then.DEAD_LETTER:
                result.dead.extend((part.labels, entry, one.reason) for entry in entries_of(body, part))
            case _:
                result.waiting.append(part)

    def _by_label(self, body: bytes, part: StreamPart, result: Refused, repaired: bool) -> bool:
        """Return whether the distributor refused the part for its labels."""
        if not self._label_reasons:
            return False
        reason: str | None = label_reason(part.labels, self._rules.limits, self._label_names)
        if reason not in self._label_reasons:
            named = [one.reason for one, streams in self.named.items() if part.labels in streams]
            reason = next((name for name in named if name in self._label_reasons), None)
        if reason is None:
            return False
        result.count(reason, part.entries)
        labels, moved = repair_labels(part.labels, self._rules.limits, self._rules.drop_order, self._label_names)
        if repaired or labels == part.labels:
            result.dead.extend((part.labels, entry, reason) for entry in entries_of(body, part))
        else:
            result.repaired.append(with_labels(body, part, labels, moved))
            add(result.tally.repaired, reason, part.entries)
        return True

    def _by_entry(self, body: bytes, part: StreamPart, result: Refused, repaired: bool, stamp_ns: int) -> None:
        refused = self._late.get(id(part), set())
        if not refused and not self._may_break(part):
            return
        again: list[Entry] = []
        early: list[Entry] = []
        for index, entry in enumerate(entries_of(body, part)):
            reason = Reason.TOO_FAR_BEHIND if index in refused else broken(entry, self._broken)
            if reason is None:
                continue
            result.count(reason, 1)
            if reason == Reason.TOO_NEW and self._only_for_lokis_clock(entry, repaired):
                early.append(entry)
                continue
            if repaired and tried(entry, reason):
                result.dead.append((part.labels, entry, reason))
                continue
            word = str(reason) if reason == Reason.TOO_FAR_BEHIND else ""
            fixed = repair(entry, self._repair_to, stamp_ns + len(again), word)
            if any(limit.name == reason and limit.breaks and limit.breaks(fixed, allowed)
                   for limit, allowed in self._repair_to.others):  # fmt: skip
                result.dead.append((part.labels, entry, reason))
                continue
            again.append(fixed)
            add(result.tally.repaired, reason)
            if len(fixed.line) < len(entry.line):
                add(result.tally.mutated, Reason.LINE_TOO_LONG)
                add(result.tally.mutated_bytes, Reason.LINE_TOO_LONG, len(entry.line) - len(fixed.line))
        if again:
            result.repaired.append((part.labels, encode_stream(part.labels, again)))
        if early:
            newest = max(entry.timestamp_ns for entry in early)
            result.early.append((part.labels, encode_stream(part.labels, early), newest))

    def _only_for_lokis_clock(self, entry: Entry, repaired: bool) -> bool:
        """Return whether an entry that Loki finds too new is not so by our clock: another timestamp would not help."""
        rules, stamp = self._rules, entry.timestamp_ns
        if stamp <= rules.now_ns + _SECOND or (repaired and tried(entry, Reason.TOO_NEW)):
            return True
        loki_is_behind = rules.clock_skew is not None and rules.clock_skew < -NOTICEABLE
        return loki_is_behind and stamp <= rules.now_ns + round(rules.limits.ahead * _SECOND)

    def _may_break(self, part: StreamPart) -> bool:
        bounds = self._broken
        return (
            part.oldest_ns < bounds.oldest_ns
            or part.newest_ns > bounds.newest_ns
            or part.length > min(bounds.line_size, bounds.metadata_size, bounds.metadata_count * 4)
            or bool(bounds.others)
        )


def tried(entry: Entry, reason: str) -> bool:
    """Return whether an entry is marked as repaired for such a reason."""
    words = {word for name, value in entry.metadata if name == REPAIRED for word in value.split(",")}
    if reason == Reason.LINE_TOO_LONG:
        return "cut" in words
    if reason in (Reason.METADATA_TOO_LARGE, Reason.METADATA_TOO_MANY):
        return "metadata" in words
    return not words.isdisjoint((Reason.TOO_OLD, Reason.TOO_NEW, Reason.TOO_FAR_BEHIND))


def late(entries: Sequence[Entry], rejection: Rejection, behind_ns: int) -> set[int]:
    """Return which entries of a stream were too far behind.

    Loki judges one entry after the other against the newest so far, and names the first ten it
    refused and how many there were. What it held before is not known: of the two that are possible,
    nothing newer or what the first cutoff says, the one counts that leads to the same number.
    Otherwise an entry in doubt counts as refused: twice is better than not at all.
    """
    before = rejection.first_cutoff_ns + behind_ns
    for newest in (-_FOREVER, before, before + _SECOND - 1):
        refused = _refused(entries, newest, behind_ns)
        if len(refused) == rejection.ignored:
            return refused
    listed = set(rejection.stamps_ns)
    found = {index for index, entry in enumerate(entries) if entry.timestamp_ns in listed}
    edge = rejection.cutoff_ns + _SECOND
    by_age = sorted(range(len(entries)), key=lambda index: entries[index].timestamp_ns)
    found.update(index for index in by_age if entries[index].timestamp_ns < edge)
    found.update(by_age[: max(rejection.ignored - len(found), 0)])
    return found


def _refused(entries: Sequence[Entry], newest_ns: int, behind_ns: int) -> set[int]:
    refused = set()
    for index, entry in enumerate(entries):
        if entry.timestamp_ns < newest_ns - behind_ns:
            refused.add(index)
        else:
            newest_ns = max(newest_ns, entry.timestamp_ns)
    return refused


def with_labels(
    body: bytes, part: StreamPart, labels: str, moved: Sequence[tuple[str, str]]
) -> tuple[str, bytes]:  # fmt: skip
    """Return the part under other labels, with those that were moved in each entry's metadata."""
    entries = [add_metadata(entry, moved, "labels") for entry in entries_of(body, part)]
    return labels, encode_stream(labels, entries)
