"""Hand-over lines: what is written as one is read as the message that came, with its way here."""

import itertools
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.config import model
from appliance.relay.inputs import INPUTS, Input, index
from tests.unit.relay.packing import BOTH, COMPILED, PLAIN, Entry, Modules, Packing, octets, record

both = pytest.mark.parametrize("modules", BOTH.values(), ids=BOTH.keys())
relaxed = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)
RECEIVED = 1_789_999_999_250_000_000


def escaped(raw: bytes) -> bytes:
    """As rsyslog escapes on receipt with the prefix 0x01."""
    return re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", lambda found: b"\x01%03o" % found[0][0], raw)


def line(raw: bytes, *, sender: bytes = b"10.0.0.9", input: bytes = b"udp") -> bytes:
    return b"1789999999.250000 %b %b %b\n" % (sender, input, escaped(raw))


def handed_over(modules: Modules, *lines: bytes, **options: object) -> Packing:
    return Packing(modules, handover=True, **options).feed(*lines)  # type: ignore[arg-type]


def one(modules: Modules, data: bytes, **options: object) -> Entry:
    [entry] = handed_over(modules, data, **options).entries()
    return entry


@both
def test_a_line_is_its_message_with_its_sender_input_and_time_of_receipt(modules: Modules) -> None:
    labels = model.Labels(metadata=model.Metadata(input=True))
    entry = one(modules, line(record(b"text", stamp=b"-", host=b"-")), labels=labels)
    assert entry == Entry(
        {"job": "syslog", "host": "10.0.0.9", "application": "nginx", "level": "info"},
        RECEIVED,
        b"text",
        {"facility": "user", "sender": "10.0.0.9", "input": "udp", "repaired": "notime,nohost"},
    )


@both
@pytest.mark.parametrize("each", [one for one in INPUTS if one.handed_over], ids=lambda each: each.name)
def test_messages_are_counted_by_the_input_that_took_them(modules: Modules, each: Input) -> None:
    packing = handed_over(modules, line(record(), input=each.handed_over.encode()) * 3)
    counts = dict(zip((each.name for each in INPUTS), packing.packer.messages, strict=True))
    assert {name: count for name, count in counts.items() if count} == {each.name: 3}
    assert packing.packer.octets[index(each.name)] == 3 * len(record())


@both
def test_an_input_more_needs_no_more_than_its_row(modules: Modules) -> None:
    more = (*INPUTS, Input("dtls", "dtls"), Input("unix", "unix_socket"))
    packing = handed_over(
        modules,
        line(record(b"by dtls"), input=b"dtls") + line(record(b"by tls"), input=b"tls"),
        b"1789999999.25 - unix_socket <14>1 - web1 app - - - by a socket\n",
        inputs=more,
        labels=model.Labels(metadata=model.Metadata(input=True)),
    )
    entries = packing.entries()
    assert [(entry.line, entry.metadata["input"]) for entry in entries] == [
        (b"by dtls", "dtls"), (b"by tls", "tls"), (b"by a socket", "unix"),
    ]  # fmt: skip
    assert list(packing.packer.messages) == [0, 0, 0, 0, 1, 0, 0, 0, 1, 1]
    listening = Packing(modules, inputs=more)
    listening.conn = modules.hot.Conn(9, b"192.0.2.7")
    listening.feed(octets(record()))
    assert list(listening.packer.messages) == [0] * 9 + [1]


@both
@relaxed
@given(
    st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8), st.lists(st.integers(0, 10**6), max_size=6)
)
def test_any_text_comes_back_as_it_was_sent_however_the_reads_cut_it(
    modules: Modules, texts: list[bytes], at: list[int]
) -> None:
    texts = [b"x" + text + b"x" for text in texts]
    data = b"".join(line(record(text)) for text in texts)
    edges = [0, *sorted({position % (len(data) + 1) for position in at}), len(data)]
    packing = handed_over(modules, *(data[start:end] for start, end in itertools.pairwise(edges)))
    whole = [text.replace(b"\0", b"#000").decode("utf-8", "replace").encode() for text in texts]
    assert [entry.line for entry in packing.entries()] == whole
    assert packing.rest == b""


