"""Hand-over files: what a writer appends, a reader reads, whole and once, even if either stops in between."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import ApplianceError
from appliance.relay.handover.files import file_name, sequences
from appliance.relay.handover.position import Position
from appliance.relay.handover.reader import HandoverReader
from appliance.relay.handover.writer import HandoverWriter
from tests.harness.small_disk import fill, small_disk

MIB = 2**20


def lines(first: int, count: int) -> bytes:
    return b"".join(b"1795770601.%06d 10.0.0.9 udp <13>n=%d\n" % (n, n) for n in range(first, first + count))


def read_all(reader: HandoverReader, *, limit: int = 4096) -> bytes:
    """All whole lines there are, read and consumed as the relay does."""
    buffer, taken = bytearray(limit), b""
    while count := reader.read(buffer, limit):
        whole = bytes(buffer[:count]).rfind(b"\n") + 1
        taken += buffer[:whole]
        reader.advance(whole)
    return taken


def test_what_is_appended_is_read_in_order_and_once_over_many_files(tmp_path: Path) -> None:
    writer = HandoverWriter(tmp_path, max_file=10_000, max_backlog=MIB)
    reader = HandoverReader(tmp_path)
    taken = b""
    for first in range(0, 3000, 30):
        assert writer.append(lines(first, 30))
        if first % 70 == 0:
            taken += read_all(reader, limit=1000)
    taken += read_all(reader)
    assert taken == lines(0, 3000)
    assert len(sequences(tmp_path)) > 10
    assert all((tmp_path / file_name(number)).stat().st_size <= 10_000 for number in sequences(tmp_path))


def test_a_reader_goes_on_at_its_position(tmp_path: Path) -> None:
    writer = HandoverWriter(tmp_path, max_file=5_000, max_backlog=MIB)
    for first in range(0, 400, 20):
        writer.append(lines(first, 20))
    reader, taken = HandoverReader(tmp_path), b""
    for _ in range(40):
        buffer = bytearray(700)
        whole = bytes(buffer[: reader.read(buffer, 700)]).rfind(b"\n") + 1
        taken += buffer[:whole]
        reader.advance(whole)
        reader = HandoverReader(tmp_path, reader.position)
    taken += read_all(reader)
    assert taken == lines(0, 400)


def test_a_line_without_its_end_waits_for_it(tmp_path: Path) -> None:
    (tmp_path / file_name(7)).write_bytes(lines(0, 2)[:-5])
    reader = HandoverReader(tmp_path)
    assert read_all(reader) == lines(0, 1)
    assert read_all(reader) == b""
    with (tmp_path / file_name(7)).open("ab") as file:
        file.write(lines(0, 2)[-5:])
    assert read_all(reader) == lines(1, 1)
    assert reader.torn == 0


def test_a_record_whose_writer_was_killed_in_it_ends_with_its_file(tmp_path: Path) -> None:
    (tmp_path / file_name(7)).write_bytes(lines(0, 2)[:-5])
    reader = HandoverReader(tmp_path)
    assert read_all(reader) == lines(0, 1)
    writer = HandoverWriter(tmp_path, max_backlog=MIB)
    assert writer.append(lines(5, 3))
    assert read_all(reader) == lines(5, 3)
    assert reader.torn == 1


def test_prepared_files_end_none_until_the_writer_goes_over_to_them(tmp_path: Path) -> None:
    (tmp_path / file_name(7)).write_bytes(lines(0, 1))
    (tmp_path / "current").hardlink_to(tmp_path / file_name(7))
    (tmp_path / file_name(8)).touch()
    reader = HandoverReader(tmp_path)
    assert read_all(reader) == lines(0, 1)
    with (tmp_path / file_name(7)).open("ab") as file:
        file.write(lines(1, 1))
    assert read_all(reader) == lines(1, 1)
    assert reader.position.sequence == 7
    # Gone over to, though nothing is in it: what is done with can be deleted.
    (tmp_path / "current").unlink()
    (tmp_path / "current").hardlink_to(tmp_path / file_name(8))
    assert read_all(reader) == b""
    assert reader.position == Position(8, 0)


def test_files_that_were_lost_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / file_name(7)).write_bytes(lines(0, 1))
    reader = HandoverReader(tmp_path)
    assert read_all(reader) == lines(0, 1)
    (tmp_path / file_name(10)).write_bytes(lines(2, 1))
    assert read_all(reader) == lines(2, 1)


def test_files_before_a_position_are_deleted_and_no_others(tmp_path: Path) -> None:
    for number in (3, 4, 5):
        (tmp_path / file_name(number)).write_bytes(lines(number, 1))
    reader = HandoverReader(tmp_path)
    reader.delete_before(Position(4, 99))
    assert sequences(tmp_path) == [4, 5]
    reader = HandoverReader(tmp_path, Position(3, 5))
    assert read_all(reader) == lines(4, 2)


def test_the_backlog_is_what_is_not_read_and_its_age_that_of_its_first_record(tmp_path: Path) -> None:
    reader = HandoverReader(tmp_path / "absent")
    assert (reader.backlog(), reader.oldest()) == (0, None)
    writer = HandoverWriter(tmp_path, max_file=400, max_backlog=MIB)
    for number in range(20):
        writer.append(lines(number, 1))
    reader = HandoverReader(tmp_path)
    assert reader.backlog() == len(lines(0, 20))
    buffer = bytearray(300)
    reader.read(buffer, 300)
    reader.advance(len(lines(0, 5)))
    assert reader.backlog() == len(lines(5, 15))
    assert reader.oldest() == pytest.approx(1795770601.000005)
    read_all(reader)
    assert (reader.backlog(), reader.oldest()) == (0, None)


def test_a_backlog_at_its_bound_takes_no_record_until_the_reader_has_made_room(tmp_path: Path) -> None:
    writer = HandoverWriter(tmp_path, max_file=MIB, max_backlog=40_000)
    taken = 0
    while writer.append(lines(taken, 1)):
        taken += 1
    assert "wait in" in writer.full_reason
    assert 30_000 <= writer.backlog() <= 40_000
    reader = HandoverReader(tmp_path)
    got = read_all(reader)
    reader.delete_before(reader.position)
    while not got.endswith(b"n=2999\n"):
        if writer.append(lines(taken, 1)):
            taken += taken < 2999
            if taken == 2999:
                assert writer.append(lines(2999, 1))
        got += read_all(reader)
        reader.delete_before(reader.position)
    assert got == lines(0, 3000)
    assert writer.full_reason == ""


def test_an_append_longer_than_a_file_has_one_of_its_own(tmp_path: Path) -> None:
    writer = HandoverWriter(tmp_path, max_file=1000, max_backlog=16_000)
    for first in (0, 10, 200):
        assert writer.append(lines(first, 2))
        assert writer.append(lines(first + 2, 100))
        reader = HandoverReader(tmp_path)
        assert read_all(reader, limit=8192).endswith(lines(first, 102))
        reader.delete_before(reader.position)


def test_a_directory_has_one_writer(tmp_path: Path) -> None:
    writer = HandoverWriter(tmp_path, max_backlog=MIB)
    with pytest.raises(ApplianceError, match="another writer"):
        HandoverWriter(tmp_path, max_backlog=MIB)
    writer.close()
    HandoverWriter(tmp_path, max_backlog=MIB).close()


def test_a_new_writer_never_uses_a_number_again_even_if_all_files_are_lost(tmp_path: Path) -> None:
    writer = HandoverWriter(tmp_path, max_backlog=MIB)
    writer.append(lines(0, 1))
    [first] = sequences(tmp_path)
    writer.close()
    writer = HandoverWriter(tmp_path, max_backlog=MIB)
    writer.append(lines(1, 1))
    assert sequences(tmp_path)[-1] > first
    assert first > 1_700_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, size=12 * MIB) as path:
        yield path


def test_a_full_disk_takes_what_blocks_were_reserved_for_and_loses_nothing(disk: Path) -> None:
    writer = HandoverWriter(disk / "w", max_file=2 * MIB, max_backlog=64 * MIB)
    assert writer.append(lines(0, 10))
    filler = fill(disk)
    taken = 10
    while writer.append(lines(taken, 10)):
        taken += 10
    assert taken > 40_000  # the whole file
    assert "No space left" in writer.full_reason
    assert not writer.append(lines(taken, 10))
    filler.unlink()
    assert writer.append(lines(taken, 10))
    assert read_all(HandoverReader(disk / "w"), limit=65536) == lines(0, taken + 10)


def test_a_writer_on_a_full_disk_goes_on_with_the_blocks_that_the_reader_frees(disk: Path) -> None:
    """All that is there was read, and only the writer's going over to another file lets it be deleted."""
    writer = HandoverWriter(disk / "w", max_file=2 * MIB, max_backlog=64 * MIB)
    assert writer.append(lines(0, 10))
    fill(disk)
    reader, taken, got = HandoverReader(disk / "w"), 10, b""
    while len(got) < 8 * MIB:
        if writer.append(lines(taken, 1000)):
            taken += 1000
        got += read_all(reader, limit=65536)
        reader.delete_before(reader.position)
    assert got == lines(0, taken)


def test_what_a_disk_took_in_part_is_finished_first(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that reserves nothing: the disk is full in the middle of an append."""
    monkeypatch.setattr("appliance.relay.handover.writer.reserve", lambda *_: None)
    writer = HandoverWriter(disk / "w", max_file=64 * MIB, max_backlog=512 * MIB)
    assert writer.append(lines(0, 10))
    filler = fill(disk)
    taken = 10
    while writer.append(lines(taken, 1000)):
        taken += 1000
    assert not writer.append(lines(taken, 1000))
    before = read_all(HandoverReader(disk / "w"), limit=65536)
    assert lines(0, taken).startswith(before)
    filler.unlink()
    assert writer.append(lines(taken, 1000))
    assert read_all(HandoverReader(disk / "w"), limit=65536) == lines(0, taken + 1000)
