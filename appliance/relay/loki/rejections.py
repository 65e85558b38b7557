"""The verdicts about single streams and entries that Loki writes into a 400 or 429.

Pure: from the text of an answer to `Verdict`s, and from the stream a verdict names to ours. Loki's
own spelling of a stream has the label `service_name` added. The texts are those of Loki 3.x
(pkg/validation/validate.go, pkg/ingester/stream.go, pkg/ingester/instance.go).
"""

import calendar
import enum
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from appliance.relay.loki.label_syntax import LabelSyntaxError, format_labels, parse_labels

_ADDED_BY_LOKI = "service_name"


class Reason(enum.StrEnum):
    """Why Loki refuses an entry or a stream; the values are counted under in metrics."""

    TOO_OLD = "too_old"
    TOO_NEW = "too_new"
    TOO_FAR_BEHIND = "too_far_behind"
    LINE_TOO_LONG = "line_too_long"
    METADATA_TOO_LARGE = "metadata_too_large"
    METADATA_TOO_MANY = "metadata_too_many"
    LABEL_NAMES = "too_many_label_names"
    LABEL_LENGTH = "label_too_long"
    LABEL_SYNTAX = "invalid_labels"
    STREAM_RATE = "stream_rate"
    STREAM_LIMIT = "stream_limit"


DISTRIBUTOR = frozenset(Reason) - {Reason.TOO_FAR_BEHIND, Reason.STREAM_RATE, Reason.STREAM_LIMIT}
"""Reasons found before anything is stored: told whatever the order of the streams, and the same
for every entry that breaks the same rule. The others are the ingester's, about the last stream only."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One refusal. Fields that do not apply to the reason are empty."""

    reason: Reason
    stream: str = ""
    """The stream as Loki wrote it."""
    limit: int = 0
    """Bytes, pairs, or bytes a second that are allowed."""
    cutoff_ns: int = 0
    """Oldest acceptable time stamp, cut to the second; the last that was named."""
    first_cutoff_ns: int = 0
    """The first that was named: it grows while Loki takes newer entries of the same push."""
    ignored: int = 0
    """How many entries of the stream were refused."""
    stamps_ns: tuple[int, ...] = ()
    """Time stamps of refused entries, as many as were listed."""


_LABEL_SET = r'(\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\})'
"""A label set; what stands in quotes may be anything."""


def _stream_then(words: str) -> re.Pattern[str]:
    """`'{…}'` and then the words."""
    return re.compile(f"stream '{_LABEL_SET}' {words}")


_STAMP = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^\s,;']*)"
_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Verdict]], ...] = (
    (
        _stream_then(rf"has timestamp too old: {_STAMP}, oldest acceptable timestamp is: {_STAMP}"),
        lambda m: Verdict(Reason.TOO_OLD, m[1], cutoff_ns=parse_time(m[3]), stamps_ns=(parse_time(m[2]),)),
    ),
    (
        _stream_then(rf"has timestamp too new: {_STAMP}"),
        lambda m: Verdict(Reason.TOO_NEW, m[1], stamps_ns=(parse_time(m[2]),)),
    ),
    (
        re.compile(rf"max entry size '(\d+)' bytes exceeded for stream '{_LABEL_SET}' while adding an entry"),
        lambda m: Verdict(Reason.LINE_TOO_LONG, m[2], int(m[1])),
    ),
    (
        _stream_then(r"has structured metadata too large: '\d+' bytes, limit: '(\d+)' bytes"),
        lambda m: Verdict(Reason.METADATA_TOO_LARGE, m[1], int(m[2])),
    ),
    (
        _stream_then(r"has too many structured metadata labels: '\d+', limit: '(\d+)'"),
        lambda m: Verdict(Reason.METADATA_TOO_MANY, m[1], int(m[2])),
    ),
    (
        _stream_then(r"has \d+ label names; limit (\d+)"),
        lambda m: Verdict(Reason.LABEL_NAMES, m[1], int(m[2])),
    ),
    (_stream_then(r"has label (?:name|value) too long"), lambda m: Verdict(Reason.LABEL_LENGTH, m[1])),
    (_stream_then(r"has duplicate label name"), lambda m: Verdict(Reason.LABEL_SYNTAX, m[1])),
    (
        re.compile(r"couldn't parse labels: |[Ee]rror parsing labels '|at least one label pair is required per stream"),
        lambda m: Verdict(Reason.LABEL_SYNTAX),
    ),
    (
        re.compile(
            r"Per stream rate limit exceeded \(limit: ([0-9.]+ ?[A-Za-z]*)/sec\) while attempting to ingest for "
            rf"stream '{_LABEL_SET}' totaling"
        ),
        lambda m: Verdict(Reason.STREAM_RATE, m[2], parse_size(m[1])),
    ),
    (
        re.compile(
            rf"aximum active stream limit exceeded when trying to create stream {_LABEL_SET}, reduce the number"
        ),
        lambda m: Verdict(Reason.STREAM_LIMIT, m[1]),
    ),
)
_BEHIND = re.compile(
    r"entry with timestamp (\S+ \S+ \+0000 UTC)[^\n]*? ignored, reason: 'entry too far behind, "
    rf"(?:entry timestamp is: {_STAMP}, )?oldest acceptable timestamp is: {_STAMP}'"
)
_TOTAL = re.compile(r"total ignored: (\d+) out of \d+ for stream: (\{.*\})", re.DOTALL)
_REPEATED = re.compile(r"(\d+) errors like: [^;]*$")
_OUT_OF_ORDER = "entry out of order"
"""What a Loki without unordered writes says; the same as too far behind with a window of nothing."""


