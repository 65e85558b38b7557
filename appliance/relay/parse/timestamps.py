"""The time at the beginning of a message, in every order and notation that devices use, as RFC 3339.

Knows calendars; knows nothing about headers. A date that cannot be (30 February, hour 25) is no time
stamp, and neither is one whose day and month cannot be told apart (03/04/2026). A year that is not
written is the one that brings the date nearest to now.
"""

import re
from datetime import date, timedelta
from functools import lru_cache
from time import gmtime, strftime
from typing import NamedTuple

from appliance.relay.parse import zones

_MONTHS = {name: number for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_FIRST, _LAST = 946_684_800, 4_102_444_800  # what counts as seconds of this century
_A_YEAR = 366 * 86400
_UNIX_EPOCH_DAY = date(1970, 1, 1).toordinal()

_CLOCK = rb"(?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,](?P<fraction>[0-9]++))?"
_LOOSE = rb"(?P<clock>[0-9]{1,2}:[0-9]{2}:[0-9]{2})(?:[.,](?P<fraction>[0-9]++))?(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
_OFFSET = rb"(?: ?(?P<offset>[Zz]|[+-][0-9]{2}:?[0-9]{2}))?"
_YEAR_BEHIND = (
    rb"(?:(?: (?P<zone>%b|[+-][0-9]{2}:?[0-9]{2}))?(?: (?P<behind>(?:19|20)[0-9]{2})(?=[] \t]|: |:?$)))?"
    % b"|".join(sorted(zones.NAMES))
)
_NAME = rb"(?P<month>[A-Za-z]{3})[a-z]{0,6}"
_WEEKDAY = rb"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},? {1,2})?"

# Nov 27 06:30:01 · Nov 27 2026 06:30:01.123 · Nov 27 06:30:01 CET 2026
_MONTH_FIRST = re.compile(
    rb"(?P<month>[A-Za-z]{3}) {1,2}(?P<day>[0-9]{1,2}),? (?:(?P<year>[0-9]{4}),? )?"
    + _CLOCK
    + rb"(?! ?[AaPp]\.?[Mm])"
    + _YEAR_BEHIND
)
# Fri Nov 27 06:30:01 2026 · Friday, November 27, 2026 6:30:01 AM
_WORDED = re.compile(
    _WEEKDAY + _NAME + rb" {1,2}(?P<day>[0-9]{1,2}),? (?:(?P<year>[0-9]{4}),? )?" + _LOOSE + _YEAR_BEHIND
)
# 2026 Nov 27 06:30:01
_YEAR_FIRST = re.compile(rb"(?P<year>[0-9]{4})[ -]" + _NAME + rb"[ -] ?(?P<day>[0-9]{1,2}) " + _LOOSE)
# 27 Nov 2026 06:30:01 · Fri, 27 Nov 2026 06:30:01 +0100 · 27/Nov/2026:06:30:01 +0100
_DAY_FIRST = re.compile(
    _WEEKDAY + rb"(?P<day>[0-9]{1,2})[ /-]" + _NAME + rb"(?:[ /-](?P<year>[0-9]{4}))?(?::|,? )" + _LOOSE + _OFFSET
)
# 2026-11-27T06:30:01.123456+01:00 · 2026/11/27 06:30:01 · 2026:11:27-06:30:01 · 2026-11-27T06:30Z
_ISO = re.compile(
    rb"(?P<year>[0-9]{4})[-/:.](?P<month>[0-9]{1,2})[-/:.](?P<day>[0-9]{1,2})(?:[Tt_-]|,? )"
    rb"(?P<clock>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,](?P<fraction>[0-9]++))?(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
    + _OFFSET
)
# 20261127T063001Z · 20261127 06:30:01 · 20261127063001
_BASIC = re.compile(
    rb"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})[Tt -]?(?P<clock>[0-9]{2}:?[0-9]{2}:?[0-9]{2})"
    rb"(?:[.,](?P<fraction>[0-9]++))?" + _OFFSET
)
# 11/27/2026 6:30:01 AM · 27.11.2026 06:30:01
_NUMBERED = re.compile(
    rb"(?P<first>[0-9]{1,2})(?P<mark>[/.])(?P<second>[0-9]{1,2})[/.](?P<year>[0-9]{4})(?:[:-]|,? )" + _LOOSE + _OFFSET
)
_EPOCH = re.compile(rb"([0-9]{10})(?:\.([0-9]{1,9})|([0-9]{3}(?:[0-9]{3}(?:[0-9]{3})?)?))?(?=[]: ,]|$)")
_OPENING = frozenset(b"*.: [")


class Stamp(NamedTuple):
    """A timestamp that was read."""

    text: bytes
    """RFC 3339."""
    has_zone: bool
    end: int
    """Where the message continues, after the separator."""
    uncertain_zone: bool = False
    """It names a zone that may be one of several."""
    unsynchronized: bool = False
    """The device says that its clock is not set (Cisco's asterisk)."""


def leading(data: bytes, start: int, now: float, utc_offset: float | None) -> Stamp | None:
    """Return the timestamp at `start` of `data`, None if there is none that can be right.

    `now` (Unix seconds) decides about a year that is missing, `utc_offset` (seconds) about the zone.
    """
    first = data[start : start + 1]
    if first.isalpha():
        found = _MONTH_FIRST.match(data, start)
        if found and _MONTHS.get(found[1].lower()):
            return _by_name(data, found, now, utc_offset)
        return _by_groups(data, _WORDED.match(data, start) or _DAY_FIRST.match(data, start), now, utc_offset)
    if first.isdigit():
        mark = data[start + 4 : start + 5]
        if mark and mark in b"-/:":
            return _by_groups(data, _ISO.match(data, start) or _YEAR_FIRST.match(data, start), now, utc_offset)
        if mark == b"." and (found := _ISO.match(data, start)):
            return _by_groups(data, found, now, utc_offset)
        if mark == b" ":
            return _by_groups(data, _YEAR_FIRST.match(data, start) or _DAY_FIRST.match(data, start), now, utc_offset)
        return (
            _by_groups(data, _DAY_FIRST.match(data, start) or _NUMBERED.match(data, start), now, utc_offset)
            or _by_groups(data, _BASIC.match(data, start), now, utc_offset)
            or epoch(data, start, now)
        )
    if not first or first[0] not in _OPENING:
        return None
    if data[start + 1 : start + 2].isalnum():
        found_inside = leading(data, start + 1, now, utc_offset)
        if found_inside is None:
            return None
        if first == b"[":
            return _closed(data, found_inside)
        return found_inside._replace(unsynchronized=first == b"*")
    return None


def epoch(data: bytes, start: int, now: float) -> Stamp | None:
    """Return seconds, milli-, micro- or nanoseconds since 1970; without a fraction only within a year of now."""
    found = _EPOCH.match(data, start)
    if not found:
        return None
    seconds = int(found[1])
    fraction = found[2] or found[3] or b""
    if not _FIRST <= seconds < _LAST or (not found[2] and abs(seconds - now) > _A_YEAR):
        return None
    text = strftime("%Y-%m-%dT%H:%M:%S", gmtime(seconds)).encode() + (b"." + fraction if fraction else b"") + b"Z"
    end = _behind(data, found.end())
    return None if end < 0 else Stamp(text, True, end)


def _by_name(data: bytes, found: re.Match[bytes], now: float, utc_offset: float | None) -> Stamp | None:
    """`Nov 27 …`, which is by far the most frequent."""
    month, day, year, clock, fraction, zone, behind = found.groups()
    dated = _date(year or behind or b"", month.lower(), day, int(now) // 86400)
    if not dated or not _is_clock(clock):
        return None
    text = b"%bT%b" % (dated, clock)
    if fraction:
        text += b"." + fraction
    return _ended(data, text, found.end(), zone, now, utc_offset)


def _by_groups(data: bytes, found: re.Match[bytes] | None, now: float, utc_offset: float | None) -> Stamp | None:
    """Any other notation, by the names of its groups."""
    if found is None:
        return None
    group = found.groupdict()
    clock = group["clock"]
    month, day = group.get("month"), group.get("day")
    half = (group.get("half") or b"").lower()
    if "first" in group:
        month, day = _told_apart(group, half, int(now) // 86400)
    dated = _date(group["year"] or group.get("behind") or b"", month.lower() if month else b"", day, int(now) // 86400)
    if b":" not in clock:
        clock = clock[:2] + b":" + clock[2:4] + b":" + clock[4:]
    if clock[1:2] == b":":
        clock = b"0" + clock
    if len(clock) == 5:
        clock += b":00"
    if half:
        if not b"01" <= clock[:2] <= b"12":
            return None
        clock = b"%02d%b" % (int(clock[:2]) % 12 + (12 if half == b"p" else 0), clock[2:])
    if not dated or not _is_clock(clock):
        return None
    text = b"%bT%b" % (dated, clock)
    if group["fraction"]:
        text += b"." + group["fraction"]
    return _ended(data, text, found.end(), group.get("offset") or group.get("zone"), now, utc_offset)


def _ended(
    data: bytes, text: bytes, end: int, offset: bytes | None, now: float, utc_offset: float | None
) -> Stamp | None:
    """Return the stamp with its zone, if the message goes on behind it as behind a stamp."""
    if offset in (b"Z", b"z"):
        zone = b"Z"
    elif offset:
        zone = zones.behind(offset, 0)[0]
        if not zone:
            return None
    else:
        zone, end = zones.behind(data, end)
    end = _behind(data, end)
    if end < 0:
        return None
    if zone == b"?" or not zone:
        return Stamp(text + zones.local(text, now, utc_offset), False, end, zone == b"?")
    return Stamp(text + zone, True, end)


def _behind(data: bytes, end: int) -> int:
    """Return where the message goes on behind a stamp that ends at `end`; -1 if it cannot end there."""
    byte = data[end : end + 1]
    if byte == b":":
        return end + 2 if data[end + 1 : end + 2] == b" " else end + 1
    if byte in (b" ", b"\t") or data[end : end + 2] == b", ":
        return end + 1 if byte != b"," else end + 2
    return -1 if byte and byte != b"]" else end


def _closed(data: bytes, stamp: Stamp) -> Stamp | None:
    """Return the stamp in brackets, if they are closed behind it."""
    if data[stamp.end : stamp.end + 1] != b"]":
        return None
    end = _behind(data, stamp.end + 1)
    return None if end < 0 else stamp._replace(end=end)


def _told_apart(found: dict[str, bytes], half: bytes, today: int) -> tuple[bytes, bytes]:
    """(month, day) of a date in numbers; empty if they may be either.

    With dots the day is first, with AM and PM the month; else what alone is possible, or alone is near today.
    """
    first, second = found["first"], found["second"]
    if found["mark"] == b"." or int(first) > 12:
        return second, first
    if half or int(second) > 12 or first == second:
        return first, second
    day = date.fromordinal(_UNIX_EPOCH_DAY + today)
    near = []
    for month, number in ((first, second), (second, first)):
        if _date(found["year"], month, number, today) in {
            (day + timedelta(days=distance)).isoformat().encode() for distance in (-2, -1, 0, 1)
        }:
            near.append((month, number))
    return near[0] if len(near) == 1 else (b"", b"")


def _is_clock(clock: bytes) -> bool:
    return clock < b"24" and clock[3] < 54 and (clock[6] < 54 or clock[6:] == b"60")


@lru_cache(maxsize=1024)
def _date(year: bytes, month: bytes, day: bytes, today: int) -> bytes:
    """`YYYY-MM-DD`, empty if there is no such day. `today` is in days since 1970."""
    number = _MONTHS.get(month) or (int(month) if month.isdigit() else 0)
    if year:
        years = [int(year)]
        if not 1970 <= years[0] <= 2261:  # what nanoseconds in 64 bits can say
            return b""
    else:
        current = date.fromordinal(_UNIX_EPOCH_DAY + today).year
        years = [current - 1, current, current + 1]
    dates = []
    for candidate in years:
        try:
            dates.append(date(candidate, number, int(day)))
        except ValueError:  # 29 February
            continue
    if not dates:
        return b""
    return min(dates, key=lambda one: abs(one.toordinal() - _UNIX_EPOCH_DAY - today)).isoformat().encode()
