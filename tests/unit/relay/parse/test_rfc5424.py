"""RFC 5424 with parts missing or wrong: nothing that was not sent as structured data leaves the text."""

import pytest

from tests.unit.relay.parse.reading import ISO, check


@pytest.mark.parametrize(
    "rest",
    [
        b"[warn] text",
        b"[warn]",
        b"[a] [b] text",
        b"[broken text here",
        b'[a b="c" text',
        b"[a b=c] text",
        b'[a b="c] text',
        b'[action:"Accept"; flags:"4"] text',
        b"text",
        b"-text",
        b"[] text",
        b'["x"] text',
        b"[1/3] text",
        b"[a=b] text",
    ],
)
def test_what_is_no_structured_data_is_text(rest: bytes) -> None:
    check(
        b"<30>1 %b swarm01 web/3f2a 812 web %b" % (ISO, rest),
        host=b"swarm01",
        application=b"web/3f2a",
        process=b"812",
        message_id=b"web",
        structured_data=b"",
        text=rest,
        stamp=ISO,
        words=("structured_data",),
    )


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'[a@1 b="c"]', b"text"),
        (b'[a@1 b="c"][d e="f" g="h"]', b"text"),
        (b'[a b="\\"\\]\\\\"]', b"text"),
        (b'[a b="x ] y"]', b"text"),
        (b'[a b=""]', b"text"),
        (b'[a b="c"]', b"[warn] text"),
        (b'[a b="c"]', b""),
    ],
)
def test_structured_data_is_kept_apart(data: bytes, text: bytes) -> None:
    check(b"<30>1 %b h app - - %b %b" % (ISO, data, text), structured_data=data, text=text, words=())


def test_what_is_missing_is_said() -> None:
    check(
        b"<30>1 - - app - - - text", stamp=b"", host=b"-", application=b"app", words=("notime", "nohost"), text=b"text"
    )
    check(b"1 %b h app - - - text" % ISO, priority=13, words=("nopri",), host=b"h")


@pytest.mark.parametrize(
    "line", [b"1 yesterday h app - - - text", b"1 2026-02-30T10:00:00Z h app - - - text", b"1 two three"]
)
def test_a_header_that_is_none_is_text(line: bytes) -> None:
    check(b"<30>" + line, text=line, host=b"-", stamp=b"")


def test_an_id_that_begins_with_a_bracket_is_text() -> None:
    check(b"<30>1 %b h app 812 [warn] disk low" % ISO, message_id=b"-", text=b"[warn] disk low", process=b"812")


def test_another_version_is_read_alike() -> None:
    check(b'<165>8 %b h app 12 ID [a b="c"] text' % ISO, host=b"h", application=b"app", text=b"text", message_id=b"ID")


def test_a_header_that_ends_too_early_is_read_as_far_as_it_goes() -> None:
    event = b"LEEF:1.0|Maker|Thing|1.0|17|src=10.0.0.9"
    check(b"<30>1 %b h %b" % (ISO, event), stamp=ISO, host=b"h", application=b"Thing", text=event, vendor="Maker")
    check(b"<30>1 %b h app: text" % ISO, stamp=ISO, host=b"h", application=b"app", text=b"text")
