"""What pushes are made of: joined blocks and looked-into segments."""

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config import model
from appliance.relay.loki.push_format import (
    Entry,
    MalformedPush,
    encode_stream,
    list_parts,
    scan,
)
from appliance.relay.send.request import Opener, compress, join_blocks

SECOND = 10**9
LIMITS = model.LokiLimits()
calmly = settings(deadline=None, max_examples=60)


@calmly
@given(st.lists(st.binary(max_size=5000), min_size=1, max_size=5), st.integers(1, 3))
def test_joined_snappy_blocks_are_the_block_of_the_joined_bytes(bodies: list[bytes], times: int) -> None:
    bodies = [body * times for body in bodies]
    joined = join_blocks([compress(body) for body in bodies])
    assert bytes(cramjam.snappy.decompress_raw(joined)) == b"".join(bodies)


@calmly
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 300)), min_size=2, max_size=6))
def test_segments_looked_into_in_the_same_memory_are_each_its_own(shapes: list[tuple[int, int]]) -> None:
    opener = Opener()
    for streams, size in shapes:
        body = b"".join(
            encode_stream(f'{{n="{number}"}}', [Entry(number, b"x" * size), Entry(7, b"")]) for number in range(streams)
        )
        assert list_parts(opener.streams(compress(body))) == scan(body)


def test_a_segment_that_cannot_be_read_is_said_to_be_so_and_the_next_is_read() -> None:
    opener = Opener()
    with pytest.raises(MalformedPush):
        opener.streams(compress(b"\x0a\x7f"))
    with pytest.raises(cramjam.DecompressionError):
        opener.streams(b"\x05\xff\xff")
    body = encode_stream('{a="1"}', [Entry(1, b"text")])
    assert list_parts(opener.streams(compress(body))) == scan(body)
