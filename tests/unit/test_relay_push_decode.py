"""Bodies of Loki's push API: what is good comes out as it was, what is bad is refused as Loki does."""

import gzip
import json
import random
import zlib
from typing import Any

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.relay.listen.push_decode import PushRefused, decode_push
from appliance.relay.listen.push_proto import MalformedPushRequest, split_push
from tests.loki_double.proto import LabelPair, PushRequest

LIMIT = 2**20
PROTO = "application/x-protobuf"
JSON = "application/json"
NOW = 1_795_000_000_123_456_789

Lines = list[tuple[int, bytes, dict[str, str]]]


def protobuf(streams: list[tuple[str, Lines]]) -> bytes:
    push = PushRequest()
    for labels, entries in streams:
        stream = push.streams.add(labels=labels.encode("utf-8", "surrogatepass"))
        for stamp, line, metadata in entries:
            entry = stream.entries.add(line=line)
            entry.timestamp.seconds, entry.timestamp.nanos = divmod(stamp, 10**9)
            for name, value in metadata.items():
                entry.metadata.append(LabelPair(name=name.encode(), value=value.encode()).SerializeToString())
    return bytes(push.SerializeToString())


def snappy(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


def read_back(entries: bytes) -> Lines:
    """Entries decoded by Google's library, from the bytes that would go to the spool."""
    size = len(entries)
    prefix = bytearray()
    while size >= 0x80:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    push = PushRequest.FromString(b"\x0a" + bytes(prefix) + entries)
    found: Lines = []
    for entry in push.streams[0].entries:
        pairs = [LabelPair.FromString(pair) for pair in entry.metadata]
        metadata = {pair.name.decode(): pair.value.decode() for pair in pairs}
        found.append((entry.timestamp.seconds * 10**9 + entry.timestamp.nanos, entry.line, metadata))
    return found


LINES: Lines = [(NOW, b"one", {}), (NOW + 1, b"\xff\xfe not UTF-8", {"pid": "7", "k": "é"}), (NOW - 5, b"", {})]


def refused(body: bytes, content_type: str = PROTO, encoding: str = "", limit: int = LIMIT) -> PushRefused:
    with pytest.raises(PushRefused) as raised:
        decode_push(body, content_type, encoding, limit)
    return raised.value


# ---- what is good ------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["", "snappy", "gzip", "deflate", "zlib"])
def test_protobuf_comes_out_byte_for_byte_whatever_the_encoding(encoding: str) -> None:
    body = snappy(protobuf([('{job="b", a="1"}', LINES)]))
    if encoding == "gzip":
        body = gzip.compress(body)
    elif encoding == "deflate":
        body = zlib.compress(body)[2:-4]
    elif encoding == "zlib":
        body, encoding = zlib.compress(body), "deflate"
    (stream,) = decode_push(body, PROTO, encoding, LIMIT)
    assert stream.labels == '{a="1", job="b"}'
    assert read_back(stream.entries) == LINES
    assert (stream.count, stream.oldest_ns, stream.newest_ns) == (3, NOW - 5, NOW + 1)


def test_json_with_metadata_says_the_same_as_protobuf() -> None:
    lines: Lines = [(NOW, "one é\n".encode(), {}), (NOW + 1, b"two", {"pid": "7", "k": "é"})]
    push = {
        "streams": [
            {
                "stream": {"job": 'q"', "a": "1"},
                "values": [
                    [str(stamp), line.decode(), *([metadata] if metadata else [])] for stamp, line, metadata in lines
                ],
            }
        ]
    }
    (stream,) = decode_push(json.dumps(push).encode(), "application/json; charset=utf-8", "", LIMIT)
    assert stream.labels == '{a="1", job="q\\""}'
    assert read_back(stream.entries) == lines
    assert (stream.count, stream.oldest_ns, stream.newest_ns) == (2, NOW, NOW + 1)


def test_gzip_json_in_several_members_is_read_whole() -> None:
    body = json.dumps({"streams": [{"stream": {"a": "b"}, "values": [[str(NOW), "x" * 1000]]}]}).encode()
    (stream,) = decode_push(gzip.compress(body[:100]) + gzip.compress(body[100:]), JSON, "gzip", LIMIT)
    assert read_back(stream.entries) == [(NOW, b"x" * 1000, {})]


def test_invalid_utf8_in_a_json_line_is_stored_as_loki_stores_it() -> None:
    body = b'{"streams":[{"stream":{"a":"b"},"values":[["%d","bad \xff\xfe end"]]}]}' % NOW
    (stream,) = decode_push(body, JSON, "", LIMIT)
    assert read_back(stream.entries)[0][1].decode() == "bad �� end"


def test_no_labels_no_entries_and_null_values_are_no_errors() -> None:
    assert decode_push(snappy(protobuf([("{}", LINES)])), PROTO, "", LIMIT)[0].labels == "{}"
    assert decode_push(snappy(protobuf([("", LINES)])), PROTO, "", LIMIT)[0].labels == "{}"
    assert decode_push(snappy(protobuf([('{a="b"}', [])])), PROTO, "", LIMIT) == []
    body = b'{"streams":[{"stream":{"a":"b"},"values":null},{"stream":{},"values":[null,["1","x"]]}],"more":1}'
    (stream,) = decode_push(body, JSON, "", LIMIT)
    assert (stream.labels, stream.count) == ("{}", 1)


def test_time_stamps_that_nanoseconds_cannot_say_become_the_nearest_that_they_can() -> None:
    push = PushRequest()
    stream = push.streams.add(labels=b'{a="b"}')
    for seconds, nanos in ((1, 5), (-62135596800, 0), (2**62, 0), (3, 2_000_000_000), (7, -1)):
        entry = stream.entries.add(line=f"{seconds}".encode())
        entry.timestamp.seconds, entry.timestamp.nanos = seconds, nanos
        entry.metadata.append(LabelPair(name=b"k", value=b"v").SerializeToString())
    (found,) = decode_push(snappy(push.SerializeToString()), PROTO, "", LIMIT)
    assert [(stamp, line) for stamp, line, _ in read_back(found.entries)] == [
        (1_000_000_005, b"1"),
        (0, b"-62135596800"),
        (9223372035_000_000_000, str(2**62).encode()),
        (5_000_000_000, b"3"),
        (6_999_999_999, b"7"),
    ]
    assert all(metadata == {"k": "v"} for _, _, metadata in read_back(found.entries))
    assert (found.count, found.oldest_ns, found.newest_ns) == (5, 0, 9223372035_000_000_000)


def test_fields_in_any_order_and_unknown_ones_are_understood() -> None:
    push = protobuf([('{a="b"}', LINES)])
    content = push[2:] if push[1] < 0x80 else push[3:]
    labels, entries = content[:9], content[9:]
    unknown = b"\x18\x05" + b"\x62\x02hi"  # hash = 5, a field 12 nobody knows
    swapped = entries + unknown + labels
    body = b"\x0a" + bytes([len(swapped)]) + swapped if len(swapped) < 128 else None
    assert body is not None
    ((found_labels, found, count, _, _),) = split_push(body, 100)
    assert (found_labels, count) == (b'{a="b"}', 3)
    assert read_back(found) == LINES


# ---- what is refused, in Loki's words ------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "status", "text"),
    [
        (snappy(b""), PROTO, "", 422, "error at least one valid stream is required for ingestion"),
        (b'{"streams":[]}', JSON, "", 422, "error at least one valid stream is required for ingestion"),
        (b"{}", JSON, "", 422, "error at least one valid stream is required for ingestion"),
        (b"not snappy at all", PROTO, "", 400, "snappy: corrupt input"),
        (b"", PROTO, "", 400, "snappy: corrupt input"),
        (b"hello", "text/plain", "", 400, "snappy: corrupt input"),
        (b"\xff" * 10, PROTO, "", 400, "snappy: corrupt input"),
        (snappy(b"\x0a\x05ab"), PROTO, "", 400, "proto: "),
        (b"{}", "", "", 400, "mime: no media type"),
        (b"{}", JSON, "zstd", 400, 'Content-Encoding "zstd" not supported'),
        (b"{}", JSON, "gzip", 400, "gzip: invalid header"),
        (gzip.compress(b"{}", mtime=0)[:-5], JSON, "gzip", 400, "unexpected EOF"),
        (b"", JSON, "gzip", 400, "EOF"),
        (b"\x01\x02\x03\x04\x05", JSON, "deflate", 400, "flate: corrupt input"),
        (b"[1]", JSON, "", 400, "loghttp.PushRequest.Streams: "),
        (b"nonsense", JSON, "", 400, "loghttp.PushRequest.Streams: "),
        (b'{"streams":[{"stream":{"a":1},"values":[]}]}', JSON, "", 400, "loghttp.PushRequest.Streams: "),
        (b'{"streams":[{"stream":{"a":"b"},"values":[[1,"x"]]}]}', JSON, "", 400, "loghttp.PushRequest.Streams: "),
        (b'{"streams":[{"stream":{"a":"b"},"values":[["1e9","x"]]}]}', JSON, "", 400, "loghttp.PushRequest.Streams: "),
        (b'{"streams":[{"stream":{"a":"b"},"values":[["1",5]]}]}', JSON, "", 400, "loghttp.PushRequest.Streams: "),
        (b'{"streams":[{"stream":{},"values":[["1","x","y"]]}]}', JSON, "", 400, "loghttp.PushRequest.Streams: "),
        (b'{"streams":[{"stream":{"a":"b"}}]}', JSON, "", 400, "stream 0 has neither values nor entries"),
        (b'{"streams":[{"labels":"{a=}","entries":[{"ts":"1","line":"x"}]}]}', JSON, "", 400, "couldn't parse labels"),
        (b'{"streams":[{"labels":"{a=\\"b\\"}","entries":[{"ts":"yesterday","line":"x"}]}]}', JSON, "", 400,
         "loghttp.PushRequest.Streams: "),
        (b'{"streams":[{"stream":{"a":"b"},"values":[["9223372036854775808","x"]]}]}', JSON, "", 400, "overflowed"),
        (b'{"streams":' + b"[" * 50000, JSON, "", 400, "loghttp.PushRequest.Streams: "),
        (b'{"streams":[{"stream":{"a-b":"c"},"values":[["1","x"]]}]}', JSON, "", 400,
         "couldn't parse labels: 1:3: parse error: unexpected character inside braces: '-'"),
        (snappy(protobuf([("{bad-name=\"x\"}", LINES)])), PROTO, "", 400,
         "couldn't parse labels: 1:5: parse error: unexpected character inside braces: '-'"),
        (snappy(protobuf([("{a=\"\ud800\"}", LINES)])), PROTO, "", 400, "couldn't parse labels"),
    ],
)  # fmt: skip
def test_bad_pushes_get_lokis_status_and_words(
    body: bytes, content_type: str, encoding: str, status: int, text: str
) -> None:
    error = refused(body, content_type, encoding)
    assert (error.status, text in error.text) == (status, True), error.text


