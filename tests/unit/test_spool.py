"""The spool: what was written is there after any crash, its bounds hold, and bad files block nothing."""

import os
import resource
import shutil
from pathlib import Path

import cramjam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.config import model
from appliance.config.units import Duration, Size
from appliance.errors import ApplianceError
from appliance.relay.loki import push_format
from appliance.relay.spool.spool import NewSegment, Segment, SegmentUnreadable, Spool, SpoolFull, parse_name

OLD = Path(__file__).parent / "data" / "spool-version-1"


def batch(text: str = "hello", *, tenant: str = "", pad: int = 0) -> NewSegment:
    body = push_format.encode_stream('{job="t"}', [push_format.Entry(5, text.encode() + os.urandom(pad), ())])
    return NewSegment(bytes(cramjam.snappy.compress_raw(body)), None, 1, len(body), 5, 5, tenant)


def spool(path: Path, **changes: object) -> Spool:
    settings = {"path": str(path), "min_free": Size(0), "reserve": Size(0), **changes}
    return Spool(model.Spool(**settings))  # type: ignore[arg-type]


def contents(one: Spool) -> list[bytes]:
    return [one.load(segment).compressed for segment in one.segments()]


def test_what_was_written_is_there_after_a_restart_in_order(tmp_path: Path) -> None:
    batches = [batch(str(number), tenant="a-b" if number % 2 else "") for number in range(5)]
    first = spool(tmp_path)
    first.append(batches[:3])
    first.append(batches[3:])
    again = spool(tmp_path)
    assert contents(again) == [one.compressed for one in batches]
    assert [segment.tenant for segment in again.segments()] == ["", "a-b", "", "a-b", ""]
    assert again.segments() == first.segments()
    assert again.stats.bytes == sum(len(one.compressed) for one in batches)


def test_sequences_go_on_increasing_after_a_restart_with_an_empty_spool(tmp_path: Path) -> None:
    first = spool(tmp_path)
    first.append([batch()])
    [segment] = first.segments()
    first.remove(segment)
    again = spool(tmp_path)
    again.append([batch()])
    assert again.segments()[0].sequence > segment.sequence


def test_the_live_path_does_not_read_the_disk_again(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.append([batch("live")])
    [segment] = one.segments()
    (tmp_path / segment.name).unlink()
    assert one.load(segment).compressed == batch("live").compressed


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 2**60),
    st.integers(0, 2**50),
    st.integers(-1, 2**62),
    st.integers(0, 2**62),
    st.integers(0, 2**31),
    st.integers(0, 2**40),
    st.integers(0, 2**32 - 1),
    st.text("abcZ09!-_.*'()", max_size=150),
)
def test_a_name_says_everything_and_fits_a_file_system(
    sequence: int, created: int, oldest: int, newest: int, entries: int, raw: int, crc: int, tenant: str
) -> None:
    segment = Segment(sequence, created, max(oldest, 0), newest, entries, raw, 77, crc, tenant)
    assert parse_name(segment.name, 77) == segment
    assert len(segment.name.encode()) <= 255


def test_a_segment_cut_at_any_byte_is_set_aside_and_the_others_are_read(tmp_path: Path) -> None:
    origin = spool(tmp_path / "origin")
    origin.append([batch("first"), batch("damaged"), batch("last")])
    damaged = origin.segments()[1]
    whole = (origin.path / damaged.name).read_bytes()
    for size in range(len(whole)):
        copy = tmp_path / f"cut-{size}"
        shutil.copytree(origin.path, copy)
        (copy / damaged.name).write_bytes(whole[:size])
        one = spool(copy)
        first, cut, last = one.segments()
        with pytest.raises(SegmentUnreadable):
            one.load(cut)
        one.set_aside(cut, "cut")
        assert contents(one) == [batch("first").compressed, batch("last").compressed]
        assert one.stats.set_aside == 1
        assert (copy / "set-aside" / damaged.name).read_bytes() == whole[:size]


