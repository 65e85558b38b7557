"""PAN-OS: the type of the log is the application, and the line of values stays whole."""

import pytest

from tests.unit.relay.parse.reading import BSD, CLOCK, DATE, LOCAL, check

LINE = b"1,%b %b,013201001234,TRAFFIC,end,2305,x,10.0.0.9,,," % (DATE.replace(b"-", b"/"), CLOCK)


@pytest.mark.parametrize(("header", "host"), [(BSD + b" PA-220 ", b"PA-220"), (BSD + b" ", b"-"), (b"", b"-")])
def test_a_line_of_values(header: bytes, host: bytes) -> None:
    check(b"<14>%b%b" % (header, LINE), host=host, application=b"TRAFFIC", text=LINE, stamp=LOCAL, product="PAN-OS")
