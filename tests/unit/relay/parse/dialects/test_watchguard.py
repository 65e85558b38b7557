"""WatchGuard: serial number and cluster are neither host nor application."""

import pytest

from tests.unit.relay.parse.reading import BSD, CLOCK, DATE, LOCAL, check

TIME = DATE + b"T" + CLOCK


@pytest.mark.parametrize(
    ("between", "data"),
    [
        (b"80BE0D4FC2C0C ", b' serial="80BE0D4FC2C0C"'),
        (b"80BE0D4FC2C0C cluster1 ", b' serial="80BE0D4FC2C0C" cluster="cluster1"'),
        (b"", b""),
    ],
)
@pytest.mark.parametrize("header", [BSD + b" ", b""])
def test_a_line(between: bytes, data: bytes, header: bytes) -> None:
    check(
        b'<140>%bM200 %b(%b) http-proxy[1741]: msg_id="1AFF" Allow' % (header, between, TIME),
        host=b"M200",
        application=b"http-proxy",
        process=b"1741",
        structured_data=b'[watchguard%b time="%b"]' % (data, TIME),
        text=b'msg_id="1AFF" Allow',
        stamp=LOCAL,
        vendor="WatchGuard",
    )
