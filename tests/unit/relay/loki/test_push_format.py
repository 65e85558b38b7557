"""Our walker and encoder of Loki's push format against the protobuf library."""

import json
import tracemalloc
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.relay import hot
from appliance.relay.loki import push_format
from appliance.relay.loki.push_format import Entry, MalformedPush, StreamPart

SECOND = 10**9
calmly = settings(deadline=None, max_examples=50)


def _messages() -> dict[str, Any]:
    """grafana/loki pkg/push/push.proto, as far as it matters, with bytes where any bytes must come through."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="push_for_logproto.proto", package="check", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, str, bool]) -> None:
        one = file.message_type.add(name=name)
        for field, number, kind, type_name, repeated in fields:
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            one.field.add(name=field, number=number, type=kind, type_name=type_name or None, label=label)  # type: ignore[arg-type]

    message("Timestamp", ("seconds", 1, kinds.TYPE_INT64, "", False), ("nanos", 2, kinds.TYPE_INT32, "", False))
    message("Pair", ("name", 1, kinds.TYPE_BYTES, "", False), ("value", 2, kinds.TYPE_BYTES, "", False))
    message(
        "Entry",
        ("timestamp", 1, kinds.TYPE_MESSAGE, ".check.Timestamp", False),
        ("line", 2, kinds.TYPE_BYTES, "", False),
        ("metadata", 3, kinds.TYPE_MESSAGE, ".check.Pair", True),
    )
    message(
        "Stream",
        ("labels", 1, kinds.TYPE_BYTES, "", False),
        ("entries", 2, kinds.TYPE_MESSAGE, ".check.Entry", True),
        ("hash", 3, kinds.TYPE_UINT64, "", False),
    )
    message("Push", ("streams", 1, kinds.TYPE_MESSAGE, ".check.Stream", True))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"check.{name}"))
        for name in ("Push", "Stream")
    }


Push = _messages()["Push"]

texts = st.text(max_size=20).filter(lambda text: not any(0xD800 <= ord(character) <= 0xDFFF for character in text))
entries = st.builds(
    Entry,
    st.integers(-(2**60), 2**62),
    st.binary(max_size=300),
    st.lists(st.tuples(texts, texts), max_size=4).map(tuple),
)
pushes = st.lists(st.tuples(texts.map(lambda text: f'{{a="{text}"}}'), st.lists(entries, max_size=6)), max_size=5)


def by_library(streams: list[tuple[str, list[Entry]]], with_hash: bool = False) -> bytes:
    push = Push()
    for labels, items in streams:
        stream = push.streams.add(labels=labels.encode(), hash=7 if with_hash else 0)
        for item in items:
            entry = stream.entries.add(line=item.line)
            entry.timestamp.seconds, entry.timestamp.nanos = divmod(item.timestamp_ns, SECOND)
            for name, value in item.metadata:
                entry.metadata.add(name=name.encode(), value=value.encode())
    encoded: bytes = push.SerializeToString()
    return encoded


@calmly
@given(pushes)
def test_what_we_encode_the_library_reads_the_same(streams: list[tuple[str, list[Entry]]]) -> None:
    decoded = Push.FromString(b"".join(push_format.encode_stream(labels, items) for labels, items in streams))
    found = [
        (
            stream.labels.decode(),
            [
                Entry(
                    entry.timestamp.seconds * SECOND + entry.timestamp.nanos,
                    entry.line,
                    tuple((pair.name.decode(), pair.value.decode()) for pair in entry.metadata),
                )
                for entry in stream.entries
            ],
        )
        for stream in decoded.streams
    ]
    assert found == streams


@calmly
@given(pushes, st.booleans())
def test_what_the_library_encodes_we_read_the_same(streams: list[tuple[str, list[Entry]]], with_hash: bool) -> None:
    body = by_library(streams, with_hash)
    parts = push_format.scan_plain(body)
    assert [(part.labels, push_format.entries_of(body, part)) for part in parts] == streams
    for part, (_, items) in zip(parts, streams, strict=True):
        stamps = [item.timestamp_ns for item in items]
        assert (part.entries, part.oldest_ns, part.newest_ns) == (
            len(items),
            min(stamps, default=0),
            max(stamps, default=0),
        )
    assert b"".join(body[part.offset : part.offset + part.length] for part in parts) == body


@calmly
@given(pushes)
def test_the_scan_in_use_finds_what_the_plain_one_finds(streams: list[tuple[str, list[Entry]]]) -> None:
    # Both call a time before 1970 too old; the compiled one counts it as 0.
    body = by_library(
        [(labels, [e._replace(timestamp_ns=abs(e.timestamp_ns)) for e in some]) for labels, some in streams]
    )
    assert push_format.scan(body) == push_format.scan_plain(body)
    assert all(isinstance(part, StreamPart) for part in push_format.scan(body))


@calmly
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_never_worse(body: bytes) -> None:
    try:
        parts = push_format.scan(body)
    except MalformedPush as error:
        assert "byte" in str(error)
        return
    for part in parts:
        push_format.entries_of(body, part)


@calmly
@given(pushes.filter(bool), st.data())
def test_a_push_cut_short_is_refused_or_a_shorter_push(
    streams: list[tuple[str, list[Entry]]], data: st.DataObject
) -> None:
    body = by_library(streams)
    short = body[: data.draw(st.integers(0, len(body)))]
    try:
        parts = push_format.scan(short)
    except MalformedPush:
        return
    assert push_format.select(short, parts) == short


@calmly
@given(st.lists(entries, min_size=2, max_size=9))
def test_halves_hold_all_entries_in_order(items: list[Entry]) -> None:
    body = push_format.encode_stream('{a="b"}', items)
    first, second = push_format.halves(body, push_format.scan(body)[0]) or (b"", b"")
    both = [push_format.entries_of(half, push_format.scan(half)[0]) for half in (first, second)]
    assert both[0] + both[1] == items
    assert both[0] and both[1]


def test_a_single_entry_has_no_halves() -> None:
    body = push_format.encode_stream('{a="b"}', [Entry(1, b"x")])
    assert push_format.halves(body, push_format.scan(body)[0]) is None


@calmly
@given(st.lists(st.lists(entries, max_size=4), min_size=1, max_size=4))
def test_parts_of_one_stream_merge_in_order(groups: list[list[Entry]]) -> None:
    bodies = [push_format.encode_stream('{a="b"}', group) for group in groups]
    merged = push_format.merge('{a="b"}', [(body, push_format.scan(body)[0]) for body in bodies])
    parts = push_format.scan(merged)
    assert len(parts) == 1
    assert push_format.entries_of(merged, parts[0]) == [entry for group in groups for entry in group]


@calmly
@given(pushes)
def test_json_says_the_same(streams: list[tuple[str, list[Entry]]]) -> None:
    body = push_format.encode_stream('{b="c"}', [item for _, items in streams for item in items])
    pushed = json.loads(push_format.encode_json(body, push_format.scan(body)))
    assert pushed["streams"][0]["stream"] == {"b": "c"}
    expected = [
        [
            str(item.timestamp_ns),
            item.line.decode("utf-8", "replace"),
            *([dict(item.metadata)] if item.metadata else []),
        ]
        for _, items in streams
        for item in items
    ]
    assert pushed["streams"][0]["values"] == expected


def test_a_malformed_push_is_said_to_be_so() -> None:
    with pytest.raises(MalformedPush, match="longer than what holds it"):
        push_format.scan(b"\x0a\x05\x00")


@pytest.mark.skipif(not hot.compiled(), reason="the hot path is not compiled here")
def test_a_sound_push_is_scanned_by_the_compiled_scan_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    body = push_format.encode_stream('{a="b"}', [Entry(SECOND, b"x"), Entry(2 * SECOND, b"y")])

    def slow(body: bytes) -> list[StreamPart]:
        raise AssertionError("ten times as slow")

    monkeypatch.setattr(push_format, "scan_plain", slow)
    assert push_format.scan(body) == push_format.list_parts(push_format.scan_streams(body))
    assert push_format.scan_streams(bytearray(body + b"rest"), len(body)).labels == ['{a="b"}']


def test_parts_of_a_million_tiny_entries_are_merged_and_halved_in_little_memory() -> None:
    body = push_format.encode_raw('{a="b"}', [b"\x12\x00"] * 100_000)
    [part] = push_format.scan(body)
    tracemalloc.start()
    try:
        merged = push_format.merge(part.labels, [(body, part)] * 3)
        pair = push_format.halves(body, part)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pair is not None and [push_format.scan(half)[0].entries for half in pair] == [50_000, 50_000]
    assert push_format.scan(merged)[0].entries == 300_000
    assert peak < 3 * len(merged)
