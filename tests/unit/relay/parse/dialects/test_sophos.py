"""Sophos Firewall: in both forms the log's type is the application and the device's name, if it has one, the host."""

from tests.unit.relay.parse.reading import CLOCK, DATE, LOCAL, check


def test_the_older_form() -> None:
    line = b'device="SFW" date=%b time=%b timezone="CET" device_name="XG135" log_type="Content Filtering" x=1' % (
        DATE,
        CLOCK,
    )
    check(b"<30>" + line, host=b"XG135", application=b"Content Filtering", stamp=LOCAL[:-6] + b"+01:00", text=line)


def test_the_newer_form_whose_name_is_the_same_for_all() -> None:
    line = b'device_name="SFW" timestamp="%bT%b+0100" device_model="XGS136" log_type="Firewall" x=1' % (DATE, CLOCK)
    check(b"<30>" + line, host=b"-", application=b"Firewall", stamp=LOCAL[:-6] + b"+01:00", text=line, vendor="Sophos")


def test_sophos_utm_has_a_time_of_its_own() -> None:
    stamp = DATE.replace(b"-", b":") + b"-" + CLOCK
    check(
        b'<30>%b utm1 ulogd[4711]: id="2001"' % stamp, host=b"utm1", application=b"ulogd", process=b"4711", stamp=LOCAL
    )
