"""Kiwi's own format: the words are the priority, the last column is the text."""

from tests.unit.relay.parse.reading import CLOCK, DATE, LOCAL, check


def test_a_line() -> None:
    line = b"%b\t%b\t%%b\t10.0.0.9\ttext" % (DATE, CLOCK)
    check(line % b"Local7.Notice", priority=189, host=b"10.0.0.9", text=b"text", stamp=LOCAL, words=("notag",))
    check(line % b"Local9.Notice", priority=13, host=b"-", text=line % b"Local9.Notice")
