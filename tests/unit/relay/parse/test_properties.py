"""What holds for any bytes: no error, no loss, the same again, and a time that grows with the length only."""

import re
import string
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from appliance.relay.hot import parse_timestamp
from appliance.relay.parse import read, structured
from tests.harness.dialects import DIALECTS
from tests.unit.relay.parse.reading import BSD, ISO, NOW

relaxed = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=300)
WORDS = [
    b"<13>",
    b"<189>",
    b"<999>",
    b"1 ",
    BSD,
    ISO,
    b"1650972789.426960608",
    b" ",
    b"  ",
    b": ",
    b":",
    b"[",
    b"]",
    b"(",
    b'"',
    b"-",
    b",",
    b"%",
    b"%SYS-5-X",
    b"host1",
    b"10.0.0.9",
    b"fe80::1",
    b"app",
    b"app[12]:",
    b"CEF:0|a|b|c|",
    b"Original Address=10.0.0.1 ",
    b"f09fc2abcdef,v4.3.20",
    b'[a b="c"]',
    b"*",
    b"CET",
    b"45: ",
    b"\t",
    b"\0",
    b"\xff",
    b"date=",
    b"devid=",
    b"type=x",
    b"system,info",
    b"MSWinEventLog\t",
    b"text",
    b"\r",
    b"2026",
    b"AM",
    b"=",
    b"|",
    b"/",
    b"@",
    b"RP/0/CPU0:",
    b" - ",
    b"{}",
]
messages = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from(WORDS), max_size=14).map(b"".join),
    st.tuples(st.sampled_from([d.wire for d in DIALECTS]), st.integers(0, 80), st.binary(max_size=4)).map(
        lambda found: found[0][: found[1]] + found[2] + found[0][found[1] :]
    ),
)


@relaxed
@given(messages)
@example(b"")
@example(b"<13>")
@example(b"<13>1 ")
@example(b"<0>Nov 31 10:00:00 h p: x")
def test_every_message_becomes_a_record(raw: bytes) -> None:
    record = read(raw, NOW, utc_offset=0)
    assert 0 <= record.priority <= 191
    assert record.host and record.application and record.process and record.message_id
    assert len(record.text) <= len(raw)
    assert record == read(raw, NOW, utc_offset=0)
    assert len(set(record.words)) == len(record.words)
    assert not record.stamp or parse_timestamp(record.stamp) >= 0, record.stamp
    assert structured.end_of(record.structured_data, 0) in (-1, len(record.structured_data))
    assert bool(record.structured_data) == bool(structured.pairs(record.structured_data))


@relaxed
@given(messages)
def test_the_text_is_the_end_of_the_message(raw: bytes) -> None:
    assert raw.rstrip(b"\r\n").endswith(read(raw, NOW, utc_offset=0).text)


HEADER = re.compile(rb"[A-Za-z0-9]+")


@relaxed
@given(
    st.lists(st.text(string.ascii_lowercase, min_size=3, max_size=9), min_size=1, max_size=12), st.sampled_from(WORDS)
)
def test_no_word_of_a_message_vanishes(words: list[str], between: bytes) -> None:
    """Each word stands in the text or in a field of the record."""
    raw = b"<13>%b host1 " % BSD + between.join(word.encode() for word in words)
    record = read(raw, NOW, utc_offset=0)
    kept = (
        b" ".join(field for field in record if isinstance(field, bytes))
        + b" "
        + f"{record.vendor} {record.product}".encode()
    )
    for word in words:
        assert word.encode() in kept


@relaxed
@given(st.binary(max_size=200).filter(lambda text: not text.endswith((b"\r", b"\n"))))
def test_any_text_behind_a_header_is_whole(text: bytes) -> None:
    assert read(b"<30>%b host1 app[12]: %b" % (BSD, text), NOW).text == text
    assert read(b"<30>%b host1 app[12]: %b" % (ISO, text), NOW).text == text
    assert read(b"<30>1 %b host1 app 12 - - %b" % (ISO, text), NOW).text == text


LONG = 65536
UNITS = [
    b"!",
    b"1!",
    b"-1",
    b"-1-B",
    b"a",
    b"1",
    b" ",
    b"a ",
    b"1 ",
    b"a.",
    b"a-",
    b"a:",
    b"a: ",
    b":",
    b": ",
    b"1: ",
    b"[",
    b"]",
    b"[a]",
    b"(",
    b"a,",
    b",",
    b"|",
    b"%",
    b"%A-1-",
    b"%A-1-B: ",
    b"A-",
    b"<13>",
    b"<13>1 ",
    b"=",
    b'"',
    b'a="',
    b'[a b="c"]',
    b'[a b="',
    b' b="c"',
    b"\\",
    b"\\\\",
    b"a/",
    b"a@",
    b"*",
    b"- ",
    b"a b ",
    b"!",
    b"1!",
    b"-1",
    b"A b",
    b"CEF:0|",
    b"Nov 27 06:30:01 ",
    b"host Nov 27 06:30:01 ",
    b"Original Address=1.1.1.1 ",
    b"date=",
    b"devid= ",
    b"type=",
    b"\t",
    b"\0",
    b"f09fc2abcdef,",
    b"1.",
    b"2026-11-27T06:30:01Z ",
    b"system,info,",
    b"MSWinEventLog\t",
    b"Word ",
    b"RP/0/",
    b"\xff",
    b"a[",
    b"a[1]",
    b"a[1]: ",
]
HEADS = [
    b"",
    b"<13>",
    b"<13>%b " % BSD,
    b"<13>%b host1 " % BSD,
    b"<13>1 %b h a p m " % ISO,
    b"<13>1 ",
    b"<13>%b host1 app" % ISO,
]


@pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
def test_no_message_of_64_kib_takes_long(head: bytes) -> None:
    """All the parts that expressions look for, repeated: each is read in milliseconds, so none can be quadratic."""
    slow = []
    for unit in UNITS:
        raw = (head + unit * LONG)[:LONG]
        spent = min(_spent(raw) for _ in range(2))
        if spent > 0.03:
            slow.append((unit, spent))
    assert not slow


def _spent(raw: bytes) -> float:
    before = time.process_time()
    read(raw, NOW, utc_offset=0)
    return time.process_time() - before


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)
@given(st.sampled_from(HEADS), st.lists(st.sampled_from(UNITS + WORDS), min_size=1, max_size=4).map(b"".join))
def test_no_repetition_takes_long(head: bytes, unit: bytes) -> None:
    assert min(_spent((head + unit * LONG)[:LONG]) for _ in range(2)) < 0.05
