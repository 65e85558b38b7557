"""The local clock: what it showed when, and how that is written. Knows the system's zone, and nothing of messages."""

import calendar
import time


def offsets(wall: int) -> tuple[int, int]:
    """Return the offsets from UTC (seconds) at which the local clock can show `wall`.

    `wall` is in seconds since 1970 as if the clock showed UTC. The two differ in the hour that comes
    twice when summer time ends: first that of summer time.
    """
    clock = time.gmtime(wall)[:6]
    found = []
    for summer in (1, 0):
        moment = int(time.mktime((*clock, 0, 0, summer)))
        if calendar.timegm(time.localtime(moment)) == wall:
            found.append(wall - moment)
    if not found:  # the hour that is left out when summer time begins
        found.append(wall - int(time.mktime((*clock, 0, 0, -1))))
    return found[0], found[-1]


def rfc3339(moment: int, fraction: bytes, offset: int) -> bytes:
    """Return the Unix time `moment` at `offset` (seconds) from UTC; `fraction` is empty or begins with its dot."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment + offset)).encode()
    return text + fraction + b"%b%02d:%02d" % (b"-" if offset < 0 else b"+", *divmod(abs(offset) // 60, 60))
