"""Loki's limits: one row for each, with everything that is special about it.

A row says by which words Loki reports that the limit was exceeded, what the limit is about, what follows
for what was refused, which bound is learned from it, and under which name it is counted. Nothing else in
the project knows the words of a limit; a new kind is a new row here, and its test.
Sources: Loki 1.6 to 3.x, pkg/validation/validate.go, pkg/ingester/{instance,limiter,stream}.go,
pkg/distributor/{distributor,validator}.go; Grafana Mimir pkg/util/globalerror, whose words gateways use too.
"""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass

from appliance.relay.loki.push_format import Entry


class Reason(enum.StrEnum):
    """Names of rows that other code refers to; they are what refusals are counted under."""

    TOO_OLD = "too_old"
    TOO_NEW = "too_new"
    TOO_FAR_BEHIND = "too_far_behind"
    LINE_TOO_LONG = "line_too_long"
    METADATA_TOO_LARGE = "metadata_too_large"
    METADATA_TOO_MANY = "metadata_too_many"
    METADATA_DISALLOWED = "metadata_disallowed"
    LABEL_NAMES = "too_many_label_names"
    LABEL_LENGTH = "label_too_long"
    LABEL_SYNTAX = "invalid_labels"
    STREAM_RATE = "stream_rate"
    STREAM_LIMIT = "stream_limit"
    TENANT_RATE = "tenant_rate"
    PUSH_SIZE = "push_size"


class About(enum.Enum):
    """What a limit is about."""

    TENANT = "tenant"  # all that is pushed: nothing of the push was stored
    STREAM = "stream"  # one stream's part of the push; the rest was stored
    LABELS = "labels"  # a stream's labels
    ENTRY = "entry"  # single entries


class Then(enum.Enum):
    """What follows for what was refused."""

    WAIT = "wait"  # the tenant's pushes wait, slower; a stream's part is tried again every minute
    SPLIT = "split"  # the push goes again in smaller ones
    PACE = "pace"  # the stream's part goes again at the stream's rate
    REDUCE = "reduce"  # the stream goes under fewer labels
    RELABEL = "relabel"  # the labels are repaired
    REPAIR = "repair"  # the entries are repaired
    DEAD_LETTER = "dead_letter"  # kept as dead letters


class Learned(enum.Enum):
    """Which bound of ours is changed when Loki says that a limit was exceeded."""

    NOTHING = ""
    OLDEST = "oldest_ns"
    NEWEST = "newest_ns"
    LINE_SIZE = "line_size"
    METADATA_SIZE = "metadata_size"
    METADATA_COUNT = "metadata_count"
    OTHER = "other"  # what only the row's own `breaks` and `fix` know
    LABEL_NAMES = "label_names"
    WINDOW = "window"  # how far behind its newest entry a stream takes others
    STREAM_RATE = "stream_rate"
    STREAMS = "streams"  # how many streams there may be
    TENANT_RATE = "tenant_rate"
    PUSH_SIZE = "push_size"


SIZES = frozenset((Learned.LINE_SIZE, Learned.METADATA_SIZE, Learned.METADATA_COUNT))
"""Bounds of a single entry that are numbers; their values are the fields of `send.repair.Bounds`."""


class Stage(enum.Enum):
    """Which of Loki's stages checks the limit, which decides how much of it an answer reports."""

    DISTRIBUTOR = "distributor"  # reported whatever the order of the streams, the same for every entry
    INGESTER = "ingester"  # reported for the last stream of a push only


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LokiLimit:
    """One kind of limit."""

    name: str
    """What it is counted under."""
    about: About
    then: Then
    words: tuple[re.Pattern[str], ...]
    """Any of them in an answer says that the limit was exceeded. Groups that are used where they match:
    `stream` (a label set), `allowed` (a number or size), `stamp` and `cutoff` (times)."""
    stage: Stage = Stage.DISTRIBUTOR
    learns: Learned = Learned.NOTHING
    breaks: Callable[[Entry, int], bool] | None = None
    fix: Callable[[Entry, int], Entry] | None = None
    """For Learned.OTHER: whether an entry exceeds `allowed`, and the entry within it."""
    rest_stored: bool = True
    """Return whether the other streams of the push are known to be stored."""
    counted_429: str = ""
    """The kind of 429 that it is counted as."""
    cause: str = "Loki refused entries"
    remedy: str = "see the dead letters and check the clocks of the senders"


