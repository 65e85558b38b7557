"""Which entries of a push Loki refused, by its verdicts, and what becomes of them.

Pure. Loki names a few of the refused entries, or only their stream; the rest follows from the rule
that was broken: the distributor applies it to every entry of the push alike, the ingester reports
the last stream alone. What was not refused has been stored and must not be sent again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from appliance.config.model import LokiLimits
from appliance.relay.loki.push_format import Entry, StreamPart, encode_stream, entries_of
from appliance.relay.loki.rejections import DISTRIBUTOR, Reason, Verdict, names
from appliance.relay.send.repair import (
    REPAIRED,
    Bounds,
    add_metadata,
    broken,
    label_reason,
    mend,
    mend_labels,
    reduce_labels,
)
from appliance.relay.send.stream_limits import StreamLimits

_LABELS = frozenset((Reason.LABEL_NAMES, Reason.LABEL_LENGTH, Reason.LABEL_SYNTAX))
_SECOND = 1_000_000_000
_FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Rules:
    """What is known when an answer is sorted out."""

    limits: LokiLimits
    now_ns: int
    drop_order: Sequence[str]
    newest_taken_ns: int = 0
    """The newest time stamp that was not too new; 0 if that is not known."""


@dataclass(slots=True)
class Sorted:
    """What was refused of one piece. Everything else of it was stored."""

    mended: list[tuple[str, bytes]] = field(default_factory=list)
    """Streams to send in their place: labels, and a `streams` field."""
    paced: list[StreamPart] = field(default_factory=list)
    """Parts to send again when their stream's rate allows."""
    alone: list[StreamPart] = field(default_factory=list)
    """Parts that may have been refused unseen: to send again alone."""
    no_room: list[StreamPart] = field(default_factory=list)
    """Parts of streams that Loki has no room for, and that have no label left to give up."""
    dead: list[tuple[str, Entry, Reason]] = field(default_factory=list)
    """Entries that were mended already and are refused all the same."""
    reasons: dict[Reason, int] = field(default_factory=dict)
    """Entries refused, by reason."""
    cut: list[int] = field(default_factory=list)
    """Bytes cut off each line that was too long."""
    reduced: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = field(default_factory=dict)
    """Streams whose labels were reduced: the labels now, and those moved to metadata."""

    @property
    def refused(self) -> bool:
        return bool(self.reasons or self.alone)

    def count(self, reason: Reason, entries: int) -> None:
        if entries:
            self.reasons[reason] = self.reasons.get(reason, 0) + entries