def test_any_flipped_bit_is_noticed(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.append([batch("precious")])
    [segment] = one.segments()
    whole = bytearray((tmp_path / segment.name).read_bytes())
    for position in range(len(whole) * 8):
        whole[position // 8] ^= 1 << position % 8
        (tmp_path / segment.name).write_bytes(whole)
        with pytest.raises(SegmentUnreadable, match="checksum"):
            spool(tmp_path).load(segment)
        whole[position // 8] ^= 1 << position % 8


def test_a_write_that_was_interrupted_leaves_nothing(tmp_path: Path) -> None:
    spool(tmp_path)
    (tmp_path / "0000000000000001.writing").write_bytes(b"half")
    assert spool(tmp_path).segments() == []
    assert not list(tmp_path.glob("*.writing"))


@pytest.mark.parametrize("name", ["nonsense.push", "1-xyz.push", "9-0001.push", "1-1-2-3-4-5-6-zz-.push"])
def test_files_that_are_no_segment_are_set_aside_and_block_nothing(tmp_path: Path, name: str) -> None:
    spool(tmp_path).append([batch("good")])
    (tmp_path / name).write_bytes(b"?")
    one = spool(tmp_path)
    assert contents(one) == [batch("good").compressed]
    assert (tmp_path / "set-aside" / name).exists()


def test_a_read_that_fails_for_want_of_file_descriptors_gives_nothing_up(tmp_path: Path) -> None:
    spool(tmp_path).append([batch("precious")])
    one = spool(tmp_path)
    [segment] = one.segments()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            one.load(segment)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert one.load(segment).compressed == batch("precious").compressed


def test_what_cannot_be_moved_aside_does_not_keep_the_relay_from_starting(tmp_path: Path) -> None:
    spool(tmp_path).append([batch("good")])
    (tmp_path / "nonsense.push").write_bytes(b"?")
    (tmp_path / "set-aside" / "nonsense.push").mkdir()
    assert contents(spool(tmp_path)) == [batch("good").compressed]


def test_what_is_set_aside_is_bounded(tmp_path: Path) -> None:
    one = spool(tmp_path, max_set_aside=Size(5000))
    one.append([batch(pad=1000) for _ in range(20)])
    for segment in one.segments():
        one.set_aside(segment, "damaged")
    kept = list((tmp_path / "set-aside").iterdir())
    assert kept
    assert sum(path.stat().st_size for path in kept) <= 5000


def test_a_spool_of_the_first_version_is_read(tmp_path: Path) -> None:
    """The files in data/ were written by version 1.0.0; they must be readable forever."""
    shutil.copytree(OLD, tmp_path / "old")
    one = spool(tmp_path / "old")
    lines = []
    for segment in one.segments():
        body = bytes(cramjam.snappy.decompress_raw(one.load(segment).compressed))
        lines += [entry.line for part in push_format.scan(body) for entry in push_format.entries_of(body, part)]
    assert lines == [b"written by version 1, first", b"written by version 1, second"]
    assert [segment.tenant for segment in one.segments()] == ["", "team-a"]


def test_when_full_blocks_nothing_is_lost_and_it_says_so(tmp_path: Path) -> None:
    one = spool(tmp_path, max_size=Size(3000))
    batches = [batch(str(number), pad=900) for number in range(5)]
    with pytest.raises(SpoolFull) as full:
        one.append(batches)
    assert one.stats.written == 3
    assert contents(one) == [each.compressed for each in batches[:3]]
    assert one.stats.full and one.stats.blocked_since and "3000" in full.value.message
    one.remove(one.segments()[0])
    one.append([batches[3]])
    assert not one.stats.full
    assert contents(one) == [each.compressed for each in batches[1:4]]


def test_beyond_its_bound_it_takes_the_reserve_and_says_that_it_is_full(tmp_path: Path) -> None:
    one = spool(tmp_path, max_size=Size(3000), reserve=Size(2000))
    batches = [batch(str(number), pad=900) for number in range(8)]
    one.append(batches[:3])
    assert not one.stats.full
    one.append(batches[3:5])
    assert one.stats.full and one.stats.written == 5
    with pytest.raises(SpoolFull):
        one.append(batches[5:])
    assert one.stats.written == 5
    for segment in one.segments()[:3]:
        one.remove(segment)
    assert one.no_room() == "" and not one.stats.full
    one.append(batches[7:])
    assert not one.stats.full
    again = spool(tmp_path, max_size=Size(2000), reserve=Size(2000))
    assert again.no_room(), "a restart beyond the bound finds it full"


def test_the_reserve_takes_at_most_half_of_what_must_stay_free(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(SpoolFull, match="are free"):
        spool(tmp_path / "a", min_free=Size(4 * free), reserve=Size(3 * free)).append([batch()])
    over = spool(tmp_path / "b", min_free=Size(free + 2**30), reserve=Size(free))
    over.append([batch()])
    assert over.stats.full and over.stats.written == 1


def test_drop_oldest_gives_up_the_oldest_and_counts_them(tmp_path: Path) -> None:
    one = spool(tmp_path, max_size=Size(3000), when_full="drop_oldest")
    batches = [batch(str(number), pad=900) for number in range(5)]
    one.append(batches)
    assert contents(one) == [each.compressed for each in batches[2:]]
    assert one.stats.dropped == {"spool_full": 2}
    assert one.stats.dropped_bytes == {"spool_full": sum(each.raw_size for each in batches[:2])}


def test_the_floor_of_free_space_holds(tmp_path: Path) -> None:
    one = spool(tmp_path, min_free=Size(1 << 60))
    with pytest.raises(SpoolFull, match="free"):
        one.append([batch()])
    assert one.segments() == [] and list(tmp_path.glob("*.push")) == []


def test_a_batch_that_is_too_old_is_dropped_and_counted(tmp_path: Path) -> None:
    clock = [1000.0]
    one = Spool(model.Spool(path=str(tmp_path), min_free=Size(0), max_age=Duration(60)), now=lambda: clock[0])
    one.append([batch("old")])
    clock[0] += 61
    one.append([batch("new")])
    assert contents(one) == [batch("new").compressed]
    assert one.stats.dropped == {"spool_age": 1}


def test_a_disk_that_is_full_keeps_nothing_half(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.append([batch("before")])
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(SpoolFull, match="disk is full"):
            one.append([batch(pad=5000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert contents(spool(tmp_path)) == [batch("before").compressed]
    one.append([batch("after")])
    assert len(one.segments()) == 2


def test_a_spool_that_cannot_be_written_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ApplianceError) as error:
        spool(tmp_path / "file" / "spool")
    assert "relay.spool.path" in error.value.hint


def test_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.append([batch()])
    assert (tmp_path / one.segments()[0].name).stat().st_mode & 0o077 == 0


def test_ten_thousand_segments_are_found_in_under_a_second(tmp_path: Path) -> None:
    import time

    one = spool(tmp_path)
    one.append([batch()])
    [first] = one.segments()
    data = (tmp_path / first.name).read_bytes()
    for number in range(1, 10_000):
        values = (first.created_ms, 5, 5, 1, first.raw_size, len(data), first.crc, "")
        (tmp_path / Segment(first.sequence + number, *values).name).write_bytes(data)
    started = time.perf_counter()
    assert len(spool(tmp_path)) == 10_000
    assert time.perf_counter() - started < 1
