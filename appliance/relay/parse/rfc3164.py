"""Records that are not RFC 5424, as they come to the relay's own TCP listener: RFC 3164 and worse.

Pure functions, used for what the hot path cannot read. rsyslog reads the dialects of devices; this
makes sure that a sender without rsyslog loses nothing: what is not understood stays in the text.
"""

import re
import time
from datetime import datetime
from typing import NamedTuple

_DEFAULT_PRIORITY = 13  # user.notice, RFC 3164 section 4.3.3
_PRIORITY = re.compile(rb"<([0-9]{1,3})>")
_MONTHS = {m: n for n, m in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_TRADITIONAL = re.compile(
    rb"(?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>[0-9]{1,2}) (?:(?P<year>[0-9]{4}) )?"
    rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?:? "
)
_ISO = re.compile(
    rb"(?P<stamp>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})) "
)
_HOST_AND_TAG = re.compile(
    rb"(?:(?P<host>[A-Za-z0-9_.:-]{1,255}) )?(?P<app>[A-Za-z0-9_./@-]{1,128})(?:\[(?P<process>[^\]\s]{1,128})\])?: ?"
)
_HOST = re.compile(rb"(?P<host>[A-Za-z0-9_.:-]{1,255}) ")


class Record(NamedTuple):
    """What could be read of a record; `-` stands for what is not there, as in RFC 5424."""

    priority: int
    host: bytes
    application: bytes
    process: bytes
    text: bytes
    stamp: bytes
    """RFC 3339, or empty when the record has no time stamp that can be read."""
    has_zone: bool
    words: list[str]
    """What was missing or not understood."""


def read(record: bytes, now: float, *, utc_offset: float | None = None) -> Record:
    """Read RFC 3164 in its common dialects; a record in no known form is text as a whole.

    `now` (Unix seconds) gives a time stamp without a year the year that brings it nearest;
    `utc_offset` (seconds) is that of time stamps without a zone, the machine's own by default.
    """
    words: list[str] = []
    priority = _DEFAULT_PRIORITY
    rest = record
    match = _PRIORITY.match(record)
    if match and int(match[1]) <= 191:
        priority, rest = int(match[1]), record[match.end() :]
    else:
        words.append("nopri")
    stamp, has_zone, after = _stamp(rest, now, utc_offset)
    if not stamp:
        words.append("unparsed")
        return Record(priority, b"-", b"-", b"-", rest, b"", False, words)
    tagged = _HOST_AND_TAG.match(after)
    if tagged:
        host = tagged["host"] or b"-"
        if host == b"-":
            words.append("nohost")
        return Record(
            priority, host, tagged["app"], tagged["process"] or b"-", after[tagged.end() :], stamp, has_zone, words
        )
    host_only = _HOST.match(after)
    host = host_only["host"] if host_only else b"-"
    return Record(priority, host, b"-", b"-", after[host_only.end() :] if host_only else after, stamp, has_zone, words)


def _stamp(rest: bytes, now: float, utc_offset: float | None) -> tuple[bytes, bool, bytes]:
    """(RFC 3339 time stamp or empty, whether it has a zone, what follows it)."""
    iso = _ISO.match(rest)
    if iso:
        return iso["stamp"], True, rest[iso.end() :]
    match = _TRADITIONAL.match(rest)
    if not match or match["month"] not in _MONTHS:
        return b"", False, rest
    year = int(match["year"]) if match["year"] else None
    clock = int(match["hour"]), int(match["minute"]), int(match["second"])
    try:
        wall = _nearest(year, _MONTHS[match["month"]], int(match["day"]), clock, now)
    except ValueError:
        return b"", False, rest
    offset = time.localtime(now).tm_gmtoff if utc_offset is None else utc_offset
    sign = b"-" if offset < 0 else b"+"
    minutes = int(abs(offset)) // 60
    fraction = b"." + match["fraction"] if match["fraction"] else b""
    text = wall.strftime("%Y-%m-%dT%H:%M:%S").encode() + fraction
    return text + sign + b"%02d:%02d" % divmod(minutes, 60), False, rest[match.end() :]


def _nearest(year: int | None, month: int, day: int, clock: tuple[int, int, int], now: float) -> datetime:
    """The date in the given year, or in the one that brings it nearest to now."""
    if year is not None:
        return datetime(year, month, day, *clock)
    current = time.localtime(now).tm_year
    found = []
    for candidate in (current - 1, current, current + 1):
        try:
            found.append(datetime(candidate, month, day, *clock))
        except ValueError:  # 29 February
            continue
    if not found:
        raise ValueError("no such day")
    return min(found, key=lambda date: abs(date.timestamp() - now))
