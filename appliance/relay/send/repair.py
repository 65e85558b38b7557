"""Repairs entries and labels that Loki refuses, so that what they say arrives all the same.

Pure functions from values to values. A timestamp out of bounds is replaced and the original kept
as structured metadata `original_timestamp`; a line or metadata too long is cut; labels too many or
too long move to metadata. What was done is said in the metadata `repaired`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from appliance.config.model import LokiLimits
from appliance.relay.loki.label_syntax import LabelSyntaxError, format_labels, parse_labels
from appliance.relay.loki.limit_table import SIZES, Learned, LokiLimit, Reason
from appliance.relay.loki.push_format import Entry, RawEntry, encode_entry
from appliance.relay.loki.rejections import Rejection

ORIGINAL_TIMESTAMP = "original_timestamp"
REPAIRED = "repaired"
CUT_MARK = "…[cut]".encode()
"""Ends a line that was cut."""
_FOREVER = 1 << 62
_SECOND = 1_000_000_000
_LAST_RESORT = "job"
_TAG_OF_METADATA = b"\x1a"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an entry must keep to. Times in Unix nanoseconds, sizes in bytes."""

    oldest_ns: int = -_FOREVER
    newest_ns: int = _FOREVER
    line_size: int = _FOREVER
    metadata_size: int = _FOREVER
    metadata_count: int = _FOREVER
    others: tuple[tuple[LokiLimit, int], ...] = ()
    """Limits that know themselves what breaks them, and what they allow."""

    @classmethod
    def of(cls, limits: LokiLimits, now_ns: int, margin: float = 0.0) -> "Bounds":
        """Return the configured limits at `now_ns`, the times narrowed by the fraction `margin`."""
        return cls(
            now_ns - round(limits.oldest * (1 - margin) * _SECOND),
            now_ns + round(limits.ahead * (1 - margin) * _SECOND),
            limits.line_size,
            limits.metadata_size,
            limits.metadata_count,
        )

    def narrowed(self, rejections: Iterable[Rejection]) -> "Bounds":
        """These bounds, or those that the distributor's rejections show where they are narrower."""
        bounds = self
        for one in rejections:
            learns = one.limit.learns
            if learns is Learned.OLDEST:
                # Loki names the cutoff in whole seconds, so what lies within that second is refused, too.
                stamps = [stamp + _SECOND for stamp in one.stamps_ns]
                bounds = replace(bounds, oldest_ns=max(bounds.oldest_ns, one.cutoff_ns + _SECOND, *stamps))
            elif learns is Learned.NEWEST and one.stamps_ns:
                bounds = replace(bounds, newest_ns=min(bounds.newest_ns, min(one.stamps_ns) - 1))
            elif learns in SIZES and one.allowed:
                narrower = {learns.value: min(getattr(bounds, learns.value), one.allowed)}
                bounds = replace(bounds, **narrower)
            elif learns is Learned.OTHER:
                bounds = replace(bounds, others=(*bounds.others, (one.limit, one.allowed)))
        return bounds


def broken(entry: Entry, bounds: Bounds) -> str | None:
    """Return the first of the bounds that the entry breaks, in Loki's order; None if it keeps to all."""
    if entry.timestamp_ns < bounds.oldest_ns:
        return Reason.TOO_OLD
    if entry.timestamp_ns > bounds.newest_ns:
        return Reason.TOO_NEW
    if len(entry.line) > bounds.line_size:
        return Reason.LINE_TOO_LONG
    if _size(entry.metadata) > bounds.metadata_size:
        return Reason.METADATA_TOO_LARGE
    if len(entry.metadata) > bounds.metadata_count:
        return Reason.METADATA_TOO_MANY
    for limit, allowed in bounds.others:
        if limit.breaks is not None and limit.breaks(entry, allowed):
            return limit.name
    return None


def repair(entry: Entry, bounds: Bounds, stamp_ns: int, word: str = "") -> Entry:
    """Return the entry within the bounds; `stamp_ns` replaces a timestamp that is not.

    With a `word` the timestamp is replaced whatever it is, for that reason.
    """
    words = []
    metadata = list(entry.metadata)
    stamp = entry.timestamp_ns
    if word or not bounds.oldest_ns <= stamp <= bounds.newest_ns:
        words.append(word or (Reason.TOO_OLD if stamp < bounds.oldest_ns else Reason.TOO_NEW))
        if all(name != ORIGINAL_TIMESTAMP for name, _ in metadata):
            metadata.append((ORIGINAL_TIMESTAMP, format_time(stamp)))
        stamp = stamp_ns
    line = entry.line
    if len(line) > bounds.line_size:
        words.append("cut")
        line = cut(line, bounds.line_size)
    # Room for our own words: they may come on top.
    if len(metadata) > bounds.metadata_count - 1 or _size(metadata) > bounds.metadata_size - 256:
        fitting = _fitting(metadata, bounds.metadata_size - 256, bounds.metadata_count - 1)
        if len(fitting) < len(metadata):
            words.append("metadata")
        metadata = fitting
    repaired = Entry(stamp, line, tuple(_marked(metadata, words)))
    for limit, allowed in bounds.others:
        if limit.breaks is not None and limit.fix is not None and limit.breaks(repaired, allowed):
            repaired = limit.fix(repaired, allowed)
    return repaired


def out_of_time(stamp_ns: int, bounds: Bounds, edge_ns: int) -> Reason | None:
    """Return why Loki would refuse a timestamp; `edge_ns` is what lies too far behind the newest of its stream."""
    if stamp_ns < bounds.oldest_ns:
        return Reason.TOO_OLD
    if stamp_ns > bounds.newest_ns:
        return Reason.TOO_NEW
    return Reason.TOO_FAR_BEHIND if stamp_ns < edge_ns else None