class Sorter:
    """The verdicts of one answer, applied to the pieces of its push."""

    def __init__(
        self,
        verdicts: Sequence[Verdict],
        streams: Iterable[str],
        new: set[str],
        state: StreamLimits,
        now: float,
        rules: Rules,
    ) -> None:
        ours = set(streams)
        self._rules, self._state, self._new = rules, state, new
        self.named = {verdict: names(verdict.stream, ours) if verdict.stream else set() for verdict in verdicts}
        self._late: dict[int, set[int]] = {}
        self._reasons = {verdict.reason for verdict in verdicts}
        self._distributor = [verdict for verdict in verdicts if verdict.reason in DISTRIBUTOR]
        known = Bounds.of(rules.limits, rules.now_ns).narrowed(state.verdicts.values())
        # Verdicts of the ingester take the place of the distributor's, which then can only be inferred.
        self._broken = Bounds().narrowed(self._distributor) if self._distributor else known
        self._mend_to = (
            Bounds.of(rules.limits, rules.now_ns, 0.1).narrowed(state.verdicts.values()).narrowed(self._distributor)
        )
        if rules.newest_taken_ns:
            self._broken = replace(self._broken, newest_ns=rules.newest_taken_ns)
            self._mend_to = replace(self._mend_to, newest_ns=min(self._mend_to.newest_ns, rules.newest_taken_ns))
        self._label_names = min((v.limit for v in verdicts if v.reason is Reason.LABEL_NAMES and v.limit), default=0)
        # What was used up of the rate of a refused stream had been too much for any other, too.
        used = [state.used(labels, now) for v in verdicts if v.reason is Reason.STREAM_RATE for labels in self.named[v]]
        self._too_fast = {labels for labels in ours if used and state.used(labels, now) >= min(used)}

    def _of(self, reason: Reason) -> list[tuple[Verdict, set[str]]]:
        return [(verdict, streams) for verdict, streams in self.named.items() if verdict.reason is reason]

    def note_late(self, parts: Sequence[tuple[bytes, StreamPart]], *, merged: bool) -> None:
        """Find what was too far behind, given all parts of the push in order.

        `merged`: they went as one stream. Else each stands for itself, and Loki's verdict is about
        the last part of its stream.
        """
        for verdict, named in self._of(Reason.TOO_FAR_BEHIND):
            mine = [(body, part) for body, part in parts if part.labels in named]
            mine = mine if merged else mine[-1:]
            entries = [entries_of(body, part) for body, part in mine]
            refused = late([entry for some in entries for entry in some], verdict, self._state.behind_ns)
            first = 0
            for (_, part), some in zip(mine, entries, strict=True):
                self._late[id(part)] = {index - first for index in refused if first <= index < first + len(some)}
                first += len(some)

    def sort(self, body: bytes, parts: Iterable[StreamPart], *, mended: bool, stamp_ns: int) -> Sorted:
        """Sort one piece; `stamp_ns` is for entries whose own time stamp is refused."""
        result = Sorted()
        for part in parts:
            if not (self._by_stream(body, part, result, mended) or self._by_label(body, part, result, mended)):
                self._by_entry(body, part, result, mended, stamp_ns)
        return result

    def _by_stream(self, body: bytes, part: StreamPart, result: Sorted, mended: bool) -> bool:
        """Whether the ingester refused the part whole."""
        if Reason.STREAM_RATE in self._reasons and part.labels in self._too_fast:
            result.count(Reason.STREAM_RATE, part.entries)
            result.paced.append(part)
            return True
        for _, named in self._of(Reason.STREAM_LIMIT):
            if part.labels in named:
                result.count(Reason.STREAM_LIMIT, part.entries)
                reduced = reduce_labels(part.labels, self._rules.drop_order)
                if reduced is None:
                    result.no_room.append(part)
                else:
                    result.reduced[part.labels] = reduced
                    result.mended.append(with_labels(body, part, *reduced))
                return True
            if part.labels in self._new:
                result.alone.append(part)
                return True
        return False

    def _by_label(self, body: bytes, part: StreamPart, result: Sorted, mended: bool) -> bool:
        """Whether the distributor refused the part for its labels."""
        if not self._reasons & _LABELS:
            return False
        reason = label_reason(part.labels, self._rules.limits, self._label_names)
        if reason not in self._reasons:
            named = [verdict.reason for verdict, streams in self.named.items() if part.labels in streams]
            reason = next((name for name in named if name in _LABELS), None)
        if reason is None:
            return False
        result.count(reason, part.entries)
        labels, moved = mend_labels(part.labels, self._rules.limits, self._rules.drop_order, self._label_names)
        if mended or labels == part.labels:
            result.dead.extend((part.labels, entry, reason) for entry in entries_of(body, part))
        else:
            result.mended.append(with_labels(body, part, labels, moved))
        return True

    def _by_entry(self, body: bytes, part: StreamPart, result: Sorted, mended: bool, stamp_ns: int) -> None:
        refused = self._late.get(id(part), set())
        if not refused and not self._may_break(part):
            return
        entries = entries_of(body, part)
        again: list[Entry] = []
        for index, entry in enumerate(entries):
            reason = Reason.TOO_FAR_BEHIND if index in refused else broken(entry, self._broken)
            if reason is None:
                continue
            result.count(reason, 1)
            if mended and tried(entry, reason):
                result.dead.append((part.labels, entry, reason))
            else:
                word = str(reason) if reason is Reason.TOO_FAR_BEHIND else ""
                mended_entry = mend(entry, self._mend_to, stamp_ns + len(again), word)
                again.append(mended_entry)
                if len(mended_entry.line) < len(entry.line):
                    result.cut.append(len(entry.line) - len(mended_entry.line))
        if again:
            result.mended.append((part.labels, encode_stream(part.labels, again)))

    def _may_break(self, part: StreamPart) -> bool:
        bounds = self._broken
        return (
            part.oldest_ns < bounds.oldest_ns
            or part.newest_ns > bounds.newest_ns
            or part.length > min(bounds.line_size, bounds.metadata_size, bounds.metadata_count * 4)
        )


def tried(entry: Entry, reason: Reason) -> bool:
    """Whether an entry bears the mark of having been mended for such a reason."""
    words = {word for name, value in entry.metadata if name == REPAIRED for word in value.split(",")}
    if reason is Reason.LINE_TOO_LONG:
        return "cut" in words
    if reason in (Reason.METADATA_TOO_LARGE, Reason.METADATA_TOO_MANY):
        return "metadata" in words
    return not words.isdisjoint((Reason.TOO_OLD, Reason.TOO_NEW, Reason.TOO_FAR_BEHIND))


def late(entries: Sequence[Entry], verdict: Verdict, behind_ns: int) -> set[int]:
    """Which entries of a stream were too far behind.

    Loki judges one entry after the other against the newest so far, and names the first ten it
    refused and how many there were. What it held before is not known: of the two that are possible,
    nothing newer or what the first cutoff tells, the one counts that leads to the same number.
    Otherwise an entry in doubt counts as refused: twice is better than not at all.
    """
    before = verdict.first_cutoff_ns + behind_ns
    for newest in (-_FOREVER, before, before + _SECOND - 1):
        refused = _refused(entries, newest, behind_ns)
        if len(refused) == verdict.ignored:
            return refused
    listed = set(verdict.stamps_ns)
    found = {index for index, entry in enumerate(entries) if entry.timestamp_ns in listed}
    edge = verdict.cutoff_ns + _SECOND
    by_age = sorted(range(len(entries)), key=lambda index: entries[index].timestamp_ns)
    found.update(index for index in by_age if entries[index].timestamp_ns < edge)
    found.update(by_age[: max(verdict.ignored - len(found), 0)])
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
    """The part under other labels, with those that were moved in each entry's metadata."""
    entries = [add_metadata(entry, moved, "labels") for entry in entries_of(body, part)]
    return labels, encode_stream(labels, entries)
