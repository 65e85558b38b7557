"""Framing: every frame is one entry, whatever the reads cut it into, and a bad one costs only itself."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.relay.packing import BOTH, COMPILED, PLAIN, Modules, Packing, octets, record, relp_frames

both = pytest.mark.parametrize("modules", BOTH.values(), ids=BOTH.keys())
relaxed = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)

texts = st.binary(max_size=60).map(lambda text: b"x" + text + b"x")
line_texts = texts.map(lambda text: text.replace(b"\n", b" "))


def lines(packing: Packing) -> list[bytes]:
    return [entry.line for entry in packing.entries()]


def cuts(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted({position % (len(data) + 1) for position in at}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def as_text(raw: bytes) -> bytes:
    """What the line of a text is: valid UTF-8, no NUL."""
    return raw.replace(b"\0", b"#000").decode("utf-8", "replace").encode()


@both
@relaxed
@given(st.lists(st.tuples(texts, st.booleans()), max_size=12), st.lists(st.integers(0, 10**6), max_size=8))
def test_framing_is_decided_for_each_message(
    modules: Modules, messages: list[tuple[bytes, bool]], at: list[int]
) -> None:
    stream, expected = b"", []
    for text, counted in messages:
        text = text if counted else text.replace(b"\n", b" ")
        stream += octets(record(text)) if counted else record(text) + b"\n"
        expected.append(as_text(text))
    packing = Packing(modules).feed(*cuts(stream, at))
    assert lines(packing) == expected
    assert packing.rest == b""


@both
@relaxed
@given(st.lists(texts, min_size=1, max_size=12), st.lists(st.integers(0, 10**6), max_size=8))
def test_relp_frames_are_taken_whole_and_their_transactions_remembered(
    modules: Modules, messages: list[bytes], at: list[int]
) -> None:
    stream = relp_frames(*(record(text) for text in messages))
    packing = Packing(modules, relp=True).feed(*cuts(stream, at))
    assert lines(packing) == [as_text(text) for text in messages]
    assert packing.conn.take_ranges() == [(2, len(messages))]
    assert packing.conn.unacked == len(messages)


@both
def test_an_oversize_octet_frame_is_cut_and_the_next_one_whole(modules: Modules) -> None:
    long = record(b"L" * 10_000)
    packing = Packing(modules, max_message=1000).feed(octets(long, record(b"next")))
    first, second = packing.entries()
    assert first.line == b"L" * (1000 - len(record(b"")))
    assert first.metadata["repaired"] == "cut"
    assert second.line == b"next"
    assert packing.packer.frames_cut == 1


@both
@pytest.mark.parametrize("piece", [1, 700, 100_000])
def test_an_oversize_line_is_cut_and_the_next_one_whole(modules: Modules, piece: int) -> None:
    stream = record(b"L" * 10_000) + b"\n" + record(b"next") + b"\n"
    pieces = [stream[start : start + piece] for start in range(0, len(stream), piece)]
    packing = Packing(modules, max_message=1000).feed(*pieces)
    assert [entry.line[:4] for entry in packing.entries()] == [b"LLLL", b"next"]


@both
def test_an_oversize_relp_frame_is_cut_acknowledged_and_the_next_one_whole(modules: Modules) -> None:
    stream = relp_frames(record(b"L" * 10_000), record(b"next"))
    packing = Packing(modules, relp=True, max_message=1000).feed(*cuts(stream, [500, 1500, 9000]))
    assert [entry.line[:4] for entry in packing.entries()] == [b"LLLL", b"next"]
    assert packing.conn.take_ranges() == [(2, 2)]


@both
def test_a_count_that_is_too_small_costs_only_its_own_message(modules: Modules) -> None:
    good, bad = record(b"good"), record(b"its count was wrong")
    stream = octets(good) + b"%d %b" % (len(bad) - 6, bad) + octets(good, good)
    entries = Packing(modules).feed(stream).entries()
    assert [entry.line for entry in entries].count(b"good") == 3
    assert b"its count was" in b"".join(entry.line for entry in entries)
    assert any("framing" in entry.metadata.get("repaired", "") for entry in entries)


@both
def test_digits_at_the_start_of_a_line_are_no_count(modules: Modules) -> None:
    packing = Packing(modules).feed(b"2026 was a year\n" + record(b"next") + b"\n")
    assert lines(packing) == [b"2026 was a year", b"next"]


@both
def test_a_sender_that_counts_may_leave_out_the_priority(modules: Modules) -> None:
    stream = octets(record(b"first"), b"no priority", b"two\nlines", b"12 <14", record(b"last"))
    packing = Packing(modules).feed(stream)
    assert sorted(lines(packing)) == [b"12 <14", b"first", b"last", b"no priority", b"two\nlines"]
    packing = Packing(modules).feed(octets(record(b"first"), record(b"second")) + b"2026 was a year\n")
    assert lines(packing) == [b"first", b"second", b"2026 was a year"]
    assert packing.rest == b""


@both
@pytest.mark.parametrize("piece", [1, 3, 10_000])
def test_tls_on_a_plain_port_is_recognized_and_its_bytes_are_no_messages(modules: Modules, piece: int) -> None:
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2
    packing = Packing(modules).feed(*(hello[at : at + piece] for at in range(0, len(hello), piece)))
    assert packing.conn.protocol == "tls"
    assert packing.packer.other_protocols == {"tls": 1}
    assert packing.finish().entries() == []
    assert packing.rest == b""


@both
@pytest.mark.parametrize("piece", [1, 3, 10_000])
@pytest.mark.parametrize("first", [b"GET / HTTP/1.1", b"POST /loki/api/v1/push HTTP/1.0", b"CONNECT a:1 HTTP/1.1"])
def test_http_on_a_plain_port_is_recognized_and_kept_as_lines(modules: Modules, first: bytes, piece: int) -> None:
    request = first + b"\r\nHost: 10.0.0.1\r\n\r\n"
    packing = Packing(modules).feed(*(request[at : at + piece] for at in range(0, len(request), piece)))
    assert packing.conn.protocol == "http"
    assert packing.packer.other_protocols == {"http": 1}
    assert lines(packing) == [first, b"Host: 10.0.0.1"]


@both
@pytest.mark.parametrize(
    "first",
    [b"GET / was slow", b"GETTING ready", b"\x16\x04 odd", b"PRI * HTTP", b"HTTP/1.1 200 OK", b"<13>GET / HTTP/1.1"],
)
def test_text_that_only_resembles_another_protocol_is_syslog(modules: Modules, first: bytes) -> None:
    packing = Packing(modules).feed(first + b"\n", b"GET / HTTP/1.1\r\n")
    assert packing.conn.protocol == ""
    assert packing.packer.other_protocols == {}
    assert len(lines(packing)) == 2


@both
def test_separators_between_frames_are_no_messages(modules: Modules) -> None:
    packing = Packing(modules).feed(octets(record(b"a")) + b"\n\r\n\0" + octets(record(b"b")) + b"\n")
    assert lines(packing) == [b"a", b"b"]


@both
def test_what_a_closed_connection_left_unterminated_is_kept(modules: Modules) -> None:
    packing = Packing(modules).feed(record(b"whole") + b"\n" + record(b"no newline")).finish()
    assert [entry.line for entry in packing.entries()] == [b"whole", b"no newline"]


@both
def test_a_relp_command_stops_the_feeding_in_front_of_it(modules: Modules) -> None:
    packing = Packing(modules, relp=True).feed(b"1 open 0\n")
    assert packing.result == modules.hot.RELP_COMMAND
    assert packing.rest == b"1 open 0\n"


@both
@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"99999999999999 syslog 3 abc\n", b"2 syslog 3 abcd\n"])
def test_garbage_on_relp_is_a_protocol_error(modules: Modules, garbage: bytes) -> None:
    packing = Packing(modules, relp=True).feed(relp_frames(record(b"before")) + garbage)
    assert packing.result == modules.hot.PROTOCOL_ERROR
    assert lines(packing) == [b"before"]


@both
@pytest.mark.parametrize("count", [1, 2, 10_000])
@pytest.mark.parametrize("first", [1, 9, 99, 999_999_000])
def test_acknowledgements_are_one_response_for_each_transaction(modules: Modules, first: int, count: int) -> None:
    expected = b"".join(b"%d rsp 6 200 OK\n" % number for number in range(first, first + count))
    assert modules.hot.relp_acknowledge(first, count) == expected


bytes_like_syslog = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"<", b">1 ", b" ", b"\n", b"[", b'="', b'"]', b"2026-09-21T14:13:19Z ", b"12 <13>1 ", b"- "]),
        st.integers(0, 300).map(lambda number: b"%d " % number),
        st.just(octets(record(b"whole"))),
        st.just(relp_frames(record(b"whole"))),
    ),
    max_size=25,
).map(b"".join)


@settings(deadline=None, max_examples=400, suppress_health_check=list(HealthCheck))
@given(bytes_like_syslog, st.booleans(), st.lists(st.integers(0, 10**6), max_size=4))
def test_any_bytes_give_the_same_entries_compiled_and_plain(data: bytes, relp: bool, at: list[int]) -> None:
    found = []
    for each in (COMPILED, PLAIN):
        packing = Packing(each, relp=relp, max_message=200).feed(*cuts(data, at))
        if not relp:
            packing.finish()
        found.append((packing.entries(), packing.result, packing.rest, packing.conn.take_ranges()))
    assert found[0] == found[1]


@both
def test_senders_that_hang_up_in_the_middle_of_long_messages_never_overfill_a_batch(modules: Modules) -> None:
    packing = Packing(modules, batch_size=20_000, max_message=4096)
    senders = 50
    for _ in range(senders):
        packing.rest = b"<14>" + b"\0" * 4000 + b"x"  # four bytes each, once they are text
        packing.finish()
        assert packing.packer.size() < 20_000 + 4 * 4096 + 4096
    assert packing.bodies
    assert [len(line) for line in lines(packing)] == [4 * 4000 + 1] * senders


@both
def test_a_packer_that_follows_another_keeps_streams_apart_and_counts_on(modules: Modules) -> None:
    before = Packing(modules)
    for number in range(3):
        before.feed(octets(record(b"old", host=b"h%d" % number)))
        before.bodies.append(bytes(before.packer.close()[0]))
    after = Packing(modules, guard=before.guard)
    after.packer.follow(before.packer)
    assert after.packer.messages[1] == 3
    for number in (0, 1, 2, 1, 0):  # the streams are those of before
        after.feed(octets(record(b"from h%d" % number, host=b"h%d" % number), record(b"other", host=b"other")))
        after.bodies.append(bytes(after.packer.close()[0]))
    for entry in after.entries():
        if entry.line != b"other":
            assert entry.line.decode() == "from " + entry.labels["host"]
    assert after.packer.messages[1] == 13
