# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=False, auto_pickle=False
"""Time stamps and the calendar, compiled. Types are in `timestamps.pxd`."""

import cython

if cython.compiled:
    from cython.cimports.appliance.relay.hot.primitives import COLON, DASH, DOT, digit, two_digits  # type: ignore[import-not-found]
else:
    from appliance.relay.hot.primitives import COLON, DASH, DOT, digit, two_digits

_MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"


def days_since_1970(year: cython.longlong, month: cython.int, day: cython.int) -> cython.longlong:
    """Days from 1970-01-01 of the proleptic Gregorian calendar."""
    if month <= 2:
        year -= 1
        month += 12
    era: cython.longlong = year // 400
    of_era: cython.longlong = year - era * 400
    of_year: cython.longlong = (153 * (month - 3) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def days_in(year: cython.int, month: cython.int) -> cython.int:
    if month == 2:
        return 29 if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


def rfc3339(p: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.longlong:
    """Unix nanoseconds of an RFC 3339 time stamp with any number of fraction digits, or -1."""
    if (
        end - start < 20
        or p[start + 4] != DASH
        or p[start + 7] != DASH
        or p[start + 13] != COLON
        or p[start + 16] != COLON
    ):
        return -1
    if p[start + 10] != 84 and p[start + 10] != 116:  # T
        return -1
    century: cython.int = two_digits(p, start)
    year: cython.int = century * 100 + two_digits(p, start + 2)
    month: cython.int = two_digits(p, start + 5)
    day: cython.int = two_digits(p, start + 8)
    hour: cython.int = two_digits(p, start + 11)
    minute: cython.int = two_digits(p, start + 14)
    second: cython.int = two_digits(p, start + 17)
    if century < 0 or year < 1970 or year > 2261 or month < 1 or month > 12 or day < 1 or day > days_in(year, month):
        return -1
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 60:
        return -1
    at: cython.Py_ssize_t = start + 19
    nanos: cython.longlong = 0
    if p[at] == DOT:  # a fraction; digits after the ninth are below a nanosecond
        scale: cython.longlong = 100000000
        at += 1
        first: cython.Py_ssize_t = at
        while at < end and digit(p[at]):
            nanos += scale * (p[at] - 48)
            scale //= 10
            at += 1
        if at == first:
            return -1
    offset: cython.longlong = 0
    if at == end - 1 and (p[at] == 90 or p[at] == 122):  # Z
        offset = 0
    elif at == end - 6 and (p[at] == 43 or p[at] == DASH) and p[at + 3] == COLON:
        hours: cython.int = two_digits(p, at + 1)
        minutes: cython.int = two_digits(p, at + 4)
        if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
            return -1
        offset = hours * 3600 + minutes * 60
        if p[at] == DASH:
            offset = -offset
    else:
        return -1
    seconds: cython.longlong = days_since_1970(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
    if seconds < 0:
        return -1
    return seconds * 1000000000 + nanos


def year_of(days: cython.longlong) -> cython.longlong:
    """The year of that day from 1970-01-01, after 1970."""
    year: cython.longlong = 1970 + days // 366
    while days_since_1970(year + 1, 1, 1) <= days:
        year += 1
    return year


def month_of(p: cython.p_uchar, at: cython.Py_ssize_t) -> cython.int:
    """The number of the month whose English name stands there in three letters, or 0."""
    k: cython.int
    months: cython.p_uchar = _MONTHS
    for k in range(12):
        if months[3 * k] == p[at] and months[3 * k + 1] == p[at + 1] and months[3 * k + 2] == p[at + 2]:
            return k + 1
    return 0


def parse_timestamp(text: bytes) -> int:
    """Unix nanoseconds of an RFC 3339 time stamp, or -1."""
    buffer = bytearray(text)
    return rfc3339(buffer, 0, len(buffer))


def compiled() -> bool:
    """Return whether this is the compiled module."""
    return bool(cython.compiled)
