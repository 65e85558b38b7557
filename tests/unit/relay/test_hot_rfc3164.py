"""RFC 3164 that is well-formed is read in the hot path, and there as the parser reads it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.config import model
from appliance.relay.loki.label_syntax import parse_labels
from tests.unit.relay.packing import BOTH, COMPILED, NOW, Entry, Modules, Packing, record

both = pytest.mark.parametrize("modules", BOTH.values(), ids=BOTH.keys())
relaxed = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=100)
SECOND = 10**9


@contextmanager
def local_zone(name: str) -> Iterator[None]:
    """The machine's zone for a while, in POSIX' notation or by name."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


@pytest.fixture(autouse=True)
def zone() -> Iterator[None]:
    with local_zone("UTC"):
        yield


def unread(*_: object) -> None:
    raise AssertionError("left to the parser")


def entries(modules: Modules, *messages: bytes, now: int = NOW, **options: object) -> list[Entry]:
    """Each message as an entry, none of them read by the parser."""
    found = []
    for message in messages:
        packing = Packing(modules, **options)  # type: ignore[arg-type]
        packing.packer.now_ns = now
        packing.packer.resolver.salvage = unread
        [entry] = packing.feed(message + b"\n").entries()
        found.append(entry)
    return found


def nanoseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * SECOND


