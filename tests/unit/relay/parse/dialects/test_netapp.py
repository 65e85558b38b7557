"""NetApp ONTAP: the node is the host, the subsystem the application, the event the message's id."""

import pytest

from tests.unit.relay.parse.reading import BSD, LOCAL, check


@pytest.mark.parametrize("relay", [b"", b"10.0.0.5 ", b"node-01: "])
@pytest.mark.parametrize(
    "head", [b"[node-01:raid.spares.media_scrub.start:notice]:", b"[node-01: raid.spares.media_scrub.start: notice]:"]
)
def test_an_event_of_the_ems(relay: bytes, head: bytes) -> None:
    check(
        b'<5>%b %b%b owner="", disk_info="Disk 0d.10"' % (BSD, relay, head),
        stamp=LOCAL,
        host=b"node-01",
        application=b"raid",
        message_id=b"raid.spares.media_scrub.start",
        structured_data=b'[netapp severity="notice"]',
        text=b'owner="", disk_info="Disk 0d.10"',
        vendor="NetApp",
    )


def test_an_event_with_its_process() -> None:
    check(
        b"<13>%b [filer1: mgwd: mgmtgwd.jobmgr.jobcomplete:info]: text" % BSD,
        host=b"filer1",
        application=b"mgwd",
        message_id=b"mgmtgwd.jobmgr.jobcomplete",
        text=b"text",
    )


@pytest.mark.parametrize("name", [b"cluster-01:", b"cluster-01: cluster-01:"])
def test_a_line_of_the_audit_log(name: bytes) -> None:
    text = b"00000030.00c8f1e2 11e5347f Thu Oct 03 2024 11:36:44 -06:00 [kern_audit:info:3167] 8003f7:8003 :: ssh"
    check(b"<14>%b %b %b" % (BSD, name, text), host=b"cluster-01", application=b"kern_audit", text=text, stamp=LOCAL)
