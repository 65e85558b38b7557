"""RFC 3164 in the wild: hosts and tags in every form, and text that stays whole when neither is certain."""

import pytest

from tests.unit.relay.parse.reading import BSD, CLOCK, DATE, ISO, LOCAL, check


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (b"web1", b"web1"),
        (b"web1.example.org", b"web1.example.org"),
        (b"10.0.0.9", b"10.0.0.9"),
        (b"fe80::1", b"fe80::1"),
        (b"2001:db8::9", b"2001:db8::9"),
        (b"fe80::1%eth0", b"fe80::1%eth0"),
        (b"[10.0.0.9]", b"10.0.0.9"),
        (b"[2001:db8::9]", b"2001:db8::9"),
        (b"web1:", b"web1"),
        (b"10.0.0.9:", b"10.0.0.9"),
        (b"web1/10.0.0.9", b"web1"),
        (b"s_net@web1/relay1", b"web1"),
        (b"web1 web1", b"web1"),
        (b"web1 10.0.0.9", b"web1"),
        (b" web1", b"web1"),
        (b"user.info web1", b"web1"),
        (b"WEB_1", b"WEB_1"),
    ],
)
@pytest.mark.parametrize("stamp", [BSD, ISO])
def test_a_host_in_every_form(host: bytes, name: bytes, stamp: bytes) -> None:
    check(
        b"<30>%b %b sshd[12]: text" % (stamp, host),
        host=name,
        application=b"sshd",
        process=b"12",
        text=b"text",
        words=(),
        stamp=ISO if stamp == ISO else LOCAL,
    )


@pytest.mark.parametrize(
    ("tag", "application", "process"),
    [
        (b"sshd[12]:", b"sshd", b"12"),
        (b"sshd:", b"sshd", b"-"),
        (b"/usr/sbin/cron[12]:", b"/usr/sbin/cron", b"12"),
        (b"postfix/smtpd[12]:", b"postfix/smtpd", b"12"),
        (b"sshd(pam_unix)[12]:", b"sshd(pam_unix)", b"12"),
        (b"app(12):", b"app", b"12"),
        (b"(systemd)[1]:", b"(systemd)", b"1"),
        (b"sshd[12]", b"sshd", b"12"),
        (b"app :", b"app", b"-"),
        (b"app -:", b"app", b"-"),
        (b"app[-]:", b"app", b"-"),
        (b"a.b-c_d:", b"a.b-c_d", b"-"),
        (b"web/3f2a:", b"web/3f2a", b"-"),
        (b"app@1:", b"app@1", b"-"),
        (b"-bash[12]:", b"-bash", b"12"),
        (b"task[main-1]:", b"task", b"main-1"),
    ],
)
def test_a_tag_in_every_form(tag: bytes, application: bytes, process: bytes) -> None:
    check(
        b"<30>%b web1 %b [warn] text" % (BSD, tag),
        host=b"web1",
        application=application,
        process=process,
        text=b"[warn] text",
        structured_data=b"",
    )


def test_an_empty_tag_leaves_the_host() -> None:
    check(b"<30>%b web1 : text" % BSD, host=b"web1", application=b"-", text=b"text")


@pytest.mark.parametrize("name", [b"web1.example.org", b"10.0.0.9", b"2001:db8::9"])
def test_a_full_name_or_address_with_a_colon_is_the_host(name: bytes) -> None:
    check(b"<30>%b %b: text follows" % (BSD, name), host=name, application=b"-", text=b"text follows")


def test_a_name_with_a_colon_before_a_tag_is_the_host() -> None:
    check(b"<30>%b router: dhcpd[12]: text" % BSD, host=b"router", application=b"dhcpd", text=b"text")


@pytest.mark.parametrize("text", [b"last message repeated 3 times", b"-- MARK --", b"message repeated 2 times: [ x]"])
def test_what_syslogd_itself_says_has_a_host_and_no_tag(text: bytes) -> None:
    check(b"<30>%b web %b" % (BSD, text), host=b"web", application=b"-", text=text)


@pytest.mark.parametrize(
    "text", [b"ERROR main: failed", b"just some words", b"Something: else happened", b"45 10.0.0.1 x"]
)
def test_words_are_no_host(text: bytes) -> None:
    check(b"<30>%b %b" % (ISO, text), host=b"-", stamp=ISO)


