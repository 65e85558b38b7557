"""Names and notations of time zones behind a timestamp, as devices write them.

RFC 3339 knows offsets only. A name with one meaning among the senders of logs is turned into its offset;
a name with several (IST, BST, …) or a POSIX one (`TZ-6`, whose sign may mean either) is a zone, and so
never the host, but says nothing that is certain.
"""

import re
import time
from functools import lru_cache

OFFSETS = {
    b"UTC": b"+00:00", b"GMT": b"+00:00", b"Z": b"+00:00", b"WET": b"+00:00", b"WEST": b"+01:00",
    b"CET": b"+01:00", b"CEST": b"+02:00", b"MET": b"+01:00", b"MEST": b"+02:00", b"EET": b"+02:00",
    b"EEST": b"+03:00", b"MSK": b"+03:00", b"EST": b"-05:00", b"EDT": b"-04:00", b"CST": b"-06:00",
    b"CDT": b"-05:00", b"MST": b"-07:00", b"MDT": b"-06:00", b"PST": b"-08:00", b"PDT": b"-07:00",
    b"AKST": b"-09:00", b"AKDT": b"-08:00", b"HST": b"-10:00", b"JST": b"+09:00", b"AEST": b"+10:00",
    b"AEDT": b"+11:00",
}  # fmt: skip
AMBIGUOUS = frozenset(
    b"BST IST HKT SGT ICT AST ADT NST NDT KST PKT NZST NZDT ACST ACDT AWST SAST BRT ART CLT WIB WAT CAT EAT TRT".split()
)
NAMES = frozenset(OFFSETS) | AMBIGUOUS
"""What stands for a zone where a host could stand."""

_ZONE = re.compile(
    rb" ?(?:([A-Z]{1,5})|(?:(?:UTC|GMT) ?)?([+-])([0-9]{1,2})(?::?([0-9]{2}))?|(TZ[+-][0-9]{1,2}))(?=[]: ]|$)"
)


def behind(data: bytes, start: int) -> tuple[bytes, int]:
    """Return (offset `±hh:mm`, end) of the zone at `start`; `?` for one that is not certain, empty for none."""
    found = _ZONE.match(data, start)
    if not found:
        return b"", start
    name, sign, hours, minutes, posix = found.groups()
    if name:
        offset = OFFSETS.get(name) or (b"?" if name in AMBIGUOUS else b"")
        return offset, found.end() if offset else start
    if posix:
        return b"?", found.end()
    if int(hours) > 15 or int(minutes or 0) > 59 or (len(hours) == 1 and minutes):
        return b"", start
    return b"%b%02d:%02d" % (sign, int(hours), int(minutes or 0)), found.end()


def local(wall: bytes, now: float, utc_offset: float | None) -> bytes:
    """Return the offset of a stamp without a zone: `utc_offset` (seconds), or what this machine's zone had then.

    `wall` is its `YYYY-MM-DDTHH:MM:SS`. In the hour that comes twice when summer ends, the one nearer to `now`.
    """
    if utc_offset is not None:
        return _written(int(utc_offset))
    return _at(wall[:16], int(now) // 900, time.tzname)


@lru_cache(maxsize=4096)
def _at(wall: bytes, quarter: int, _zone: tuple[str, str]) -> bytes:
    """Return the offset of this machine's zone at a wall clock's `YYYY-MM-DDTHH:MM`, near this quarter of an hour."""
    year, month, day, hour, minute = (int(part) for part in re.split(rb"[-T:]", wall))
    now = quarter * 900
    moments = []
    for daylight in (0, 1, -1):
        try:
            moment = time.mktime((year, month, day, hour, minute, 0, 0, 0, daylight))
        except (OverflowError, ValueError):  # outside what the system's calendar can say
            continue
        if time.localtime(moment)[:5] == (year, month, day, hour, minute):
            moments.append(moment)
    nearest = min(moments, key=lambda moment: abs(moment - now), default=now)
    return _written(time.localtime(nearest).tm_gmtoff)


def _written(seconds: int) -> bytes:
    return b"%b%02d:%02d" % (b"-" if seconds < 0 else b"+", *divmod(abs(seconds) // 60, 60))