@both
@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"<38>Sep 21 14:13:19 web1 sshd[812]: Accepted", ("web1", "sshd", "812", 0, b"Accepted")),
        (b"<38>Sep  1 14:13:19 web1 sshd: x", ("web1", "sshd", None, -20 * 86400 * SECOND, b"x")),
        (b"<38>Sep 01 14:13:19.5 web1 sshd: x", ("web1", "sshd", None, -20 * 86400 * SECOND + SECOND // 2, b"x")),
        (b"<38>Sep 21 14:13:19.123456 10.0.0.9 a.b/c@d-1:  two", ("10.0.0.9", "a.b/c@d-1", None, 123_456_000, b" two")),
        (b"<38>Sep 21 14:13:19 fd00::1 kernel:", ("fd00::1", "kernel", None, 0, b"")),
        (b"<38>2026-09-21T14:13:19Z sw-1.example.org app[a.1-2]: x", ("sw-1.example.org", "app", "a.1-2", 0, b"x")),
        (b"<38>2026-09-21T16:13:19.25+02:00 h1 app: [x y] z", ("h1", "app", None, SECOND // 4, b"[x y] z")),
        (b"<38>2026-09-21T14:13:19.123456Z h1 app: x", ("h1", "app", None, 123_456_000, b"x")),
    ],
)
def test_a_well_formed_header_is_read(
    modules: Modules, message: bytes, expected: tuple[str, str, str | None, int, bytes]
) -> None:
    time_of_all = model.TimeSettings(max_past_without_zone=40 * 86400)  # type: ignore[arg-type]
    [entry] = entries(modules, message, time=time_of_all)
    host, application, process, later, text = expected
    assert entry.labels == {"job": "syslog", "host": host, "application": application, "level": "info"}
    assert entry.metadata == {
        "facility": "auth", "sender": "192.0.2.7", **({"process_id": process} if process else {})
    }  # fmt: skip
    assert (entry.time_ns, entry.line) == (1_789_999_999 * SECOND + later, text)


@both
@pytest.mark.parametrize(
    "message",
    [
        b"<38>Sep 21 14:13:19 web1 sshd[812] no colon",
        b"<38>Sep 21 14:13:19 web1 sshd[]: x",
        b"<38>Sep 21 14:13:19 web1 sshd[8 12]: x",
        b"<38>Sep 21 14:13:19 web1 sshd:x",
        b"<38>Sep 21 14:13:19 2026 sshd: x",
        b"<38>Sep 21 14:13:19 CEST sshd: x",
        b"<38>Sep 21 14:13:19 UTC-5 sshd: x",
        b"<38>Sep 21 14:13:19 ERROR sshd: x",
        b"<38>Sep 21 14:13:19 web1  sshd: x",
        b"<38>Sep 21 14:13:19 web1 f09fc2,U7PG2-6.5.28: x",
        b"<38>Sep 21 14:13:19 web1 4711: x",
        b"<38>Sep 21 14:13:19 -web1 sshd: x",
        b"<38>Sep 21 14:13:19 web1. sshd: x",
        b"<38>Sep 31 14:13:19 web1 sshd: x",
        b"<38>Sep 21 24:13:19 web1 sshd: x",
        b"<38>sep 21 14:13:19 web1 sshd: x",
        b"<38>Sep 21 14:13:19: %LINK-3-UPDOWN: x",
        b"<38>Sep 21 14:13:19 2026 web1 sshd: x",
        b"<38>2026-09-21 14:13:19 web1 sshd: x",
        b"<38>2026-09-21T14:13:19 web1 sshd: x",
        b"<192>Sep 21 14:13:19 web1 sshd: x",
        b"Sep 21 14:13:19 web1 sshd: x",
        b"<38>Sep 21 14:13:19",
        b"<38>Sep 21 14:13:19 web1 ",
        b"<38>Sep 21 14:13:19.",
        b"<38>1 1650972789.426960608 MX84 urls src=10.0.0.1 dst=10.0.0.2 x",
    ],
)
def test_what_may_be_something_else_is_left_to_the_parser(modules: Modules, message: bytes) -> None:
    packing = Packing(modules)
    asked: list[bytes] = []
    salvage = packing.packer.resolver.salvage
    packing.packer.resolver.salvage = lambda record, *more: (asked.append(record), salvage(record, *more))[1]
    packing.feed(message + b"\n", record(host=b"CEST", app=b"sshd") + b"\n", message + b"\n")
    assert asked == [message, message]
    assert len(packing.entries()) == 3


hosts = st.from_regex(rb"\A[b-oq-z][a-z0-9]{0,8}([.-][a-z0-9]{1,5}){0,2}[0-9]\Z")
tags = st.from_regex(rb"\A[A-Za-z_./][A-Za-z0-9_./@-]{0,12}[a-z]\Z")
processes = st.one_of(st.just(b""), st.from_regex(rb"\A[A-Za-z0-9_.-]{1,8}\Z").map(lambda process: b"[%b]" % process))
texts = st.binary(max_size=40).map(lambda text: b"x" + text.replace(b"\n", b" ").replace(b"\0", b" ") + b"x")
moments = st.integers(-2_000_000, 250).map(lambda seconds: datetime.fromtimestamp(NOW // SECOND + seconds, UTC))
fractions = st.one_of(st.just(b""), st.from_regex(rb"\A\.[0-9]{1,9}\Z"))


def traditional(moment: datetime, fraction: bytes) -> bytes:
    return moment.strftime("%b %e %H:%M:%S").encode() + fraction


def iso(moment: datetime, fraction: bytes) -> bytes:
    zone = b"Z" if moment.second % 2 else b"+00:00"
    return moment.strftime("%Y-%m-%dT%H:%M:%S").encode() + fraction + zone


@both
@relaxed
@given(
    st.lists(
        st.tuples(
            st.integers(0, 191), moments, fractions, st.sampled_from([traditional, iso]), hosts, tags, processes, texts
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_well_formed_message_is_read_as_the_parser_reads_it(modules: Modules, parts: list[tuple]) -> None:  # type: ignore[type-arg]
    packing = Packing(modules)
    resolver = packing.packer.resolver
    salvage, resolver.salvage = resolver.salvage, unread
    for pri, moment, fraction, written, host, tag, process, text in parts:
        message = b"<%d>%b %b %b%b: %b" % (pri, written(moment, fraction), host, tag, process, text)
        [entry] = packing.feed(message + b"\n").entries()
        packing.bodies.clear()
        route, stamp, line, pairs, words = salvage(message, b"192.0.2.7", "syslog_tcp", NOW)
        assert entry.labels == parse_labels(route.target.labels)
        assert entry.line == line.decode("utf-8", "replace").encode()
        assert abs(entry.time_ns - stamp) < 100  # equal times are made distinct
        metadata = {name.decode(): value.decode() for name, value in pairs}
        said = [word for word in entry.metadata.pop("repaired", "").split(",") if word not in ("", "utf8")]
        assert said == list(words)
        assert {name: value for name, value in entry.metadata.items() if name != "facility"} == metadata


@both
@pytest.mark.parametrize(
    ("received", "stamp", "meant"),
    [
        ("2027-01-01T00:00:10+00:00", b"Dec 31 23:59:59", "2026-12-31T23:59:59+00:00"),
        ("2026-12-31T23:59:59+00:00", b"Jan  1 00:00:03", "2027-01-01T00:00:03+00:00"),
        ("2028-03-01T00:00:10+00:00", b"Feb 29 23:59:59", "2028-02-29T23:59:59+00:00"),
        ("2100-03-01T00:00:10+00:00", b"Feb 28 23:59:59", "2100-02-28T23:59:59+00:00"),
    ],
)
def test_the_year_is_the_one_nearest_to_the_receipt(modules: Modules, received: str, stamp: bytes, meant: str) -> None:
    [entry] = entries(modules, b"<38>" + stamp + b" web1 app: x", now=nanoseconds(received))
    assert entry.time_ns == nanoseconds(meant)


@both
@pytest.mark.parametrize(
    ("received", "stamp", "meant"),
    [
        # Europe/Berlin: 29 March 2026, 02:00 becomes 03:00; 25 October 2026, 03:00 becomes 02:00.
        ("2026-03-29T03:10:00+02:00", b"Mar 29 01:50:00", "2026-03-29T01:50:00+01:00"),
        ("2026-03-29T03:10:00+02:00", b"Mar 29 03:05:00", "2026-03-29T03:05:00+02:00"),
        ("2026-10-25T02:30:00+02:00", b"Oct 25 02:29:59", "2026-10-25T02:29:59+02:00"),
        ("2026-10-25T02:30:00+01:00", b"Oct 25 02:29:59", "2026-10-25T02:29:59+01:00"),
        ("2026-10-25T03:10:00+01:00", b"Oct 25 02:50:00", "2026-10-25T02:50:00+01:00"),
    ],
)
def test_the_zone_is_the_one_in_which_the_clock_showed_that(
    modules: Modules, received: str, stamp: bytes, meant: str
) -> None:
    with local_zone("Europe/Berlin"):
        [entry] = entries(modules, b"<38>" + stamp + b" web1 app: x", now=nanoseconds(received))
    assert entry.time_ns == nanoseconds(meant)


@both
def test_the_same_second_is_read_anew_when_the_receipt_has_moved_on(modules: Modules) -> None:
    packing = Packing(modules, time=model.TimeSettings(max_past_without_zone=400 * 86400))  # type: ignore[arg-type]
    for year in (2026, 2027, 2026):
        packing.packer.now_ns = nanoseconds(f"{year}-11-27T06:30:02+00:00")
        packing.feed(b"<38>Nov 27 06:30:01 web1 app: %d\n" % year)
    assert [(entry.line, entry.time_ns // SECOND) for entry in packing.entries()] == [
        (b"%d" % year, nanoseconds(f"{year}-11-27T06:30:01+00:00") // SECOND) for year in (2026, 2027, 2026)
    ]


@both
def test_a_clock_that_is_far_off_gives_way_and_its_time_is_kept(modules: Modules) -> None:
    with local_zone("Asia/Tokyo"):
        [entry] = entries(modules, b"<38>Aug  1 23:13:19.5 web1 app: x")
    assert entry.time_ns == NOW
    assert entry.metadata["repaired"] == "clock"
    assert entry.metadata["original_timestamp"] == "2026-08-01T23:13:19.5+09:00"


@both
def test_senders_without_a_zone_are_read_in_theirs(modules: Modules) -> None:
    """14:13:19 UTC on a Tokyo wall clock; read in our own zone it is hours ahead."""
    rules = model.TimeSettings(senders=[model.SenderTime(address="10.1.0.0/16", timezone="Asia/Tokyo")])
    for sender, expected in ((b"10.1.2.3", 1_789_999_999_250_000_000), (b"10.2.2.3", NOW)):
        packing = Packing(modules, time=rules, handover=True)
        message = b"<38>Sep 21 23:13:19.25 web1 app: x"
        [entry] = packing.feed(b"%d.000000 %b udp %b\n" % (NOW // SECOND, sender, message)).entries()
        assert entry.time_ns == expected


@both
def test_rules_that_read_the_whole_header_read_this_one(modules: Modules) -> None:
    rule = model.RelabelRule(source_labels=["__syslog_message_proc_id"], target_label="process")
    labels = model.Labels(relabel_configs=[rule])
    found = entries(
        modules, b"<38>Sep 21 14:13:19 web1 app[1]: x", b"<38>Sep 21 14:13:19 web1 app[22]: x", labels=labels
    )
    assert [entry.labels["process"] for entry in found] == ["1", "22"]


def test_hours_of_every_second_in_turn_are_read_right() -> None:
    packing = Packing(COMPILED, time=model.TimeSettings(max_past_without_zone=86400))  # type: ignore[arg-type]
    start = datetime.fromtimestamp(NOW // SECOND, UTC) - timedelta(hours=3)
    moments = [start + timedelta(seconds=7 * number % 10800) for number in range(3000)]
    for moment in moments:
        packing.feed(b"<38>%b web1 app: x\n" % traditional(moment, b""))
    assert [entry.time_ns // SECOND for entry in packing.entries()] == [int(moment.timestamp()) for moment in moments]
