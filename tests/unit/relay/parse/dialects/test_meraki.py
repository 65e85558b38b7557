"""Meraki: the seconds since 1970 are the time, the device is the host, the kind of event the application."""

import pytest

from tests.unit.relay.parse.reading import NOW, check, reading


@pytest.mark.parametrize("version", [b"1 ", b""])
@pytest.mark.parametrize("kind", [b"urls", b"flows", b"ids-alerts", b"security_event", b"ip_flow_start"])
def test_an_event_has_its_own_time_host_and_kind(version: bytes, kind: bytes) -> None:
    check(
        b"<134>%b1650972789.426960608 MX84 %b src=10.0.0.9:1 dst=10.0.0.8:80 request: GET https://x" % (version, kind),
        stamp=b"2022-04-26T11:33:09.426960608Z",
        has_zone=True,
        host=b"MX84",
        application=kind,
        text=b"src=10.0.0.9:1 dst=10.0.0.8:80 request: GET https://x",
        words=(),
        vendor="Cisco",
        product="Meraki",
        priority=134,
    )


def test_a_relay_in_front_changes_nothing_but_says_who_it_was() -> None:
    inner = b"1 %.6f MX84 events type=x" % NOW
    alone, relayed = reading(b"<134>" + inner), reading(b"<134>Nov  3 10:00:00 relay1 " + inner)
    assert relayed == alone._replace(structured_data=b'[relay host="relay1"]')
