"""FortiGate: name and type become host and application, the line stays whole, the best of its times counts."""

import pytest

from tests.unit.relay.parse.reading import BSD, CLOCK, DATE, LOCAL, check

BODY = b'devname="FGT1" devid="FG100" logid="0000000013" type="traffic" subtype="forward" level="notice" srcip=10.0.0.9'


@pytest.mark.parametrize("header", [b"", BSD + b" ", BSD + b" relay1 "])
def test_the_line_is_whole(header: bytes) -> None:
    line = b"date=%b time=%b %b" % (DATE, CLOCK, BODY)
    check(
        b"<189>%b%b" % (header, line),
        host=b"FGT1",
        application=b"traffic",
        text=line,
        stamp=LOCAL,
        has_zone=False,
        vendor="Fortinet",
        product="FortiGate",
    )


def test_the_zone_and_the_seconds_since_1970_are_used() -> None:
    check(
        b'<189>%b date=2022-04-26 time=13:33:09 tz="+0200" %b' % (BSD, BODY),
        stamp=b"2022-04-26T13:33:09+02:00",
        has_zone=True,
    )
    check(b"<189>date=%b time=%b %b eventtime=1650972789426960608" % (DATE, CLOCK, BODY), stamp=LOCAL)


def test_without_quotes_it_is_the_same() -> None:
    check(
        b"<189>date=%b time=%b devname=FGT1 devid=FG100 type=event x" % (DATE, CLOCK),
        host=b"FGT1",
        application=b"event",
    )


def test_another_line_of_pairs_is_none() -> None:
    check(b"<13>%b sw-01 date=%b x=1" % (BSD, DATE), vendor="", host=b"sw-01", stamp=LOCAL, text=b"date=%b x=1" % DATE)