def restamp(raw: RawEntry, bounds: Bounds, stamp_ns: int, reason: Reason) -> bytes:
    """The entry, encoded, with another timestamp; what `repair` does, without decoding where that is not needed."""
    rest = raw.rest
    if (
        rest is None
        or len(rest) > min(bounds.line_size, bounds.metadata_size - 256)
        or rest.count(_TAG_OF_METADATA) > bounds.metadata_count - 2  # as many pairs at most
        or ORIGINAL_TIMESTAMP.encode() in rest
        or REPAIRED.encode() in rest
        or bounds.others
    ):
        return encode_entry(repair(raw.decoded(), bounds, stamp_ns, reason))
    original = format_time(raw.timestamp_ns)
    return raw.restamped(stamp_ns, ((ORIGINAL_TIMESTAMP, original), (REPAIRED, reason)))


def cut(line: bytes, size: int) -> bytes:
    """Return the beginning of the line and a mark, together at most `size` bytes, cut between characters."""
    if len(line) <= size:
        return line
    end = max(size - len(CUT_MARK), 0)
    while end > 0 and end > size - len(CUT_MARK) - 4 and line[end] & 0xC0 == 0x80:
        end -= 1
    return (line[:end] + CUT_MARK)[:size]


def format_time(stamp_ns: int) -> str:
    """RFC 3339 in UTC with nanoseconds; the bare number where no calendar reaches."""
    seconds, nanos = divmod(stamp_ns, _SECOND)
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{nanos:09d}Z"
    except (ValueError, OverflowError, OSError):
        return str(stamp_ns)


def add_metadata(entry: Entry, pairs: Sequence[tuple[str, str]], word: str) -> Entry:
    """Return the entry with more metadata, marked with the word for what made them necessary."""
    return entry._replace(metadata=tuple(_marked([*entry.metadata, *pairs], [word])))


def _marked(metadata: list[tuple[str, str]], words: Sequence[str]) -> list[tuple[str, str]]:
    if not words:
        return metadata
    known = [value for name, value in metadata if name == REPAIRED]
    others = [pair for pair in metadata if pair[0] != REPAIRED]
    said = dict.fromkeys(word for text in [*known, *words] for word in text.split(",") if word)
    return [*others, (REPAIRED, ",".join(said))]


def _fitting(metadata: list[tuple[str, str]], size: int, count: int) -> list[tuple[str, str]]:
    """Return as many pairs as fit, the largest dropped first."""
    kept = sorted(range(len(metadata)), key=lambda i: _size(metadata[i : i + 1]))
    total, chosen = 0, []
    for index in kept[: max(count, 0)]:
        total += _size(metadata[index : index + 1])
        if total > size:
            break
        chosen.append(index)
    return [metadata[index] for index in sorted(chosen)]


def _size(metadata: Sequence[tuple[str, str]]) -> int:
    return sum(
        len(name.encode("utf-8", "surrogateescape")) + len(value.encode("utf-8", "surrogateescape"))
        for name, value in metadata
    )


# ---- labels ------------------------------------------------------------------------------------


def label_reason(text: str, limits: LokiLimits, names: int = 0) -> Reason | None:
    """Return why Loki refuses these labels, as far as it can be seen; `names` replaces the limit on their number."""
    try:
        labels = parse_labels(text)
    except LabelSyntaxError:
        return Reason.LABEL_SYNTAX
    if len(labels | {"service_name": ""}) > (names or limits.label_names):
        return Reason.LABEL_NAMES
    too_long = any(
        len(name.encode()) > limits.label_name_length or len(value.encode()) > limits.label_value_length
        for name, value in labels.items()
    )
    return Reason.LABEL_LENGTH if too_long else None


def repair_labels(
    text: str, limits: LokiLimits, drop_order: Sequence[str], names: int = 0
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return labels that Loki takes, and those that move to metadata.

    Labels that cannot be parsed move whole, as `labels`, and the stream is `{job="unparsed"}`.
    """
    try:
        labels = parse_labels(text)
    except LabelSyntaxError:
        return '{job="unparsed"}', (("labels", text[:4096]),)
    moved = {
        name: value
        for name, value in labels.items()
        if len(name.encode()) > limits.label_name_length or len(value.encode()) > limits.label_value_length
    }
    kept = {name: value for name, value in labels.items() if name not in moved}
    for name in dropping(kept, drop_order):
        if len(kept | {"service_name": ""}) <= (names or limits.label_names):
            break
        moved[name] = kept.pop(name)
    pairs = tuple((name[: limits.label_name_length], value) for name, value in sorted(moved.items()))
    return format_labels(kept or {_LAST_RESORT: "reduced"}), pairs


def reduce_labels(text: str, drop_order: Sequence[str]) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    """Return the stream without its least useful label, and that label; None if nothing is left to remove."""
    try:
        labels = parse_labels(text)
    except LabelSyntaxError:
        return None
    for name in dropping(labels, drop_order):
        if len(labels) > 1:
            value = labels.pop(name)
            return format_labels(labels), ((name, value),)
    return None


def dropping(labels: Iterable[str], drop_order: Sequence[str]) -> list[str]:
    """Return label names in the order in which they are removed: those not listed, then the listed, `job` last."""
    rank = {name: index + 1 for index, name in enumerate(drop_order)}
    last = len(drop_order) + 1
    return sorted(labels, key=lambda name: (last if name == _LAST_RESORT else rank.get(name, 0), name))
