"""Loki's clock against ours, by the Date header of its answers.

Pure. The header is cut to the second and comes from whatever answers, so the difference is good to about
a second; a proxy's clock is compared in place of Loki's.
Source: RFC 9110, 6.6.1.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime

NOTICEABLE = 30.0
"""Seconds of difference from which on the clocks are said to differ."""


def clock_skew(date: str, sent_at: float, received_at: float) -> float | None:
    """Return seconds that the server's clock is ahead of ours (negative: behind); None if it sent no date.

    `sent_at` and `received_at` are our Unix times around the request.
    """
    try:
        moment = parsedate_to_datetime(date)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # It is from within the second that it names, and from between sending and receiving.
    earliest = moment.timestamp() - received_at
    latest = moment.timestamp() + 1.0 - sent_at
    return 0.0 if earliest <= 0.0 <= latest else round((earliest + latest) / 2, 3)
