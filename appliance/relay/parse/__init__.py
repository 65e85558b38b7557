"""From the bytes of a message to a record: headers, dialects, timestamps. Pure functions.

`read` is the one entry. A priority is cut off, then a time, then the first that fits is taken: RFC 5424
(`rfc5424`), a well-formed RFC 3164 header (`rfc3164.plain`), a dialect of the table (`dialects`), what a
relay wrapped (`relayed`), and at last whatever of RFC 3164 there is (`rfc3164.read`), which takes everything.
"""

import re

from appliance.relay.parse import dialects, relayed, rfc3164, rfc5424
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import DEFAULT_PRIORITY, Record

__all__ = ["Record", "read"]

_PRIORITY = re.compile(rb"<(1[0-8][0-9]|19[01]|[0-9]{1,2}|0[0-9]{2})>")


def read(raw: bytes, now: float, *, utc_offset: float | None = None) -> Record:
    """Read one message, as it was received; what is not understood stays in the text.

    `now` (Unix seconds) gives a timestamp without a year the year that brings it nearest; `utc_offset`
    (seconds) is that of timestamps without a zone, by default what this machine's zone had then. Never raises.
    """
    return _read(raw.rstrip(b"\r\n"), now, utc_offset, DEFAULT_PRIORITY, 0)


def _read(raw: bytes, now: float, utc_offset: float | None, priority: int, depth: int) -> Record:
    found = _PRIORITY.match(raw)
    if found:
        message = Message(int(found[1]), raw[found.end() :], (), now, utc_offset, depth)
    else:
        message = Message(priority, raw, () if depth else ("nopri",), now, utc_offset, depth)
    record = rfc5424.read(message) if b" " in message.whole[1:3] else None
    if record is None:
        if message.take_time(message.whole) or rfc5424.take_time(message):
            record = rfc3164.plain(message)
        if record is None:
            record = dialects.read(message) or relayed.read(message, _inner) or rfc3164.read(message)
    if not record.vendor and record.application in dialects.APPLICATIONS:
        vendor, product = dialects.APPLICATIONS[record.application]
        return record._replace(vendor=vendor, product=product)
    return record


def _inner(raw: bytes, around: Message) -> Record:
    """Return what a relay wrapped: without a priority of its own it has that of the header around it."""
    return _read(raw, around.now, around.utc_offset, around.priority, around.depth + 1)