LABEL_SET = r'\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\}'
"""What stands in quotes may be anything."""
TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d| \+0000 UTC)?"
_SIZE = r"[0-9.]+ ?[A-Za-z]*"


def words(*patterns: str) -> tuple[re.Pattern[str], ...]:
    """Patterns in which capitals do not matter and `<stream>`, `<time>` and `<size>` stand for a named group.

    Loki has changed the case of its messages more than once.
    """
    compiled = []
    for pattern in patterns:
        pattern = pattern.replace("<stream>", f"(?P<stream>{LABEL_SET})")
        pattern = pattern.replace("<stamp>", f"(?P<stamp>{TIME})").replace("<cutoff>", f"(?P<cutoff>{TIME})")
        pattern = pattern.replace("<size>", f"(?P<allowed>{_SIZE})").replace("<number>", r"(?P<allowed>\d+)")
        compiled.append(re.compile(pattern, re.IGNORECASE))
    return tuple(compiled)


def _has_metadata(entry: Entry, allowed: int) -> bool:
    return len(entry.metadata) > allowed


def _metadata_into_line(entry: Entry, _allowed: int) -> Entry:
    """The metadata at the end of the line, as logfmt: what they say arrives all the same."""
    pairs = " ".join(f'{name}="{value}"' for name, value in entry.metadata)
    return entry._replace(line=entry.line + b" " + pairs.encode("utf-8", "surrogateescape"), metadata=())


