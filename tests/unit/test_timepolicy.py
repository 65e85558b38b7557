"""Timestamps without a year, across New Year."""

from datetime import UTC, datetime

import pytest

from appliance.config import model
from appliance.relay.hot import parse_timestamp
from appliance.relay.parse.time_policy import TimePolicy


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("received", "stamp", "has_zone", "expected"),
    [
        ("2027-01-01T00:00:05", b"2027-12-31T23:59:58Z", False, ("2026-12-31T23:59:58", "")),
        ("2028-03-01T00:00:05", b"2028-02-29T23:59:58Z", False, ("2028-02-29T23:59:58", "")),
        ("2027-01-01T00:00:05", b"2027-12-31T23:59:58Z", True, ("2027-01-01T00:00:05", "clock")),
        ("2027-06-01T00:00:00", b"2027-12-31T23:59:58Z", False, ("2027-06-01T00:00:00", "clock")),
    ],
)
def test_a_year_that_was_guessed_a_year_ahead_is_put_right(
    received: str, stamp: bytes, has_zone: bool, expected: tuple[str, str]
) -> None:
    policy = TimePolicy(model.TimeSettings())
    believed, word = policy.believe(parse_timestamp(stamp), ns(received), has_zone, b"", stamp)
    assert (believed, word) == (ns(expected[0]), expected[1])
