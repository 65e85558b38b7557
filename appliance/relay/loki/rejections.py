"""What an answer of Loki says about single streams and entries, as `Rejection`s.

Pure: from the text of an answer to rejections, and from the stream a rejection names to ours. Which words
mean what is `loki/limit_table.py`; here are the spellings of streams, times and sizes.
"""

import calendar
import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from appliance.relay.loki import limit_table
from appliance.relay.loki.label_syntax import LabelSyntaxError, format_labels, parse_labels
from appliance.relay.loki.limit_table import LABEL_SET, TIME, LokiLimit, Reason

_ADDED_BY_LOKI = "service_name"
_LONGEST = 64 * 1024
"""Characters of a body that are searched."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """One refusal. Fields that do not apply to the limit are empty."""

    limit: LokiLimit
    stream: str = ""
    """The stream as Loki wrote it; empty where it names none."""
    allowed: int = 0
    """Bytes, pairs, or bytes a second that are allowed."""
    cutoff_ns: int = 0
    """Oldest acceptable timestamp, cut to the second; the last that was named."""
    first_cutoff_ns: int = 0
    """The first that was named: it grows while Loki takes newer entries of the same push."""
    ignored: int = 0
    """How many entries of the stream were refused."""
    stamps_ns: tuple[int, ...] = ()
    """Timestamps of refused entries, as many as were listed."""

    @property
    def reason(self) -> str:
        """Return the name of the limit."""
        return self.limit.name


_BEHIND = re.compile(
    r"entry with timestamp (\S+ \S+ \+0000 UTC)[^\n]*? ignored, reason: 'entry too far behind, "
    rf"(?:entry timestamp is: {TIME}, )?oldest acceptable timestamp is: ({TIME})'",
    re.IGNORECASE,
)
_TOTAL = re.compile(rf"total ignored: (\d+) out of \d+ for stream: ({LABEL_SET})", re.IGNORECASE)
_REPEATED = re.compile(r"(\d+) errors like: [^;]*$", re.IGNORECASE)
_OUT_OF_ORDER = re.compile("entry out of order|entry too far behind", re.IGNORECASE)
"""What a Loki without unordered writes says: the same as too far behind with a window of nothing."""
_LABELS = re.compile(LABEL_SET)
_TAG = re.compile(r"<(?:!--.*?--|[/!]?[a-zA-Z][^<>]{0,1000})>", re.DOTALL)


def plain_text(body: str) -> str:
    """Return what a body says, without the JSON or HTML that a gateway or proxy wrapped around it."""
    body = body[:_LONGEST]
    first = body.lstrip()[:1]
    if first in ("{", "["):
        try:
            return "\n".join(_strings(json.loads(body)))
        except (ValueError, RecursionError):
            return body
    if first == "<":
        import html  # a table of all entities, which only a gateway's page needs

        return html.unescape(_TAG.sub(" ", body))
    return body


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def rejections_of(body: str) -> tuple[Rejection, ...]:
    """Return all rejections in an answer, each stream and limit once, with all timestamps named for it."""
    text = plain_text(body)
    found: dict[tuple[str, str], Rejection] = {}
    taken: list[tuple[int, int]] = []
    # What stands in a stream's labels is a sender's, and says nothing about limits.
    labels = [match.span() for match in _LABELS.finditer(text)]
    for limit in limit_table.LIMITS:
        for pattern in limit.words:
            for match in pattern.finditer(text):
                if any(start < match.start() < end for start, end in labels):
                    continue
                if any(start < match.end() and match.start() < end for start, end in taken):
                    continue  # the same words, understood better by an earlier pattern
                taken.append(match.span())
                one = _rejection(limit, match)
                repeated = _REPEATED.search(text, max(match.start() - 80, 0), match.start())
                one = replace(one, ignored=int(repeated[1]) if repeated else 1)
                known = found.get((one.reason, one.stream))
                if known is not None:
                    stamps = known.stamps_ns + one.stamps_ns
                    one = replace(known, stamps_ns=stamps, ignored=known.ignored + one.ignored)
                found[one.reason, one.stream] = one
    behind = _too_far_behind(text)
    if behind is not None:
        found[behind.reason, behind.stream] = behind
    return tuple(found.values())


def _rejection(limit: LokiLimit, match: re.Match[str]) -> Rejection:
    named = {name: text for name, text in match.groupdict().items() if text}
    return Rejection(
        limit,
        named.get("stream", ""),
        parse_size(named.get("allowed", "")),
        cutoff_ns=parse_time(named.get("cutoff", "")),
        stamps_ns=(parse_time(named["stamp"]),) if "stamp" in named else (),
    )


def _too_far_behind(text: str) -> Rejection | None:
    entries = _BEHIND.findall(text)
    if not entries and not _OUT_OF_ORDER.search(text):
        return None
    total = _TOTAL.search(text)
    cutoffs = [parse_time(cutoff) for _, cutoff in entries] or [0]
    return Rejection(
        limit_table.limit(Reason.TOO_FAR_BEHIND),
        total[2] if total else "",
        cutoff_ns=max(cutoffs),
        first_cutoff_ns=cutoffs[0],
        ignored=int(total[1]) if total else len(entries),
        stamps_ns=tuple(parse_time(stamp) for stamp, _ in entries),
    )


def parse_time(text: str) -> int:
    """Return nanoseconds from Go's spellings of a time in UTC; 0 if it is neither.

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
    """Return bytes from the way Loki writes sizes: `3MB`, `1.5MB`, `512KB`, `1000B`, all powers of two."""
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
    """Return those of our streams that `stream`, as Loki wrote it, can mean; empty if none."""
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
