"""Times and sizes as Go prints them in Loki's answers."""

import time


def seconds_rfc3339(ns: int) -> str:
    """`2026-11-15T07:50:06Z`: time.RFC3339, without fractions."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ns // 10**9))


def go_time(ns: int) -> str:
    """`2026-11-23 05:50:06.596056047 +0000 UTC`: time.Time.String()."""
    fraction = f".{ns % 10**9:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ns // 10**9)) + fraction + " +0000 UTC"


def byte_size(size: float) -> str:
    """`1MB`, `1000B`: the largest unit that divides it (datasize.ByteSize)."""
    number = int(size)
    for unit, factor in (("GB", 2**30), ("MB", 2**20), ("KB", 2**10)):
        if number and number % factor == 0:
            return f"{number // factor}{unit}"
    return f"{number}B"