def verdicts_of(body: str) -> tuple[Verdict, ...]:
    """All verdicts in an answer, each stream and reason once, with all time stamps named for it."""
    found: dict[tuple[Reason, str], Verdict] = {}
    for pattern, make in _PATTERNS:
        for match in pattern.finditer(body):
            verdict = make(match)
            repeated = _REPEATED.search(body, max(match.start() - 80, 0), match.start())
            verdict = replace(verdict, ignored=int(repeated[1]) if repeated else 1)
            known = found.get((verdict.reason, verdict.stream))
            if known is not None:
                stamps = known.stamps_ns + verdict.stamps_ns
                verdict = replace(known, stamps_ns=stamps, ignored=known.ignored + verdict.ignored)
            found[verdict.reason, verdict.stream] = verdict
    behind = _too_far_behind(body)
    if behind is not None:
        found[behind.reason, behind.stream] = behind
    return tuple(found.values())


def _too_far_behind(body: str) -> Verdict | None:
    entries = _BEHIND.findall(body)
    if not entries and _OUT_OF_ORDER not in body:
        return None
    total = _TOTAL.search(body)
    cutoffs = [parse_time(cutoff) for _, _, cutoff in entries] or [0]
    return Verdict(
        Reason.TOO_FAR_BEHIND,
        total[2] if total else "",
        cutoff_ns=max(cutoffs),
        first_cutoff_ns=cutoffs[0],
        ignored=int(total[1]) if total else len(entries),
        stamps_ns=tuple(parse_time(stamp) for stamp, _, _ in entries),
    )


def parse_time(text: str) -> int:
    """Nanoseconds from Go's spellings of a time in UTC; 0 if it is neither.

    They are RFC 3339 and `2026-01-02 03:04:05.6 +0000 UTC`.
    """
    match = re.match(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?", text)
    if not match:
        return 0
    try:
        seconds = calendar.timegm(time.strptime(f"{match[1]} {match[2]}", "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        return 0
    return seconds * 1_000_000_000 + int((match[3] or "").ljust(9, "0"))


def parse_size(text: str) -> int:
    """Bytes from the way Loki writes sizes: `3MB`, `1.5MB`, `512KB`, `1000B`, all powers of two."""
    match = re.fullmatch(r"([0-9.]+) ?([kKMGT]?)i?B?", text)
    if not match or match[1].count(".") > 1 or match[1] == ".":
        return 0
    return int(float(match[1]) * 2 ** (10 * " kMGT".index(match[2].replace("K", "k") or " ")))


@lru_cache(maxsize=64)
def _named(stream: str) -> dict[str, str] | None:
    try:
        return parse_labels(stream)
    except LabelSyntaxError:
        return None


def names(stream: str, ours: Iterable[str]) -> set[str]:
    """Those of our streams that `stream`, as Loki wrote it, can mean; empty if none."""
    ours = set(ours)
    if stream in ours:
        return {stream}
    labels = _named(stream)
    if labels is None:
        return set()
    exact = {format_labels(labels), format_labels({k: v for k, v in labels.items() if k != _ADDED_BY_LOKI})} & ours
    if exact:
        return exact
    return {text for text in ours if _same(labels, text)}


def _same(named: dict[str, str], text: str) -> bool:
    try:
        ours = parse_labels(text)
    except LabelSyntaxError:
        return False
    return ours == named or ours == {k: v for k, v in named.items() if k != _ADDED_BY_LOKI}