@both
def test_a_carriage_return_at_the_end_of_a_line_is_no_part_of_it(modules: Modules) -> None:
    assert one(modules, line(record(b"text\r"))).line == b"text"


@both
@pytest.mark.parametrize(
    "data",
    [
        b"no prefix at all",
        b"1789999999.250000 10.0.0.9 smoke_signal <13>Nov 27 06:30:01 web app: text",
        b"1789999999.250000 10.0.0.9",
        b"99999999999.5 10.0.0.9 udp text",
        b"<13>Sep 21 14:13:19 web app: text",
        b"1789999999,250000 10.0.0.9 udp text",
    ],
)
def test_a_line_whose_beginning_cannot_be_read_is_kept_and_that_is_said(modules: Modules, data: bytes) -> None:
    first, second = handed_over(modules, data + b"\n" + line(record(b"next"))).entries()
    assert data.endswith(first.line[-10:])
    assert "handover" in first.metadata["repaired"].split(",")
    assert second.line == b"next"


@both
def test_what_the_framing_had_to_do_is_said(modules: Modules) -> None:
    first, second = handed_over(modules, line(record(b"a"), input=b"tcp;cut,framing") + line(record(b"b"))).entries()
    assert first.metadata["repaired"] == "cut,framing"
    assert "repaired" not in second.metadata


@both
def test_a_message_that_is_too_long_is_cut_and_the_next_one_whole(modules: Modules) -> None:
    packing = handed_over(modules, line(record(b"L" * 10_000)) + line(record(b"next")), max_message=1000)
    first, second = packing.entries()
    assert (first.line, first.metadata["repaired"]) == (b"L" * (1000 - len(record(b""))), "cut")
    assert second.line == b"next"
    assert packing.packer.frames_cut == 1


@both
@pytest.mark.parametrize("piece", [700, 100_000])
def test_a_line_without_an_end_costs_only_itself(modules: Modules, piece: int) -> None:
    data = line(record(b"\n" * 10_000)) + line(record(b"next"))
    packing = handed_over(modules, *(data[at : at + piece] for at in range(0, len(data), piece)), max_message=1000)
    first, second = packing.entries()
    assert first.line.strip(b"\n") == b""
    assert second.line == b"next"


@both
def test_a_full_batch_stops_at_the_start_of_a_line(modules: Modules) -> None:
    packing = handed_over(modules, b"".join(line(record(b"%d" % n)) for n in range(200)), batch_size=2000)
    assert [int(entry.line) for entry in packing.entries()] == list(range(200))
    assert len(packing.bodies) > 5


lines_or_not = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [b"1789999999.25 ", b"10.0.0.9 ", b"udp ", b"journal ", b"tcp;cut ", b"\n", b"\x01012", b"\\n"]
        ),
        st.just(line(record(b"whole"))),
        st.just(record(b"half")),
    ),
    max_size=20,
).map(b"".join)


@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(lines_or_not)
def test_any_bytes_give_the_same_entries_compiled_and_plain(data: bytes) -> None:
    found = []
    for each in (COMPILED, PLAIN):
        packing = handed_over(each, data, max_message=200)
        found.append((packing.entries(), packing.result, packing.rest, list(packing.packer.messages)))
    assert found[0] == found[1]


# ---- the receiver's side ----------------------------------------------------------------------------


