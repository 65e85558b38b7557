"""SonicWall: the name and the time stand in the line, which stays whole."""

from tests.unit.relay.parse.reading import CLOCK, DATE, LOCAL, check


def test_a_line() -> None:
    line = b'id=%%b sn=0017C5000000 time="%b %b UTC" fw=10.0.0.1 pri=6 msg="text"' % (DATE, CLOCK)
    for name, host in ((b"fw1", b"fw1"), (b"firewall", b"-")):
        check(b"<134>" + line % name, host=host, text=line % name, stamp=LOCAL, has_zone=True, vendor="SonicWall")
