"""VMware: ESXi's programs behind an ISO time, and RFC 5424 without its version."""

import pytest

from tests.unit.relay.parse.reading import ISO, check


@pytest.mark.parametrize("program", [b"Hostd", b"Vpxa", b"vmkernel", b"vobd"])
def test_a_program_of_esxi(program: bytes) -> None:
    text = b"info hostd[2099] [Originator@6876 sub=Vimsvc] text"
    check(
        b"<166>%b esx01.example.org %b: %b" % (ISO, program, text),
        host=b"esx01.example.org",
        application=program,
        text=text,
        stamp=ISO,
        has_zone=True,
        vendor="VMware",
        product="ESXi",
    )


def test_rfc_5424_without_its_version() -> None:
    check(
        b"<134>%b esx01 FIREWALL-PKTLOG - - - INET TERM PASS" % ISO,
        host=b"esx01",
        application=b"FIREWALL-PKTLOG",
        text=b"INET TERM PASS",
    )
    check(
        b'<134>%b esx01 NSX 12 SYSTEM [nsx@6876 comp="mgr"] failed' % ISO,
        application=b"NSX",
        process=b"12",
        message_id=b"SYSTEM",
        structured_data=b'[nsx@6876 comp="mgr"]',
        text=b"failed",
    )


def test_dashes_in_the_text_are_no_header() -> None:
    check(b"<134>%b esx01 vobd - [x] - text" % ISO, application=b"-", text=b"vobd - [x] - text", vendor="")
