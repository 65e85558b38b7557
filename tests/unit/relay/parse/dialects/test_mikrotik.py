"""RouterOS: the first topic is the application, all of them stay in the text."""

import pytest

from tests.unit.relay.parse.reading import BSD, check


@pytest.mark.parametrize(("header", "host"), [(b"", b"-"), (BSD + b" MikroTik ", b"MikroTik"), (BSD + b" ", b"-")])
@pytest.mark.parametrize("topics", [b"system,info,account", b"firewall,info", b"dhcp,warning", b"wireless,debug"])
def test_topics(header: bytes, host: bytes, topics: bytes) -> None:
    check(
        b"<30>%b%b user admin logged in: via ssh" % (header, topics),
        host=host,
        application=topics.partition(b",")[0],
        text=topics + b" user admin logged in: via ssh",
        vendor="MikroTik",
    )


def test_words_with_a_comma_are_no_topics() -> None:
    check(b"<13>%b well,then we go" % BSD, vendor="", application=b"-")
