"""The part of LogQL that clients and tests use, over the ingester's lists.

Log queries: `{selector} |= "text" != "text" | name="value" …`. Metric queries:
`count_over_time(log query [range])`, alone or within `sum(…)`, `sum by (a, b) (…)`.
Anything else raises QueryError, which Loki answers with 400.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.loki_double.ingester import Stream
from tests.loki_double.labels import show, unquote
from tests.loki_double.proto import pair

_STRING = r'("(?:[^"\\]|\\.)*"|`[^`]*`)'
_MATCHER = re.compile(r"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*" + _STRING + r"\s*(,?)")
_STAGE = re.compile(
    r"\s*(?:(\|=|!=|\|~|!~)\s*" + _STRING + r"|\|\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*" + _STRING + ")"
)
_SUM = re.compile(r"\s*sum\s*(?:(by)\s*\(([^)]*)\)\s*)?\((.*)\)\s*(?:(by)\s*\(([^)]*)\)\s*)?$", re.DOTALL)
_COUNT = re.compile(r"\s*count_over_time\s*\((.*)\[\s*([0-9a-z]+)\s*\]\s*\)\s*$", re.DOTALL)
_DURATION = re.compile(r"([0-9]+)(ns|us|ms|s|m|h|d|w|y)")
_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9,
          "w": 604800 * 10**9, "y": 31536000 * 10**9}  # fmt: skip

Row = tuple[Stream, int, bytes, tuple[bytes, ...]]


class QueryError(ValueError):
    """The query is not understood."""


def _test(operator: str, value: str) -> Callable[[str], bool]:
    if operator == "=":
        return lambda found: found == value
    if operator == "!=":
        return lambda found: found != value
    pattern = re.compile(value)
    if operator == "=~":
        return lambda found: pattern.fullmatch(found) is not None
    return lambda found: pattern.fullmatch(found) is None


@dataclass(frozen=True, slots=True)
class LogQuery:
    matchers: list[tuple[str, Callable[[str], bool]]]
    line_filters: list[Callable[[bytes], bool]]
    label_filters: list[tuple[str, Callable[[str], bool]]]

    @classmethod
    def parse(cls, text: str) -> "LogQuery":
        text = text.strip()
        if not text.startswith("{"):
            raise QueryError(f"parse error : syntax error: unexpected {text[:10]!r}")
        at = 1
        matchers = []
        while match := _MATCHER.match(text, at):
            matchers.append((match[1], _test(match[2], unquote(match[3]))))
            at = match.end()
        rest = text[at:].lstrip()
        if not rest.startswith("}"):
            raise QueryError("parse error : syntax error in selector")
        # `{}` is this project's own short form for "everything"; see real.py for what Loki is asked then.
        if matchers and all(test("") for _, test in matchers):
            raise QueryError(
                "parse error : queries require at least one regexp or equality matcher that does not have an "
                'empty-compatible value. For instance, app=~".*" does not meet this requirement, but app=~".+" will'
            )
        rest = rest[1:].strip()
        line_filters: list[Callable[[bytes], bool]] = []
        label_filters = []
        while rest:
            stage = _STAGE.match(rest)
            if not stage:
                raise QueryError(f"parse error : unsupported stage {rest[:30]!r}")
            if stage[1]:
                line_filters.append(_line_filter(stage[1], unquote(stage[2])))
            else:
                label_filters.append((stage[3], _test(stage[4], unquote(stage[5]))))
            rest = rest[stage.end() :].strip()
        return cls(matchers, line_filters, label_filters)

    def streams(self, streams: list[Stream]) -> list[Stream]:
        return [s for s in streams if all(test(s.labels.get(name, "")) for name, test in self.matchers)]

    def rows(self, streams: list[Stream], start: int, end: int) -> Iterator[Row]:
        """Entries with start <= time < end (nanoseconds), unordered across streams."""
        for stream in self.streams(streams):
            for ns, line, metadata in zip(stream.times, stream.lines, stream.metadata, strict=False):
                if start <= ns < end and self._passes(stream, line, metadata):
                    yield stream, ns, line, metadata

    def _passes(self, stream: Stream, line: bytes, metadata: tuple[bytes, ...]) -> bool:
        if not all(test(line) for test in self.line_filters):
            return False
        if not self.label_filters:
            return True
        labels = stream.labels | dict(map(pair, metadata))
        return all(test(labels.get(name, "")) for name, test in self.label_filters)


def _line_filter(operator: str, value: str) -> Callable[[bytes], bool]:
    wanted = value.encode()
    if operator == "|=":
        return lambda line: wanted in line
    if operator == "!=":
        return lambda line: wanted not in line
    pattern = re.compile(wanted)
    if operator == "|~":
        return lambda line: pattern.search(line) is not None
    return lambda line: pattern.search(line) is None


@dataclass(frozen=True, slots=True)
class MetricQuery:
    query: LogQuery
    window: int  # nanoseconds
    by: tuple[str, ...] | None  # None: no aggregation; (): one number

    @classmethod
    def parse(cls, text: str) -> "MetricQuery | None":
        """None when it is a log query."""
        by: tuple[str, ...] | None = None
        if summed := _SUM.match(text):
            names = summed[2] if summed[1] else summed[5] if summed[4] else ""
            by = tuple(name.strip() for name in names.split(",") if name.strip())
            text = summed[3]
        counted = _COUNT.match(text)
        if not counted:
            if by is not None:
                raise QueryError("parse error : only sum of count_over_time is known")
            return None
        return cls(LogQuery.parse(counted[1]), duration(counted[2]), by)

    def evaluate(self, streams: list[Stream], now: int) -> list[tuple[dict[str, str], int]]:
        """(labels, count) for time - window < t <= time, as Loki's range vectors."""
        groups: dict[str, tuple[dict[str, str], int]] = {}
        for stream, _, _, metadata in self.query.rows(streams, now - self.window + 1, now + 1):
            labels = stream.labels | dict(map(pair, metadata)) if self.by is None or self.by else {}
            if self.by is not None:
                labels = {name: labels[name] for name in self.by if name in labels}
            key = show(labels)
            groups[key] = (labels, groups.get(key, (labels, 0))[1] + 1)
        return list(groups.values())


def duration(text: str) -> int:
    """Nanoseconds of `5m` or `1h30m`."""
    parts = _DURATION.findall(text)
    if not parts or "".join(a + b for a, b in parts) != text:
        raise QueryError(f"not a duration: {text!r}")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)
