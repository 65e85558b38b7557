"""What the tests of the parser share: times derived from one now, and a record by the fields that a case names."""

import time
from typing import Any

from appliance.relay.parse import Record, read

NOW = 1_795_000_000.0
"""2026-11-18T14:26:40Z; `read` is told the time, so that nothing here depends on today."""
_UTC = time.gmtime(NOW - 3600)
YEAR = b"%d" % _UTC.tm_year
DATE = time.strftime("%Y-%m-%d", _UTC).encode()
CLOCK = time.strftime("%H:%M:%S", _UTC).encode()
BSD = time.strftime("%b %e %H:%M:%S", _UTC).encode()
"""`Nov 27 06:30:01`, an hour ago."""
BSD_DAY = BSD[:6]
ISO = DATE + b"T" + CLOCK + b"Z"
"""The same, in RFC 3339."""
LOCAL = DATE + b"T" + CLOCK + b"+00:00"
"""What a time without a zone becomes where the zone is UTC."""


def reading(wire: bytes, *, utc_offset: float = 0.0) -> Record:
    """Return the record of a message received now, in a zone that is UTC."""
    return read(wire, NOW, utc_offset=utc_offset)


def fields(record: Record, *names: str) -> dict[str, Any]:
    """Return the fields of a record by name."""
    return {name: getattr(record, name) for name in names}


def check(wire: bytes, **expected: Any) -> None:
    """Assert that a message becomes a record with these fields, and that a relay of any kind changes none of them.

    `host` is what the message says; `-` lets the sender's address stand for it.
    """
    record = reading(wire)
    assert fields(record, *expected) == expected
    assert reading(wire + b"\r\n") == record
