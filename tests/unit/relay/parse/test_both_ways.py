"""A message is the same entry by the relay's own listener and by the hand-over, and as the parser reads it alone."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.config import model
from appliance.config.units import Duration
from appliance.relay.hot import parse_timestamp
from appliance.relay.parse import read
from tests.harness.dialects import DIALECTS, Dialect
from tests.unit.relay.packing import BOTH, NOW, Entry, Modules, Packing, octets

pytestmark = pytest.mark.parametrize("modules", BOTH.values(), ids=BOTH.keys())
SENDER = b"192.0.2.7"
ANY_TIME = model.TimeSettings(
    max_past=Duration(10**9), max_past_without_zone=Duration(10**9), max_future=Duration(10**9)
)


def escaped(raw: bytes) -> bytes:
    """As rsyslog and the receiver write a message into the hand-over."""
    return re.sub(rb"[\0-\x08\x0a-\x1f\x7f]", lambda found: b"\x01%03o" % found[0][0], raw)


def by_listener(modules: Modules, raw: bytes) -> Entry:
    # A count is one only before a priority.
    frame = octets(raw) if raw.startswith(b"<") else raw + b"\n"
    [entry] = Packing(modules, time=ANY_TIME).feed(frame).entries()
    return entry


def by_handover(modules: Modules, raw: bytes) -> Entry:
    line = b"%d.000000 %b udp %b\n" % (NOW // 10**9, SENDER, escaped(raw.rstrip(b"\n")))
    [entry] = Packing(modules, handover=True, time=ANY_TIME).feed(line).entries()
    return entry


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_both_ways_in_make_the_same_entry(modules: Modules, dialect: Dialect) -> None:
    assert by_listener(modules, dialect.wire) == by_handover(modules, dialect.wire)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_the_compiled_path_and_the_parser_agree(modules: Modules, dialect: Dialect) -> None:
    entry, record = by_listener(modules, dialect.wire), read(dialect.wire, NOW / 1e9)
    assert entry.labels.get("host") == (SENDER if record.host == b"-" else record.host).decode()
    assert entry.labels.get("application", "-") == record.application.decode()
    assert entry.metadata.get("process_id", "-") == record.process.decode()
    assert entry.metadata.get("message_id", "-") == record.message_id.decode()
    text = record.text.rstrip(b"\0").removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"#000")
    assert entry.line == text.decode("utf-8", "replace").encode()
    assert entry.time_ns == (parse_timestamp(record.stamp) if record.stamp else NOW)
    said = set(entry.metadata.get("repaired", "").split(",")) - {"", "nul", "utf8"}
    assert said == set(record.words)


STAMPS = [
    b"Sep 21 14:13:19",
    b"Sep  1 04:13:19.123",
    b"2026-09-21T14:13:19Z",
    b"2026-09-21T14:13:19.5+02:00",
    b"Sep 31 1:1:1",
    b"-",
]
HOSTS = [
    b"h",
    b"h1",
    b"web.example.org",
    b"10.0.0.9",
    b"fe80::1",
    b"UTC",
    b"ERROR",
    b"123",
    b"a_b",
    b"-",
    b"[10.0.0.9]",
    b"info",
]
TAGS = [
    b"app:",
    b"app[12]:",
    b"/usr/bin/x[1]:",
    b"app",
    b"123:",
    b"a,b:",
    b"%ASA-6-1:",
    b"app(1):",
    b"a@b:",
    b"app[a b]:",
    b"app[]:",
    b".x:",
    b"-x:",
    b"a#b:",
    b"app::",
    b"app:x",
    b"app [1]:",
    b"CEF:0|a|b|c|",
    b"",
    b"h app:",
]
DATA = [
    b"-",
    b'[a b="c"]',
    b"[warn]",
    b'[a b="c"][x]',
    b'[a b="c"]x',
    b'[a  b="c"]',
    b"",
    b"x",
    b'[a b="]"]',
    b'[a b="c"][x y="',
    b'[a b="\\"]',
    b'[a b="\\""]',
    b"[a b=c]",
    b"[=]",
]
TEXTS = [b"", b"text", b" two", b"[warn] x", b"a: b", b"<13>x"]
older = st.builds(
    lambda *parts: b"<30>" + b" ".join(parts), *(st.sampled_from(part) for part in (STAMPS, HOSTS, TAGS, TEXTS))
)
newer = st.builds(
    lambda *parts: b"<30>1 " + b" ".join(parts),
    *(
        st.sampled_from(part)
        for part in (STAMPS[2:4] + STAMPS[5:], HOSTS, HOSTS, TAGS[:4], [b"ID", b"-", b"[x]"], DATA, TEXTS)
    ),
)


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=500)
@given(raw=st.one_of(older, newer))
def test_any_header_is_read_alike(modules: Modules, raw: bytes) -> None:
    entry, record = by_listener(modules, raw), read(raw, NOW / 1e9)
    assert entry.labels.get("host") == (SENDER if record.host == b"-" else record.host).decode()
    assert entry.labels.get("application", "-") == record.application.decode()
    assert entry.metadata.get("process_id", "-") == record.process.decode()
    assert entry.metadata.get("message_id", "-") == record.message_id.decode()
    assert entry.line == record.text
    assert entry.time_ns == (parse_timestamp(record.stamp) if record.stamp else NOW)
    assert set(entry.metadata.get("repaired", "").split(",")) - {""} == set(record.words)
