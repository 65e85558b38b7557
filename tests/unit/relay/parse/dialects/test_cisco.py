"""Cisco: whatever stands before the mnemonic, facility and mnemonic are found and stay in the text."""

import pytest

from tests.unit.relay.parse.reading import BSD, BSD_DAY, CLOCK, DATE, ISO, LOCAL, YEAR, check

UTC = LOCAL[:-6]


@pytest.mark.parametrize(
    ("before", "stamp", "host", "data"),
    [
        (b"", b"", b"-", b""),
        (BSD + b": ", LOCAL, b"-", b""),
        (b"%b %b %b: " % (BSD_DAY, YEAR, CLOCK), LOCAL, b"-", b""),
        (b":%b UTC: " % BSD, UTC + b"+00:00", b"-", b""),
        (b"%b fw1 : " % BSD, LOCAL, b"fw1", b""),
        (b"%b fw1: " % BSD, LOCAL, b"fw1", b""),
        (b" %b fw1 " % BSD, LOCAL, b"fw1", b""),
        (b"%b fw1 : " % ISO, ISO, b"fw1", b""),
        (b"45: %b.123: " % BSD, UTC + b".123+00:00", b"-", b'[cisco sequence="45"]'),
        (b"45: rtr1: 000123: %b.123 CET: " % BSD, UTC + b".123+01:00", b"rtr1", b'[cisco sequence="000123"]'),
        (b"45: 10.0.0.9: 000123: %b: " % BSD, LOCAL, b"10.0.0.9", b'[cisco sequence="000123"]'),
        (b"rtr1: %b: " % BSD, LOCAL, b"rtr1", b""),
        (b": %b %b CET: " % (YEAR, BSD), UTC + b"+01:00", b"-", b""),
        (b": N9K1: %b %b UTC: " % (YEAR, BSD), UTC + b"+00:00", b"N9K1", b""),
        (b"wlc1: *spamApTask1: %b.123: " % BSD, UTC + b".123+00:00", b"wlc1", b'[cisco task="spamApTask1"]'),
        (b"00:01:01: ", b"", b"-", b""),
        (b"7: 1w2d: ", b"", b"-", b'[cisco sequence="7"]'),
        (b"%b 10.0.0.9 45: rtr1: 000123: %b: " % (BSD, BSD), LOCAL, b"rtr1", b'[cisco sequence="000123"]'),
        (b"%b 10.0.0.9 45: %b: " % (BSD, BSD), LOCAL, b"10.0.0.9", b'[cisco sequence="45"]'),
    ],
)
@pytest.mark.parametrize("mnemonic", [b"ASA-6-302013", b"ASA-session-6-302013", b"LINK-3-UPDOWN", b"LINK-W-Down"])
def test_the_header_is_read(before: bytes, stamp: bytes, host: bytes, data: bytes, mnemonic: bytes) -> None:
    check(
        b"<189>%b%%%b: Interface Gi0/1: up" % (before, mnemonic),
        stamp=stamp,
        host=host,
        application=mnemonic.partition(b"-")[0],
        message_id=mnemonic,
        structured_data=data,
        text=b"%%%b: Interface Gi0/1: up" % mnemonic,
        vendor="Cisco",
    )


@pytest.mark.parametrize(
    ("before", "host"), [(b"123: ", b"-"), (b"123: xr1 ", b"xr1"), (b"xr1: ", b"xr1"), (b"123: xr1: ", b"xr1")]
)
@pytest.mark.parametrize("colon", [b":", b" :"])
def test_ios_xr_says_node_and_process(before: bytes, host: bytes, colon: bytes) -> None:
    record = b"<190>%bRP/0/RSP0/CPU0:%b.123 UTC%b ifmgr[228]: %%PKT_INFRA-LINK-3-UPDOWN : x" % (before, BSD, colon)
    sequence = b' sequence="123"' if before.startswith(b"123") else b""
    check(
        record,
        host=host,
        application=b"ifmgr",
        process=b"228",
        message_id=b"PKT_INFRA-LINK-3-UPDOWN",
        structured_data=b'[cisco%b node="RP/0/RSP0/CPU0"]' % sequence,
        text=b"%PKT_INFRA-LINK-3-UPDOWN : x",
        stamp=UTC + b".123+00:00",
    )


def test_a_clock_that_is_not_set_counts_less_than_the_relays() -> None:
    check(
        b"<189>%b sw9 000123: *Mar  1 00:00:01.123: %%SYS-5-CONFIG_I: x" % BSD,
        stamp=LOCAL,
        host=b"sw9",
        words=("unsynced",),
    )


def test_a_percent_sign_in_the_text_is_no_mnemonic() -> None:
    check(b"<13>%b h1 app: 93 %% used, %%SYS-5-X: y" % BSD, application=b"app", vendor="", host=b"h1")
    check(b"<13>%b 45 %%A-1 text" % DATE, vendor="", text=DATE + b" 45 %A-1 text")
