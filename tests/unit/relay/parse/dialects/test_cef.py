"""CEF and LEEF: maker and product come from the event, which stays whole."""

import pytest

from tests.unit.relay.parse.reading import BSD, ISO, LOCAL, check, reading

CEF = b"CEF:0|Check Point|VPN-1 & FireWall-1|Check Point|Log|Accept|5|src=10.0.0.9"
LEEF = b"LEEF:2.0|Check Point|VPN-1 & FireWall-1|1.0|Accept|^|src=10.0.0.9"


@pytest.mark.parametrize("event", [CEF, LEEF])
@pytest.mark.parametrize(
    ("header", "host", "application", "stamp"),
    [
        (b"<134>%b gw1 " % BSD, b"gw1", b"VPN-1 & FireWall-1", LOCAL),
        (b"<134>%b gw1: " % BSD, b"gw1", b"VPN-1 & FireWall-1", LOCAL),
        (b"<134>%b " % BSD, b"-", b"VPN-1 & FireWall-1", LOCAL),
        (b"<134>", b"-", b"VPN-1 & FireWall-1", b""),
        (b"<134>%b gw1 named[12]: " % BSD, b"gw1", b"named", LOCAL),
        (b"<134>%b gw1 vectra_cef -: " % BSD, b"gw1", b"vectra_cef", LOCAL),
    ],
)
def test_an_event(header: bytes, host: bytes, application: bytes, stamp: bytes, event: bytes) -> None:
    record = reading(header + event)
    check(header + event, host=host, application=application, text=event, stamp=stamp)
    if application.startswith(b"VPN"):
        assert (record.vendor, record.product) == ("Check Point", "VPN-1 & FireWall-1")


@pytest.mark.parametrize("event", [CEF, b"CEF:0|X", LEEF])
def test_without_priority_the_line_is_whole_with_its_time(event: bytes) -> None:
    check(b"%b %b" % (ISO, event), text=b"%b %b" % (ISO, event), stamp=ISO, host=b"-", priority=13)


def test_a_console_with_spaces_in_its_name_is_the_host() -> None:
    event = b"CEF:0|Ubiquiti|UniFi OS|4.1|1|x|2|"
    check(b"<14>%b Dream Machine Pro %b" % (BSD, event), host=b"Dream Machine Pro", application=b"UniFi OS", text=event)


def test_a_console_that_says_its_name_twice_is_the_host() -> None:
    event = b"CEF:0|Ubiquiti|UniFi Network|9.3|1|x|2|"
    check(b"<14>%b UDM-SE UDM-SE %b" % (BSD, event), host=b"UDM-SE", application=b"UniFi Network", text=event)