def test_a_body_over_the_limit_is_413_before_it_is_unpacked() -> None:
    zeros = b"\0" * 50_000_000
    assert refused(snappy(zeros)).status == 413
    assert refused(b"\xff\xff\xff\xff\x0f" + b"\0" * 20).status == 413  # announces 4 GiB
    assert refused(gzip.compress(zeros), JSON, "gzip").status == 413
    assert refused(gzip.compress(b"\0" * 400_000) * 3, JSON, "gzip").status == 413
    assert refused(zlib.compress(zeros), JSON, "deflate").status == 413


def test_a_body_that_would_fill_the_memory_once_unpacked_is_413() -> None:
    large = 16 * 2**20
    assert refused(snappy(b"\x0a\x00" * (large // 2)), limit=large).status == 413
    for element in (b"{},", b'{"values":[]},', b'{"values":[' + b'[""],' * 1000 + b'["1"]]},'):
        body = b'{"streams":[' + element * (large // len(element) - 2) + b"{}]}"
        assert refused(body, JSON, limit=large).status == 413
    assert refused(b'{"streams":[' + b"{}," * 30_000 + b"{}]}", JSON).status == 413


def test_a_gzip_of_very_many_empty_members_is_refused_quickly() -> None:
    assert refused(gzip.compress(b"") * 50_000, JSON, "gzip").status == 400


# ---- whatever comes ------------------------------------------------------------------------------

ENTRY = st.tuples(
    st.integers(0, 9 * 10**18),
    st.binary(max_size=30),
    st.dictionaries(
        st.text(max_size=5).filter(str.isprintable), st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    ),
)


@given(st.lists(st.lists(ENTRY, max_size=4), min_size=1, max_size=4))
def test_any_push_of_googles_library_comes_through_unchanged(pushed: list[Lines]) -> None:
    streams = [(f'{{s="{number}"}}', lines) for number, lines in enumerate(pushed)]
    found = decode_push(snappy(protobuf(streams)), PROTO, "", LIMIT)
    assert [(stream.labels, read_back(stream.entries)) for stream in found] == [
        (labels, lines) for labels, lines in streams if lines
    ]
    for stream in found:
        stamps = [stamp for stamp, _, _ in read_back(stream.entries)]
        assert (stream.count, stream.oldest_ns, stream.newest_ns) == (len(stamps), min(stamps), max(stamps))


@given(
    st.binary(max_size=60),
    st.sampled_from([PROTO, JSON, "", "text/plain", ";"]),
    st.sampled_from(["", "snappy", "gzip", "deflate", "br"]),
)
def test_any_bytes_are_decoded_or_refused_and_nothing_else(body: bytes, content_type: str, encoding: str) -> None:
    try:
        decode_push(body, content_type, encoding, 1000)
    except PushRefused as error:
        assert error.status in (400, 413, 422)


def check_split(body: bytes) -> None:
    """Either refused, or what comes out is what Google's library understands too."""
    try:
        streams = split_push(body, 100)
    except MalformedPushRequest:
        return
    for _, entries, count, oldest, newest in streams:
        assert len(read_back_any(entries)) == count
        assert 0 <= oldest <= newest < 2**63


def read_back_any(entries: bytes) -> list[Any]:
    prefix, size = bytearray(), len(entries)
    while size >= 0x80:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return list(PushRequest.FromString(b"\x0a" + bytes(prefix) + entries).streams[0].entries)


@settings(max_examples=300)
@given(st.binary(max_size=80))
def test_any_protobuf_is_split_soundly_or_refused(body: bytes) -> None:
    check_split(body)


def test_a_push_damaged_anywhere_is_split_soundly_or_refused() -> None:
    whole = protobuf([('{a="b"}', LINES), ('{c="d"}', LINES * 3)])
    for end in range(len(whole)):
        check_split(whole[:end])
    chance = random.Random(7)
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        check_split(bytes(damaged))
