"""Windows' event log by Snare, NXLog and others: computer and source are host and application."""

from tests.unit.relay.parse.reading import BSD, LOCAL, check


def test_snare() -> None:
    text = b"1\tSecurity\t1234\tFri Nov 27 06:30:01 2026\t4624\tMicrosoft-Windows-Security-Auditing\tX\tN/A"
    check(
        b"<13>%b WIN01 MSWinEventLog\t%b" % (BSD, text),
        host=b"WIN01",
        application=b"MSWinEventLog",
        structured_data=b'[windows log="Security" source="Microsoft-Windows-Security-Auditing"]',
        text=text,
        stamp=LOCAL,
        vendor="Microsoft",
    )


def test_nxlog() -> None:
    check(
        b"<14>%b WIN01 Microsoft-Windows-Security-Auditing[604]: An account" % BSD,
        host=b"WIN01",
        application=b"Microsoft-Windows-Security-Auditing",
        process=b"604",
        text=b"An account",
        vendor="Microsoft",
    )


def test_a_source_with_spaces_in_its_name() -> None:
    check(
        b"<14>%b WIN01 Service Control Manager[604]: The service" % BSD,
        host=b"WIN01",
        application=b"Service Control Manager",
        process=b"604",
        text=b"The service",
    )
