"""Lines that a relay wrapped: host, time and priority are the device's, and the relay is kept as metadata."""

import pytest

from tests.unit.relay.parse.reading import BSD, ISO, LOCAL, check, reading

EARLIER = b"Jan  3 10:00:00"


@pytest.mark.parametrize("outer", [b"%b relay1 " % EARLIER, b"%b relay1: " % EARLIER, b"%b [10.0.0.5] " % EARLIER, b""])
@pytest.mark.parametrize(
    "inner",
    [
        b"<30>%b sw1 app[12]: text" % BSD,
        b"<30>%b sw1 app[12]: text" % ISO,
        b'<30>1 %b sw1 app 12 - [a@1 b="c"] text' % ISO,
        b"<30>%b sw1 %%LINK-3-UPDOWN: text" % BSD,
        b"<30>1 1650972789.426960608 sw1 urls text",
    ],
)
def test_a_priority_inside_a_header(outer: bytes, inner: bytes) -> None:
    alone, wrapped = reading(inner), reading(b"<13>" + outer + inner)
    assert wrapped._replace(structured_data=alone.structured_data) == alone
    relay = b'[relay host="%b"]' % (b"10.0.0.5" if b"[" in outer else b"relay1") if outer else b""
    assert wrapped.structured_data == alone.structured_data + relay
    assert (wrapped.priority, wrapped.host) == (30, b"sw1")


@pytest.mark.parametrize("inner", [b"%b sw1 app[12]: text" % BSD, b"1 %b sw1 app 12 - - text" % ISO])
def test_a_header_inside_a_header(inner: bytes) -> None:
    alone, wrapped = reading(b"<30>" + inner), reading(b"<30>%b relay1 %b" % (EARLIER, inner))
    assert wrapped == alone._replace(structured_data=b'[relay host="relay1"]')


def test_a_chain_of_relays_is_kept_by_its_first_name() -> None:
    check(
        b"<13>%b relay1/10.0.0.5 <30>%b sw1 app: text" % (EARLIER, BSD),
        host=b"sw1",
        structured_data=b'[relay host="relay1"]',
        stamp=LOCAL,
    )


def test_the_outer_header_completes_what_the_inner_one_lacks() -> None:
    check(
        b"<13>%b relay1 <30>app[12]: text" % BSD,
        host=b"relay1",
        application=b"app",
        stamp=LOCAL,
        words=(),
        text=b"text",
    )
    check(b"<13>%b relay1 <30>only words" % BSD, host=b"relay1", stamp=LOCAL, text=b"only words", priority=30)
    check(b"<13><30>app[12]: text", host=b"-", application=b"app", words=("notime", "nohost"))


@pytest.mark.parametrize("tag", [b"Original Address=10.0.0.1", b"original address=10.0.0.1"])
def test_kiwi_says_the_original_address(tag: bytes) -> None:
    check(b"<189>%b only words" % tag, host=b"10.0.0.1", text=b"only words", stamp=b"")
    check(b"<189>%b %b fw1 app: text" % (tag, BSD), host=b"fw1", application=b"app", stamp=LOCAL, text=b"text")
    check(
        b"<189>%b kiwi1 %b app[1]: text" % (BSD, tag), host=b"10.0.0.1", application=b"app", stamp=LOCAL, text=b"text"
    )
    check(
        b"<189>%b kiwi1 %b 45: %b.123: %%SYS-5-CONFIG_I: x" % (BSD, tag, BSD),
        host=b"10.0.0.1",
        application=b"SYS",
        structured_data=b'[cisco sequence="45"][relay host="kiwi1"]',
    )


@pytest.mark.parametrize(
    "rest",
    [
        b"1990 Oct 22 10:52:01 TZ-6 text",
        b"1990 Oct 22 text",
        b"2001-01-01 10:00:00 text",
        b"Mon May 04 12:59:59 2020 Info: x",
    ],
)
def test_a_time_in_the_text_leaves_the_host_to_the_header(rest: bytes) -> None:
    check(b"<0>%b scapegoat %b" % (BSD, rest), host=b"scapegoat", application=b"-", text=rest, stamp=LOCAL)


def test_the_example_of_rfc_3164_section_5_4_is_the_devices() -> None:
    check(
        b"<0>%b scapegoat 1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org 10.1.2.3 sched[0]: That's All Folks!"
        % BSD,
        host=b"scapegoat.dmz.example.org",
        application=b"sched",
        process=b"0",
        text=b"That's All Folks!",
    )


def test_headers_are_taken_off_to_a_limit_and_nothing_is_lost() -> None:
    wire = b"<13>%b relay " % BSD * 50 + b"end"
    record = reading(wire)
    assert record.text.endswith(b"end")
    assert wire.endswith(record.text)


def test_aix_says_from_where_it_forwards() -> None:
    check(b"<30>%b Message forwarded from aix1: sshd[12]: text" % BSD, host=b"aix1", application=b"sshd", text=b"text")
