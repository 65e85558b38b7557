"""Sizes, durations, rates and addresses: what is taken, what is refused, and that spelling is lossless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.units import MAX_DURATION, MAX_SIZE, Duration, Endpoint, Rate, Size


@pytest.mark.parametrize(
    ("text", "value"),
    [("512", 512), (512, 512), ("64KiB", 65536), ("3MB", 3_000_000), ("2GiB", 2**31), ("1.5 kib", 1536), ("0", 0)],
)
def test_a_size_is_read_in_the_units_people_write(text: object, value: int) -> None:
    assert Size.parse(text) == value


@pytest.mark.parametrize("text", ["", "x", "-1", -1, "1 XB", "1e9", True, None, "9" * 400, "9999999TiB", 2**63])
def test_what_is_no_size_is_refused_in_words(text: object) -> None:
    with pytest.raises(ValueError, match="size"):
        Size.parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", 10), (10, 10), (0.5, 0.5), ("500ms", 0.5), ("1h30m", 5400), ("7d", 604800), ("1.5 s", 1.5), ("1w", 604800)],
)
def test_a_duration_is_read_in_the_units_people_write(text: object, value: float) -> None:
    assert Duration.parse(text) == value


@pytest.mark.parametrize("text", ["", "s", "5ss", "1s2", "-1s", -1, float("nan"), float("inf"), True, None, "9" * 50])
def test_what_is_no_duration_is_refused_in_words(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        Duration.parse(text)


def test_a_rate_may_end_in_per_second() -> None:
    assert Rate.parse("3MB/s") == Rate.parse("3MB") == 3_000_000
    assert str(Rate(3 * 2**20)) == "3MiB/s"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:2514", "127.0.0.1", 2514),
        ("[::1]:3500", "::1", 3500),
        (":9081", "", 9081),
        ("localhost:1", "localhost", 1),
    ],
)
def test_an_endpoint_has_a_host_and_a_port(text: str, host: str, port: int) -> None:
    endpoint = Endpoint.parse(text)
    assert (endpoint.host, endpoint.port) == (host, port)


@pytest.mark.parametrize(
    "text", ["", "2514", 2514, "::1:80", "[::g]:80", "a b:1", "300.1.1.1:4", "x:65536", "x:-1", "x:"]
)
def test_what_is_no_endpoint_is_refused_in_words(text: object) -> None:
    with pytest.raises(ValueError, match="listening address"):
        Endpoint.parse(text)


@given(st.integers(0, MAX_SIZE))
def test_every_size_and_rate_survives_being_written_and_read(number: int) -> None:
    assert Size.parse(str(Size(number))) == number
    assert Rate.parse(str(Rate(number))) == number


@given(st.floats(0, MAX_DURATION))
def test_every_duration_survives_being_written_and_read(seconds: float) -> None:
    duration = Duration.parse(seconds)
    assert abs(duration - seconds) < 1e-6 or seconds > 1e9
    assert Duration.parse(str(duration)) == duration


@given(st.text(max_size=30) | st.integers() | st.floats() | st.booleans() | st.none())
def test_whatever_is_written_is_read_or_refused_never_anything_else(value: object) -> None:
    for unit in (Size, Rate, Duration, Endpoint):
        try:
            parsed = unit.parse(value)  # type: ignore[attr-defined]
        except ValueError as error:
            assert str(error)
        else:
            assert unit.parse(str(parsed)) == parsed  # type: ignore[attr-defined]