LIMITS: tuple[LokiLimit, ...] = (
    LokiLimit(
        name=Reason.TOO_OLD,
        about=About.ENTRY,
        then=Then.REPAIR,
        learns=Learned.OLDEST,
        words=words(
            "(?:stream '<stream>' )?has timestamp too old: <stamp>(?:, oldest acceptable timestamp is: <cutoff>)?"
        ),
    ),
    LokiLimit(
        name=Reason.TOO_NEW,
        about=About.ENTRY,
        then=Then.REPAIR,
        learns=Learned.NEWEST,
        words=words("(?:stream '<stream>' )?has timestamp too new: <stamp>"),
        remedy="compare the clock of Loki with this machine's; lines that only Loki's clock refuses are held",
    ),
    LokiLimit(
        name=Reason.TOO_FAR_BEHIND,
        about=About.ENTRY,
        then=Then.REPAIR,
        stage=Stage.INGESTER,
        learns=Learned.WINDOW,
        words=(),  # spread over several lines of an answer: read by rejections.py
    ),
    LokiLimit(
        name=Reason.LINE_TOO_LONG,
        about=About.ENTRY,
        then=Then.REPAIR,
        words=words("max entry size '?<number>'? bytes exceeded(?: for stream '<stream>')?"),
        learns=Learned.LINE_SIZE,
    ),
    LokiLimit(
        name=Reason.METADATA_TOO_LARGE,
        about=About.ENTRY,
        then=Then.REPAIR,
        words=words(r"stream '<stream>' has structured metadata too large: '\d+' bytes, limit: '<number>' bytes"),
        learns=Learned.METADATA_SIZE,
    ),
    LokiLimit(
        name=Reason.METADATA_TOO_MANY,
        about=About.ENTRY,
        then=Then.REPAIR,
        words=words(r"stream '<stream>' has too many structured metadata labels: '\d+', limit: '<number>'"),
        learns=Learned.METADATA_COUNT,
    ),
    LokiLimit(
        name=Reason.METADATA_DISALLOWED,
        about=About.ENTRY,
        then=Then.REPAIR,
        words=words("stream '<stream>' includes structured metadata, but this feature is disallowed"),
        learns=Learned.OTHER,
        breaks=_has_metadata,
        fix=_metadata_into_line,
        cause="Loki accepts no structured metadata",
        remedy="set allow_structured_metadata in Loki; until then metadata is appended to the line",
    ),
    LokiLimit(
        name=Reason.LABEL_NAMES,
        about=About.LABELS,
        then=Then.RELABEL,
        learns=Learned.LABEL_NAMES,
        words=words(r"stream '<stream>' has \d+ label names; limit <number>"),
    ),
    LokiLimit(
        name=Reason.LABEL_LENGTH,
        about=About.LABELS,
        then=Then.RELABEL,
        words=words("stream '<stream>' has label (?:name|value) too long"),
    ),
    LokiLimit(
        name=Reason.LABEL_SYNTAX,
        about=About.LABELS,
        then=Then.RELABEL,
        words=words(
            "stream '<stream>' has duplicate label name",
            "couldn't parse labels: ",
            "error parsing labels '",
            "at least one label pair is required per stream",
        ),
    ),
    LokiLimit(
        name=Reason.STREAM_RATE,
        about=About.STREAM,
        then=Then.PACE,
        stage=Stage.INGESTER,
        learns=Learned.STREAM_RATE,
        words=words(
            r"per[- ]stream rate limit exceeded(?: \(limit: <size>/sec\))?"
            "(?: while attempting to ingest for stream '<stream>')?"
        ),
        counted_429="stream",
        cause="a stream is over Loki's rate per stream",
        remedy="raise per_stream_rate_limit in Loki",
    ),
    LokiLimit(
        name=Reason.STREAM_LIMIT,
        about=About.STREAM,
        then=Then.REDUCE,
        stage=Stage.INGESTER,
        learns=Learned.STREAMS,
        words=words(
            # Loki 3 names the stream, Loki 2 does not, nor does limiter.go.
            "maximum active streams? limit exceeded(?: when trying to create stream <stream>)?",
            "per-user streams? limit[^.;]{0,80}? exceeded",
        ),
        counted_429="streams",
        cause="the tenant has too many streams",
        remedy="raise max_global_streams_per_user in Loki or use fewer labels",
    ),
    LokiLimit(
        name=Reason.STREAM_LIMIT,
        about=About.STREAM,
        then=Then.REDUCE,
        stage=Stage.INGESTER,
        learns=Learned.STREAMS,
        # The same, as others say it: what they did with the rest of the push is not known.
        words=words(
            "per-user series limit[^.;]{0,80}? exceeded",
            "max(?:imum)?(?: number of)?(?: active| global| local)? (?:streams?|series)"
            "(?: per (?:user|tenant))?(?: limit)? (?:is |was |has been )?(?:exceeded|reached)",
            "(?:streams?|series) limit (?:is |was |has been )?(?:exceeded|reached|hit)",
            "too many (?:active )?(?:streams|series)",
            "err-mimir-max-series-per-user",
        ),
        rest_stored=False,
        counted_429="streams",
        cause="the tenant has too many streams",
        remedy="raise max_global_streams_per_user in Loki or use fewer labels",
    ),
    LokiLimit(
        name=Reason.TENANT_RATE,
        about=About.TENANT,
        then=Then.WAIT,
        learns=Learned.TENANT_RATE,
        words=words(
            r"ingestion rate limit exceeded(?:.{0,200}?\(limit: <number> bytes/sec\))?",
            "exceeded the ingestion rate limit",
            "ingestion rate limit",
            "err-mimir-tenant-max-(?:ingestion|request)-rate",
            "request rate limit",
        ),
        counted_429="tenant",
        cause="the tenant is over Loki's ingestion rate",
        remedy="raise ingestion_rate_mb and ingestion_burst_size_mb in Loki, or send less",
    ),
    LokiLimit(
        name=Reason.PUSH_SIZE,
        about=About.TENANT,
        then=Then.SPLIT,
        learns=Learned.PUSH_SIZE,
        words=words(
            r"message larger than max \(\d+ vs\. <number>\)",
            "message larger than max",
            r"request body too large",
            r"too big (?:unpacked )?request",
            r"the size of (?:the )?request body exceeds",
        ),
        cause="the push is too large for Loki or a proxy",
        remedy="set loki.limits.push_size to what they take; smaller pushes are tried",
    ),
)
"""All limits. Their order decides only which of several in one answer is reported first."""


def limit(name: str) -> LokiLimit:
    """Return the row of a name. Raise KeyError."""
    for row in LIMITS:
        if row.name == name:
            return row
    raise KeyError(name)
