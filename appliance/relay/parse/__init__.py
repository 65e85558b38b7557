"""From the bytes of a message to a record: headers, dialects, time stamps. Pure functions.

`read` is the one entry. A priority is cut off, then a time, then the first that fits is taken: RFC 5424
(`rfc5424`), a well-formed RFC 3164 header (`rfc3164.plain`), a dialect of the table (`dialects`), and
at last whatever of RFC 3164 there is (`rfc3164.read`), which takes everything.
"""

import re

from appliance.relay.parse import dialects, rfc3164, rfc5424
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import DEFAULT_PRIORITY, Record

__all__ = ["Record", "read"]

_PRIORITY = re.compile(rb"<(1[0-8][0-9]|19[01]|[0-9]{1,2}|0[0-9]{2})>")


def read(raw: bytes, now: float, *, utc_offset: float | None = None) -> Record:
    """Read one message, as it was received; what is not understood stays in the text.

    `now` (Unix seconds) gives a time stamp without a year the year that brings it nearest; `utc_offset`
    (seconds) is that of time stamps without a zone, this machine's own by default. Never raises.
    """
    return _read(raw.rstrip(b"\r\n"), now, utc_offset, 0)


def _read(raw: bytes, now: float, utc_offset: float | None, depth: int) -> Record:
    found = _PRIORITY.match(raw)
    if found:
        message = Message(int(found[1]), raw[found.end() :], (), now, utc_offset, depth)
    else:
        message = Message(DEFAULT_PRIORITY, raw, ("nopri",), now, utc_offset, depth)
    if message.whole.startswith(b"1 "):
        record = rfc5424.read(message)
        if record is not None:
            return record
    if message.take_time(message.whole):
        record = rfc3164.plain(message)
        if record is not None:
            maker = dialects.APPLICATIONS.get(record.application)
            return record if maker is None else record._replace(vendor=maker[0], product=maker[1])
    record = dialects.read(message)
    return rfc3164.read(message) if record is None else record
