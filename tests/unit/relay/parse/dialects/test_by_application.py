"""Devices that write well-formed headers are known by their programs: nothing is read differently."""

import pytest

from tests.unit.relay.parse.reading import BSD, ISO, LOCAL, check


@pytest.mark.parametrize(
    ("application", "vendor"),
    [
        (b"filterlog", "pf"),
        (b"haproxy", "HAProxy"),
        (b"TNAUDIT_SMB", "TrueNAS"),
        (b"xapi", "XCP-ng"),
        (b"rpd", "Juniper"),
    ],
)
@pytest.mark.parametrize(
    ("header", "host", "process"),
    [
        (b"%b dev1 %%b[12]: " % BSD, b"dev1", b"12"),
        (b"%b  dev1 %%b: " % BSD, b"dev1", b"-"),
        (b"%b %%b[12]: " % BSD, b"-", b"12"),
        (b"%b dev1 %%b[12]: " % ISO, b"dev1", b"12"),
        (b"1 %b dev1 %%b 12 - - " % ISO, b"dev1", b"12"),
    ],
)
def test_the_maker_is_known(application: bytes, vendor: str, header: bytes, host: bytes, process: bytes) -> None:
    text = b'@cee:{"a": 5,,,1000000103,igb0} [27/Nov/2026:06:30:01.123]'
    check(
        b"<134>%b%b" % (header % application, text),
        host=host,
        application=application,
        process=process,
        text=text,
        stamp=ISO if ISO in header else LOCAL,
        vendor=vendor,
    )