class Writing:
    """One writer of hand-over lines, fed in pieces."""

    def __init__(self, modules: Modules, *, max_message: int = 4096) -> None:
        self.modules = modules
        self.writer = modules.hot.RecordWriter(max_message)
        self.writer.now_ns = RECEIVED
        self.conn = modules.hot.Conn(index("tcp"), b"10.0.0.9")
        self.lines = b""
        self.rest = b""

    def feed(self, *pieces: bytes) -> "Writing":
        for piece in pieces:
            buffer = bytearray(self.rest + piece)
            start = 0
            while self.writer.feed_syslog(self.conn, buffer, start, len(buffer)) == self.modules.hot.BATCH_FULL:
                start = self.conn.consumed
                self.lines += self.writer.take()
            self.rest = bytes(buffer[self.conn.consumed :])
            self.lines += self.writer.take()
        return self

    def finish(self) -> "Writing":
        buffer = bytearray(self.rest)
        assert self.writer.finish_syslog(self.conn, buffer, 0, len(buffer)) == self.modules.hot.NEED_MORE
        self.lines += self.writer.take()
        return self


@both
@relaxed
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_what_the_receiver_writes_is_as_rsyslog_would_write_it(modules: Modules, texts: list[bytes]) -> None:
    messages = [record(b"x" + text + b"x") for text in texts]
    writing = Writing(modules).feed(octets(*messages))
    assert writing.lines == b"".join(line(message, input=b"tcp") for message in messages)
    assert writing.writer.messages[index("tcp")] == len(messages)
    assert writing.writer.octets[index("tcp")] == sum(map(len, messages))


@both
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_lines_that_begin_with_digits_arrive_whole_and_separate(modules: Modules, piece: int) -> None:
    sent = [
        b"2026-11-27 06:30:01 45 text",
        b"2026-11-27T06:30:01Z CEF:0|vendor|product",
        b"45 <html>",
        b"45 <13",
        b"45 <1234>",
        b"12345",
        b"2026",
        b"1650972789.426960608 MX84 urls",
        b"1650972789 MX84 urls",
        b"7 of 9",
        b"99999999999999999999",
    ]
    stream = b"".join(text + b"\n" for text in sent)
    writing = Writing(modules).feed(*(stream[at : at + piece] for at in range(0, len(stream), piece)))
    assert writing.lines == b"".join(line(text, input=b"tcp") for text in sent)
    assert writing.rest == b""


@both
def test_a_message_reads_the_same_by_the_relays_listener_and_by_hand_over(modules: Modules) -> None:
    stream = (
        octets(record(b"one\r\ntwo\0\r\n", sd=b'[a b="c\td"]')) + b"<13>Sep 21 14:13:19 web app: x\ty\r\nno header\n"
    )
    stream += b"unterminated"
    direct = Packing(modules)
    direct.conn = modules.hot.Conn(index("tcp"), b"10.0.0.9")
    direct.packer.now_ns = RECEIVED
    written = Writing(modules).feed(stream).finish()
    packing = handed_over(modules, written.lines)
    assert packing.entries() == direct.feed(stream).finish().entries()


@both
def test_what_the_receivers_framing_had_to_do_reaches_the_entry(modules: Modules) -> None:
    stream = octets(record(b"L" * 5000)) + record(b"no newline")
    written = Writing(modules, max_message=1000).feed(stream).finish()
    first, second = handed_over(modules, written.lines, max_message=1000).entries()
    assert (first.metadata["repaired"], second.metadata["repaired"]) == ("cut", "unterminated")
    assert written.writer.frames_cut == 1


@both
def test_a_writer_that_is_full_says_so_and_loses_nothing(modules: Modules) -> None:
    number = 3 * 2**20 // len(record(b"0000000"))
    writing = Writing(modules, max_message=4096).feed(octets(*(record(b"%07d" % n) for n in range(number))))
    assert writing.lines.count(b"\n") == number
    assert len(writing.writer.take()) == 0


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_bytes_give_the_same_lines_compiled_and_plain(data: bytes, at: int) -> None:
    found = [Writing(each, max_message=100).feed(data[:at], data[at:]).finish() for each in (COMPILED, PLAIN)]
    assert found[0].lines == found[1].lines
    assert found[0].conn.protocol == found[1].conn.protocol
