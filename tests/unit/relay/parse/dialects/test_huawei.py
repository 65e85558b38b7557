"""Huawei and H3C: the module is the application, the name of the event the message's id."""

import pytest

from tests.unit.relay.parse.reading import BSD, BSD_DAY, CLOCK, YEAR, check


@pytest.mark.parametrize("stamp", [BSD, b"%b %b %b" % (BSD_DAY, YEAR, CLOCK), b"%b %b" % (BSD, YEAR)])
@pytest.mark.parametrize(("mark", "vendor"), [(b"%%01", "Huawei"), (b"%%10", "H3C")])
@pytest.mark.parametrize("stack", [b"", b"(Stack) "])
def test_a_line(stamp: bytes, mark: bytes, vendor: str, stack: bytes) -> None:
    text = mark + b"IFNET/4/LINK_STATE(l)[12]:The line protocol"
    check(
        b"<189>%b core1 %b%b" % (stamp, stack, text),
        host=b"core1",
        application=b"IFNET",
        message_id=b"IFNET/4/LINK_STATE",
        text=text,
        vendor=vendor,
    )
