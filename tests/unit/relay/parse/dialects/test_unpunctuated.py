"""Tags without a colon, each known by its name: Cisco ISE, ClearPass, Synology, ArubaOS-Switch."""

import pytest

from tests.unit.relay.parse.reading import BSD, LOCAL, check


@pytest.mark.parametrize(
    ("line", "application", "text", "product"),
    [
        (b"CISE_Passed_Authentications 0001939187 4 0 x", b"CISE_Passed_Authentications", b"0001939187 4 0 x", "ISE"),
        (b"CPPM_System_Events 973 1 0 x=1", b"CPPM_System_Events", b"973 1 0 x=1", "ClearPass"),
        (b"WinFileService Event: read, Path: /x", b"WinFileService", b"Event: read, Path: /x", "DSM"),
    ],
)
def test_the_tag_is_the_application(line: bytes, application: bytes, text: bytes, product: str) -> None:
    check(
        b"<14>%b dev1 %b" % (BSD, line), host=b"dev1", application=application, text=text, product=product, stamp=LOCAL
    )


def test_the_number_of_an_event_of_arubaos_switch_is_its_id() -> None:
    check(
        b"<14>%b sw1 00179 mgr:  SME SSH from 10.0.0.9" % BSD,
        host=b"sw1",
        application=b"mgr",
        message_id=b"00179",
        text=b"SME SSH from 10.0.0.9",
    )