@pytest.mark.parametrize(
    "line",
    [
        b"%b %b 45 10.0.0.1 200 TCP_HIT /x" % (DATE, CLOCK),
        b"%b %b 10.0.0.1 GET /x - 80 - 10.0.0.2" % (DATE, CLOCK),
        b"%b some words" % ISO,
        b"%b %b,123 INFO main: started" % (DATE, CLOCK),
        b"[%b %b] local.INFO: started" % (DATE, CLOCK),
    ],
)
def test_a_line_of_a_file_is_whole_and_has_its_time(line: bytes) -> None:
    check(line, text=line, priority=13, host=b"-", application=b"-")
    from tests.unit.relay.parse.reading import reading

    record = reading(line)
    assert "nopri" in record.words
    assert record.stamp[:19] == DATE + b"T" + CLOCK


def test_a_header_without_priority_is_read_as_one() -> None:
    check(b"%b web1 app[12]: text" % BSD, host=b"web1", application=b"app", text=b"text", words=("nopri",))


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b""])
def test_the_end_of_a_line_is_no_text(end: bytes) -> None:
    check(b"<13>%b web1 app: text%b" % (BSD, end), text=b"text")


@pytest.mark.parametrize(
    ("name", "host"), [(b"web1.example.org.", b"web1.example.org"), ("h\u00f4te".encode(), "h\u00f4te".encode())]
)
def test_a_host_that_no_rule_allows_but_people_have(name: bytes, host: bytes) -> None:
    check(b"<30>%b %b sshd[12]: text" % (BSD, name), host=host, application=b"sshd", text=b"text")


@pytest.mark.parametrize(
    ("tag", "application", "process"),
    [
        (b"Service Control Manager[604]:", b"Service Control Manager", b"604"),
        (b"Isolated Web Co[12]:", b"Isolated Web Co", b"12"),
        (b"[289]:", b"-", b"289"),
        (b"[app]:", b"app", b"-"),
        (b"#ILO4:", b"#ILO4", b"-"),
    ],
)
def test_a_tag_that_is_none_by_the_rfc(tag: bytes, application: bytes, process: bytes) -> None:
    check(b"<30>%b web1 %b text" % (BSD, tag), host=b"web1", application=application, process=process, text=b"text")


def test_the_level_between_host_and_tag_is_no_tag() -> None:
    check(
        b"<13>%b bigip1 notice mcpd[6760]: 01070638:5: Pool" % BSD,
        host=b"bigip1",
        application=b"mcpd",
        process=b"6760",
        structured_data=b'[header level="notice"]',
        text=b"01070638:5: Pool",
    )


def test_pairs_behind_a_word_leave_it_the_host() -> None:
    pairs = b'src="10.0.0.1:1" dst="a b" note="x" user="y" cat="z"'
    check(b"<13>%b usg %b" % (BSD, pairs), host=b"usg", text=pairs)
    check(b"<13>%b login user=bob code=5 failed" % BSD, host=b"-", text=b"login user=bob code=5 failed")


def test_an_access_log_has_its_own_time() -> None:
    line = b'10.0.0.9 - frank [27/Nov/2022:06:30:01 +0100] "GET / HTTP/1.1" 200 2326'
    check(line, text=line, stamp=b"2022-11-27T06:30:01+01:00", host=b"-", application=b"-")


@pytest.mark.parametrize(
    ("line", "host", "application", "text"),
    [
        (b'web1 darktrace {"a": 1}', b"web1", b"darktrace", b'{"a": 1}'),
        (b'web1 {"a": 1}', b"web1", b"-", b'{"a": 1}'),
        (b'received event {"a": 1}', b"-", b"-", b'received event {"a": 1}'),
        (b"web1     at org.example.Main", b"web1", b"-", b"    at org.example.Main"),
        (b"web,f5_irule=x,src=1", b"web", b"-", b"f5_irule=x,src=1"),
        (b"nasapi[19090] - log - text", b"-", b"nasapi", b"- log - text"),
    ],
)
def test_what_follows_shows_the_header(line: bytes, host: bytes, application: bytes, text: bytes) -> None:
    check(b"<134>%b %b" % (BSD, line), host=host, application=application, text=text, stamp=LOCAL)


def test_a_program_needs_no_time() -> None:
    check(b"<134> printer: text", application=b"printer", text=b"text")
    check(b"<134>array[12] out of range", application=b"-", text=b"array[12] out of range")
