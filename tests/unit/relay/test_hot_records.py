"""Records: each becomes one entry with its labels, its time, its text whole, and what was repaired said."""

import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from appliance.config import model
from appliance.config.units import Duration
from tests.loki_double import proto
from tests.unit.relay.packing import BOTH, NOW, Entry, Modules, Packing, octets, read_batch, record, relp_frames

pytestmark = pytest.mark.parametrize("modules", BOTH.values(), ids=BOTH.keys())
relaxed = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=100)
STAMP = 1_789_999_999_500_000_000


def one(modules: Modules, data: bytes, **options: object) -> Entry:
    [entry] = Packing(modules, **options).feed(octets(data)).entries()  # type: ignore[arg-type]
    return entry


def handed_over(modules: Modules, message: bytes, way: bytes = b"10.1.2.3 udp", **options: object) -> Entry:
    """The entry of a message in a hand-over line, received now; `way` is its sender and input."""
    line = b"%d.000000 %b %b\n" % (NOW // 10**9, way, message)
    [entry] = Packing(modules, handover=True, **options).feed(line).entries()  # type: ignore[arg-type]
    return entry


def test_the_header_becomes_labels_and_metadata(modules: Modules) -> None:
    data = record(b"GET /", pri=163, proc=b"4711", msgid=b"ID47", sd=b'[exampleSDID@32473 iut="3" eventSource="a\\"b"]')
    assert one(modules, data) == Entry(
        {"job": "syslog", "host": "web1", "application": "nginx", "level": "error"},
        STAMP,
        b"GET /",
        {
            "facility": "local4",
            "process_id": "4711",
            "message_id": "ID47",
            "sender": "192.0.2.7",
            "exampleSDID_32473_iut": "3",
            "exampleSDID_32473_eventSource": 'a"b',
        },
    )


@pytest.mark.parametrize(("words", "expected"), [
    ("grafana", ["critical", "critical", "critical", "error", "warning", "info", "info", "debug"]),
    ("syslog", ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"]),
])  # fmt: skip
def test_levels_are_in_the_words_asked_for(modules: Modules, words: str, expected: list[str]) -> None:
    labels = model.Labels(level=words)  # type: ignore[arg-type]
    assert [one(modules, record(pri=pri), labels=labels).labels["level"] for pri in range(8)] == expected


def test_fields_can_be_switched_off_and_facility_on(modules: Modules) -> None:
    off = model.Metadata(process_id=False, message_id=False, facility=False, sender=False, structured_data=False)
    labels = model.Labels(include=["host", "facility"], metadata=off)
    entry = one(modules, record(proc=b"1", msgid=b"2", sd=b'[a b="c"]'), labels=labels)
    assert entry.labels == {"job": "syslog", "host": "web1", "facility": "user"}
    assert entry.metadata == {}


def test_the_input_can_be_switched_on_and_repairs_off(modules: Modules) -> None:
    far_off = record(b"hello", stamp=b"1971-01-01T00:00:00Z")
    way = b"10.1.2.3 udp;cut,framing"
    on = model.Labels(metadata=model.Metadata(input=True))
    assert handed_over(modules, far_off, way, labels=on).metadata == {
        "facility": "user", "sender": "10.1.2.3", "input": "udp", "repaired": "cut,framing,clock",
        "original_timestamp": "1971-01-01T00:00:00Z",
    }  # fmt: skip
    off = model.Labels(metadata=model.Metadata(repairs=False))
    entry = handed_over(modules, far_off, way, labels=off)
    assert (entry.time_ns, entry.metadata) == (NOW, {"facility": "user", "sender": "10.1.2.3"})


def test_a_record_without_text_is_kept(modules: Modules) -> None:
    assert one(modules, record(b"")[:-1]).line == b""


def test_a_missing_host_is_the_senders_address(modules: Modules) -> None:
    assert one(modules, record(host=b"-")).labels["host"] == "192.0.2.7"


def test_nobody_can_forge_by_what_way_a_message_came(modules: Modules) -> None:
    forged = record(b"1.000000 6.6.6.6 journal text", sd=b'[fwd@0 r="1.000000" s="6.6.6.6" i="journal" p="1"]')
    by_relp = Packing(modules, relp=True).feed(relp_frames(forged)).entries()
    for entry in (one(modules, forged), *by_relp, handed_over(modules, forged, b"192.0.2.7 tcp")):
        assert entry.metadata["sender"] == "192.0.2.7"
        assert entry.metadata["fwd_0_s"] == "6.6.6.6"
        assert (entry.time_ns, entry.line) == (STAMP, b"1.000000 6.6.6.6 journal text")


def test_control_characters_that_were_escaped_come_back_and_nothing_else_is_taken_for_one(modules: Modules) -> None:
    escaped = b"a\x01012b\x01000c\x01001012\x019\x01"
    message = record(escaped, sd=b'[x a="l1\x01012l2"]')
    entry = handed_over(modules, message)
    assert entry.line == b"a\nb#000c\x01012\x019\x01"
    assert entry.metadata["x_a"] == "l1\nl2"
    assert entry.metadata["repaired"] == "nul"
    # rsyslog escapes the journal's messages, too; what comes by the relay's own listeners is not escaped.
    assert handed_over(modules, message, b"127.0.0.1 journal").line == entry.line
    [by_relp] = Packing(modules, relp=True).feed(relp_frames(record(escaped))).entries()
    assert by_relp.line == escaped
    assert one(modules, record(escaped)).line == escaped


def test_structured_data_that_is_malformed_stays_in_the_text(modules: Modules) -> None:
    entry = one(modules, record(b"text", sd=b'[broken a="b'))
    assert entry.line == b'[broken a="b text'
    assert entry.metadata["repaired"] == "structured_data"


@pytest.mark.parametrize(
    ("rest", "line", "metadata"),
    [
        (b"web [warn] X", b"[warn] X", {"message_id": "web", "repaired": "structured_data"}),
        (b"web - [warn] X", b"[warn] X", {"message_id": "web"}),
        (b"- [warn] X", b"[warn] X", {"repaired": "structured_data"}),
        (b"- - [warn] X", b"[warn] X", {}),
        (b"[warn] X", b"[warn] X", {"repaired": "structured_data"}),
        (b"web [warn ] X", b"[warn ] X", {"message_id": "web", "repaired": "structured_data"}),
        (b'web [a b="c"][warn] X', b'[a b="c"][warn] X', {"message_id": "web", "repaired": "structured_data"}),
        (b'web [a b="c"] [warn] X', b"[warn] X", {"message_id": "web", "a_b": "c"}),
        (b"web [client 10.0.0.1] X", b"[client 10.0.0.1] X", {"message_id": "web", "repaired": "structured_data"}),
        (b'- [a  b="c"  d="e" ] X', b"X", {"a_b": "c", "a_d": "e"}),
        (b'- [a b="c\\\\"][d e="f\\]\\""] X', b"X", {"a_b": "c\\", "d_e": 'f]"'}),
        (b"web X", b"X", {"message_id": "web", "repaired": "structured_data"}),
    ],
)
def test_nothing_vanishes_that_only_looks_like_structured_data(
    modules: Modules, rest: bytes, line: bytes, metadata: dict[str, str]
) -> None:
    entry = one(modules, b"<30>1 2026-09-21T14:13:19.5Z swarm01 web/3f2a 812 " + rest)
    assert entry.line == line
    assert entry.metadata == {"facility": "daemon", "process_id": "812", "sender": "192.0.2.7", **metadata}


@pytest.mark.parametrize(
    ("raw", "line", "repaired"),
    [
        (b"\xef\xbb\xbfbom", b"bom", None),
        (b"carriage return\r\n", b"carriage return", None),
        (b"trailing nul\0\0", b"trailing nul", None),
        (b"inner\0nul", b"inner#000nul", "nul"),
        (b"two\nlines", b"two\nlines", None),
        ("déjà vu ✓".encode(), "déjà vu ✓".encode(), None),
        (b"latin \xe9t\xe9", "latin \ufffdt\ufffd".encode(), "utf8"),
        (b"  indented", b"  indented", None),
    ],
)
def test_text_arrives_whole_and_valid(modules: Modules, raw: bytes, line: bytes, repaired: str | None) -> None:
    entry = one(modules, record(raw))
    assert entry.line == line
    assert entry.metadata.get("repaired") == repaired


def test_a_message_of_64_kib_arrives_whole(modules: Modules) -> None:
    text = bytes(32 + number % 90 for number in range(65536))
    assert one(modules, record(text), max_message=256 * 1024).line == text


@pytest.mark.parametrize(
    ("raw", "application", "line", "repaired"),
    [
        (b"<13>Sep 21 16:13:19 sw1 sshd[12]: in the old form", "sshd", b"in the old form", None),
        (b"no priority, no time", None, b"no priority, no time", "nopri,notime,nohost,unparsed"),
        (
            b"<999>1 - - - - - - priority out of range",
            None,
            b"<999>1 - - - - - - priority out of range",
            "nopri,notime,nohost,unparsed",
        ),
    ],
)
def test_what_is_not_rfc_5424_is_kept_as_text(
    modules: Modules, raw: bytes, application: str | None, line: bytes, repaired: str | None
) -> None:
    [entry] = Packing(modules).feed(raw + b"\n").entries()
    assert (entry.labels.get("application"), entry.line) == (application, line)
    assert repaired is None or entry.metadata["repaired"] == repaired


# ---- time -----------------------------------------------------------------------------------------


@relaxed
@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)),
    st.integers(-23 * 60, 23 * 60),
    st.integers(0, 999_999_999),
)
def test_time_stamps_are_read_to_the_nanosecond(modules: Modules, moment: datetime, zone: int, nanos: int) -> None:
    aware = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=zone)))
    text = f"{aware:%Y-%m-%dT%H:%M:%S}.{nanos:09d}{aware.isoformat()[19:25]}"
    seconds = (aware - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(seconds=1)  # noqa: UP017
    assert modules.hot.parse_timestamp(text.encode()) == seconds * 10**9 + nanos


@pytest.mark.parametrize("text", [
    "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00", "",
    "2026-01-01 00:00:00Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+1:00", "2026-01-01T00:00:00Zx", "-",
])  # fmt: skip
def test_what_is_no_time_stamp_is_not_read_as_one(modules: Modules, text: str) -> None:
    assert modules.hot.parse_timestamp(text.encode()) == -1


@relaxed
@given(st.text("0123456789-T:.Z+ ", max_size=36))
def test_any_text_for_a_time_stamp_is_read_alike_or_refused(modules: Modules, text: str) -> None:
    value = modules.hot.parse_timestamp(text.encode())
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:)(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", text)
    if value >= 0:
        assert match


@pytest.mark.parametrize("stamp", [b"2026-09-21T15:13:20Z", b"2026-09-01T00:00:00Z", b"1971-01-01T00:00:00Z"])
def test_a_clock_that_is_far_off_gives_way_to_the_time_of_receipt(modules: Modules, stamp: bytes) -> None:
    entry = one(modules, record(stamp=stamp))
    assert entry.time_ns == NOW
    assert entry.metadata["original_timestamp"] == stamp.decode()
    assert entry.metadata["repaired"] == "clock"


def test_a_time_stamp_that_cannot_be_read_is_kept_as_metadata(modules: Modules) -> None:
    entry = one(modules, record(stamp=b"yesterday"))
    assert (entry.time_ns, entry.metadata["original_timestamp"]) == (NOW, "yesterday")


def test_the_time_of_receipt_can_be_the_rule(modules: Modules) -> None:
    entry = one(modules, record(), time=model.TimeSettings(timestamp="received"))
    assert entry.time_ns == NOW
    assert "repaired" not in entry.metadata


def test_each_range_of_senders_may_have_rules_of_its_own(modules: Modules) -> None:
    """The first range that matches counts; what a rule does not say is as for all."""
    rules = model.TimeSettings(
        senders=[
            model.SenderTime(address="10.1.2.3", timestamp="message", max_past=Duration(60)),
            model.SenderTime(address="10.1.0.0/16", timestamp="received"),
            model.SenderTime(address="10.9.0.0/16", max_past=Duration(60), max_future=Duration(1)),
            model.SenderTime(address="fd00::/8", max_past=Duration(60)),
        ]
    )
    minutes_ago, seconds_ahead = NOW - 600 * 10**9, NOW + 5 * 10**9
    expected = {
        (b"10.1.2.3", b"2026-09-21T14:03:20Z"): NOW,
        (b"10.1.7.7", b"2026-09-21T14:03:20Z"): NOW,
        (b"10.9.0.1", b"2026-09-21T14:03:20Z"): NOW,
        (b"fd00::1", b"2026-09-21T14:03:20Z"): NOW,
        (b"192.0.2.1", b"2026-09-21T14:03:20Z"): minutes_ago,
        (b"10.9.0.1", b"2026-09-21T14:13:25Z"): NOW,
        (b"192.0.2.1", b"2026-09-21T14:13:25Z"): seconds_ahead,
    }
    for (sender, stamp), wanted in expected.items():
        entry = handed_over(modules, record(stamp=stamp), sender + b" udp", time=rules)
        assert entry.time_ns == wanted, (sender, stamp)
        kept = "original_timestamp" in entry.metadata
        assert kept == (wanted == NOW and sender != b"10.1.7.7"), "a rule to take the receipt repairs nothing"


def test_the_limits_of_belief_are_configurable(modules: Modules) -> None:
    old = record(stamp=b"2026-09-21T13:00:00Z")
    assert one(modules, old, time=model.TimeSettings(max_past=Duration(60))).time_ns == NOW
    assert one(modules, old).time_ns != NOW


def test_equal_entries_of_one_moment_stay_distinct_and_in_order(modules: Modules) -> None:
    entries = Packing(modules).feed(octets(*[record(b"again")] * 5)).entries()
    assert [entry.time_ns - STAMP for entry in entries] == [0, 1, 2, 3, 4]


# ---- the batch --------------------------------------------------------------------------------------


@relaxed
@given(st.lists(st.tuples(st.integers(0, 191), st.integers(0, 5), st.integers(0, 40)), min_size=1, max_size=60))
def test_a_batch_holds_each_stream_once_with_its_entries_in_order(
    modules: Modules, messages: list[tuple[int, int, int]]
) -> None:
    packing = Packing(modules)
    for number, (pri, host, size) in enumerate(messages):
        packing.feed(octets(record(b"%d %b" % (number, b"x" * size), pri=pri, host=b"h%d" % host)))
    body, streams, tallies = packing.packer.close()
    request = proto.PushRequest.FromString(bytes(body))
    labels = [stream.labels for stream in request.streams]
    assert len(set(labels)) == len(labels)
    numbers = [[int(entry.line.split()[0]) for entry in stream.entries] for stream in request.streams]
    assert all(stream == sorted(stream) for stream in numbers)
    assert sorted(number for stream in numbers for number in stream) == list(
        range(len(messages))
    ) and streams.entries == len(messages)
    stamps = [e.timestamp.seconds * 10**9 + e.timestamp.nanos for s in request.streams for e in s.entries]
    assert (min(stamps), max(stamps)) == (streams.oldest_ns, streams.newest_ns)
    assert sum(tally.count for tally in tallies) == len(messages)
    scanned = modules.hot.scan_push(bytes(body))
    assert [part[0].encode() for part in scanned] == labels
    assert streams.parts() == scanned
    assert modules.hot.batch_streams(scanned).parts() == scanned


def test_streams_new_in_a_batch_lie_behind_those_that_were_sent_before(modules: Modules) -> None:
    packing = Packing(modules)
    packing.feed(octets(*(record(host=b"old%d" % number) for number in range(5))))
    packing.packer.close()
    packing.feed(octets(*(record(host=host) for host in (b"new1", b"old3", b"new2", b"old1", b"new1"))))
    body, streams, _ = packing.packer.close()
    assert [labels.split('host="')[1][:4] for labels in streams.labels] == ["old3", "old1", "new1", "new2"]
    assert streams.parts() == modules.hot.scan_push(bytes(body))


@relaxed
@given(sizes=st.lists(st.integers(1, 3000), min_size=2, max_size=8))
def test_a_batch_in_used_memory_holds_nothing_of_the_one_before(modules: Modules, sizes: list[int]) -> None:
    packing = Packing(modules)
    for number, size in enumerate(sizes):
        text = b"%d" % (number % 10) * size
        packing.feed(octets(record(text)))
        body = packing.packer.close()[0]
        assert [entry.line for entry in read_batch(body)] == [text]
        packing.packer.reuse(body)


def test_a_batch_closes_at_its_size_and_loses_nothing(modules: Modules) -> None:
    packing = Packing(modules, batch_size=4000)
    packing.feed(octets(*(record(b"%d" % number) for number in range(200))))
    entries = packing.entries()
    assert len(packing.bodies) >= 3
    assert max(map(len, packing.bodies)) < 5000
    assert [entry.line for entry in entries] == [b"%d" % number for number in range(200)]


@relaxed
@given(st.binary(max_size=80))
@example(b"\xd9\x80\x80\x80\x10" + bytes(8))  # a tag of more than 32 bits
@example(b"\xd0\x00\x00\x12\x06\x00\x00\x00\x00\x00\x80")  # text that is no UTF-8, which Go does not look at
def test_scanning_any_bytes_says_no_or_what_protobuf_says(modules: Modules, data: bytes) -> None:
    parts = modules.hot.scan_push(data)
    assert parts == modules.hot.scan_push(data + b"\x0a\x02\x0a\x00", False, len(data))
    try:
        request = proto.PushRequest.FromString(data)
    except proto.DecodeError:
        assert parts is None
        return
    if parts is not None:
        assert [part[3] for part in parts] == [len(stream.entries) for stream in request.streams]


def test_labels_made_of_whatever_a_sender_writes_never_overfill_a_batch(modules: Modules) -> None:
    labels = model.Labels(relabel_configs=[model.RelabelRule(regex="__syslog_message_sd_(.+)", action="labelmap")])
    packing = Packing(modules, labels, batch_size=20_000, max_message=65536)
    name = b"n" * 900
    flood = b"[%b%b]" % (name, b"".join(b' p%d="v"' % number for number in range(5000)))
    packing.feed(octets(*[record(b"text", sd=flood)] * 20))
    entries = packing.entries()
    assert [entry.line for entry in entries] == [b"text"] * 20
    for entry in entries:
        assert len(entry.labels) == 14
        assert int(entry.metadata["labels_left_out"]) > 4900
        assert sum(len(name) + len(value) for name, value in entry.metadata.items()) < 100_000


def test_headers_of_any_length_are_remembered_in_bounded_memory(modules: Modules) -> None:
    packing = Packing(modules, max_message=70_000)
    most = 0
    for number in range(320):
        packing.feed(octets(record(b"text", host=b"%d" % number + b"x" * 60_000)))
        most = max(most, sum(map(len, packing.packer.routes)))
    assert 8 * 2**20 < most < 20 * 2**20
    assert all(len(tally.name) <= 255 for tally in packing.packer.resolver._tallies.values())
    assert not packing.packer.resolver._admitted
