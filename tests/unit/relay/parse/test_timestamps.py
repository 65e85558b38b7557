"""Timestamps: every order and notation becomes the same RFC 3339, and what cannot be a time is none."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from appliance.relay.hot import parse_timestamp
from appliance.relay.parse.timestamps import leading
from tests.unit.relay.parse.reading import NOW


def at(pattern: str, moment: datetime | None = None) -> bytes:
    return (moment or datetime.fromtimestamp(NOW - 3600, UTC)).strftime(pattern).encode()


SECOND = at("%Y-%m-%dT%H:%M:%S")
LOCAL = [
    "%b %e %H:%M:%S",
    "%b %d %H:%M:%S",
    "%b %e %Y %H:%M:%S",
    "%b %e %H:%M:%S %Y",
    "%Y %b %e %H:%M:%S",
    "%a %b %e %H:%M:%S %Y",
    "%a %b %e %Y %H:%M:%S",
    "%a, %d %b %Y %H:%M:%S",
    "%d %b %Y %H:%M:%S",
    "%d-%b-%Y %H:%M:%S",
    "%d/%b/%Y:%H:%M:%S",
    "[%d/%b/%Y:%H:%M:%S]",
    "[%a %b %e %H:%M:%S %Y]",
    "%A, %B %d, %Y %I:%M:%S %p",
    "%b %e %I:%M:%S %p",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%Y:%m:%d-%H:%M:%S",
    "%Y-%m-%d %I:%M:%S %p",
    "%Y%m%dT%H%M%S",
    "%Y%m%d%H%M%S",
    "%Y.%m.%d %H:%M:%S",
    "%d %b %H:%M:%S",
    "%Y%m%d %H:%M:%S",
    "%d.%m.%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y:%H:%M:%S",
    "*%b %e %H:%M:%S",
    ".%b %e %H:%M:%S",
    " %b %e %H:%M:%S",
]
ZONED = ["%b %e %H:%M:%S{}", "%Y-%m-%dT%H:%M:%S{}", "%Y-%m-%d %H:%M:%S{}", "%d/%b/%Y:%H:%M:%S{}", "%b %e %Y %H:%M:%S{}"]


@pytest.mark.parametrize("pattern", LOCAL)
@pytest.mark.parametrize("behind", [b" host", b": host", b"", b"\thost"])
def test_every_order_is_the_same_time(pattern: str, behind: bytes) -> None:
    stamp = leading(at(pattern) + behind, 0, NOW, 3600)
    assert stamp is not None
    assert (stamp.text, stamp.has_zone) == (SECOND + b"+01:00", False)
    assert (at(pattern) + behind)[stamp.end :] == (b"host" if behind else b"")


@pytest.mark.parametrize("pattern", ZONED)
@pytest.mark.parametrize(
    ("zone", "offset"),
    [
        ("Z", b"Z"),
        (" UTC", b"+00:00"),
        (" CET", b"+01:00"),
        (" CEST", b"+02:00"),
        ("+01:00", b"+01:00"),
        (" +0530", b"+05:30"),
        ("-0800", b"-08:00"),
        (" GMT", b"+00:00"),
        (" UTC+2", b"+02:00"),
    ],
)
def test_a_zone_is_read(pattern: str, zone: str, offset: bytes) -> None:
    stamp = leading(at(pattern.format(zone)) + b" host", 0, NOW, 3600)
    assert stamp is not None
    assert stamp.text in (SECOND + offset, SECOND + offset.replace(b"Z", b"+00:00"))
    assert stamp.has_zone


@pytest.mark.parametrize("zone", [b" IST", b" BST", b" TZ-6"])
def test_a_zone_that_may_be_one_of_several_is_said(zone: bytes) -> None:
    stamp = leading(at("%b %e %H:%M:%S") + zone + b" host", 0, NOW, 3600)
    assert stamp is not None
    assert (stamp.text, stamp.has_zone, stamp.uncertain_zone) == (SECOND + b"+01:00", False, True)


@pytest.mark.parametrize("fraction", [b"1", b"123", b"123456", b"123456789", b"1234567890123"])
@pytest.mark.parametrize("mark", [b".", b","])
def test_a_fraction_keeps_its_digits(fraction: bytes, mark: bytes) -> None:
    for pattern in ("%b %e %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%a %b %e %H:%M:%S"):
        stamp = leading(at(pattern) + mark + fraction + b" host", 0, NOW, 0)
        assert stamp is not None
        assert stamp.text == SECOND + b"." + fraction + b"+00:00"


@pytest.mark.parametrize(("factor", "digits"), [(1, ""), (10**3, ".123"), (10**6, ".123456"), (10**9, ".123456789")])
def test_seconds_since_1970_and_their_thousandths(factor: int, digits: str) -> None:
    whole = int(NOW) - 3600
    number = b"%d%b" % (whole, digits[1:].encode())
    stamp = leading(number + b" host", 0, NOW, 3600)
    assert stamp is not None
    assert stamp.text == second_of(whole) + digits.encode() + b"Z"
    assert factor


def second_of(seconds: int) -> bytes:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


@pytest.mark.parametrize(
    "text",
    [
        b"Nov 31 10:00:00 h",
        b"Feb 30 10:00:00 h",
        b"Nov 23 25:00:00 h",
        b"Nov 23 10:61:00 h",
        b"Nov 23 10:00:61 h",
        b"Foo 23 10:00:00 h",
        b"2026-13-01 10:00:00 h",
        b"2026-02-30T10:00:00Z h",
        b"0000-01-01 10:00:00 h",
        b"9999-01-01T00:00:00Z h",
        b"1234567890123456 h",
        b"5000000000 h",
        b"0123456789 h",
        b"Nov 23 10:00:00x h",
        b"Nov",
        b"",
        b"*",
        b"[",
        b"12/13/14 x",
        b"Nov 23 13:00:00 PM h",
        b"[2026-11-27 10:00:00 h",
    ],
)
def test_what_cannot_be_a_time_is_none(text: bytes) -> None:
    assert leading(text, 0, NOW, 0) is None


def test_day_and_month_that_may_be_either_are_no_time() -> None:
    far = datetime.fromtimestamp(NOW, UTC) + timedelta(days=100)
    text = b"%d/%d/%d 10:00:00 h" % (3, 4, far.year - 2)
    assert leading(text, 0, NOW, 0) is None


@pytest.mark.parametrize(
    ("now", "text", "year"),
    [
        ("2026-01-01T00:00:30", b"Dec 31 23:59:59 h", 2025),
        ("2025-12-31T23:59:30", b"Jan  1 00:00:10 h", 2026),
        ("2026-07-01T00:00:00", b"Jan  1 00:00:10 h", 2026),
        ("2025-03-01T00:00:00", b"Feb 29 10:00:00 h", 2024),
    ],
)
def test_a_missing_year_is_the_nearest(now: str, text: bytes, year: int) -> None:
    stamp = leading(text, 0, datetime.fromisoformat(now + "+00:00").timestamp(), 0)
    assert stamp is not None
    assert stamp.text.startswith(b"%d-" % year)


@pytest.mark.parametrize("pattern", LOCAL)
def test_the_result_is_what_the_relay_reads(pattern: str) -> None:
    stamp = leading(at(pattern) + b" h", 0, NOW, -34200)
    assert stamp is not None
    assert parse_timestamp(stamp.text) == (int(NOW - 3600) + 34200) * 10**9


@pytest.fixture
def paris(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("paris")
@pytest.mark.parametrize(
    ("now", "text", "stamp"),
    [
        ("2026-11-27T10:00:00", b"Jul 14 10:00:00 h", b"2026-07-14T10:00:00+02:00"),
        ("2026-07-14T10:00:00", b"Jan 14 10:00:00 h", b"2026-01-14T10:00:00+01:00"),
        ("2026-10-25T00:31:00", b"Oct 25 02:30:00 h", b"2026-10-25T02:30:00+02:00"),
        ("2026-10-25T01:31:00", b"Oct 25 02:30:00 h", b"2026-10-25T02:30:00+01:00"),
    ],
)
def test_a_time_without_a_zone_has_the_machines_of_then(now: str, text: bytes, stamp: bytes) -> None:
    found = leading(text, 0, datetime.fromisoformat(now + "+00:00").timestamp(), None)
    assert found is not None
    assert found.text == stamp
