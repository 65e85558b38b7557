"""Positions in the hand-over files: as durable as what was made of the records before them, and never behind it."""

from pathlib import Path

import pytest

from appliance.config import model
from appliance.relay.handover.position import Position, decode, encode
from appliance.relay.spool.spool import NewSegment, Spool, parse_name


def spool(path: Path) -> Spool:
    return Spool(model.Spool(path=str(path), min_free=model.Size(0)))


def made_of(sequence: int, offset: int) -> NewSegment:
    positions = {"rsyslog": Position(sequence, offset), "receiver": Position(1, 2)}
    return NewSegment(b"x" * 100, None, 3, 200, 1, 2, "", positions)


NOTHING_HANDED_OVER = NewSegment(b"x" * 100, None, 3, 200, 1, 2, "tenant-1")


@pytest.mark.parametrize(
    "positions", [{}, {"rsyslog": Position(0, 0)}, {"a": Position(2**63, 2**40), "receiver": Position(17, 255)}]
)
def test_positions_survive_being_written(positions: dict[str, Position]) -> None:
    assert decode(encode(positions)) == positions


def test_a_segments_name_bears_its_positions_and_old_names_are_still_read(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.append([made_of(0x1A, 0xFF), NOTHING_HANDED_OVER])
    names = sorted(path.name for path in tmp_path.glob("*.push"))
    assert [name[0] for name in names] == ["1", "2"]
    for name in names:
        assert parse_name(name, 100).name == name
    assert parse_name(names[0], 100).tenant == "tenant-1"
    assert spool(tmp_path).positions() == {"rsyslog": Position(0x1A, 0xFF), "receiver": Position(1, 2)}


def test_positions_outlive_the_segments_that_bore_them(tmp_path: Path) -> None:
    one = spool(tmp_path)
    for offset in (10, 20, 30):
        one.append([made_of(5, offset)])
    one.append([NOTHING_HANDED_OVER])
    assert one.positions()["rsyslog"] == Position(5, 30)
    for segment in one.segments():  # in any order, and with a process that ends at any moment
        for again in (one, spool(tmp_path)):
            assert again.positions()["rsyslog"] == Position(5, 30)
        one.remove(segment)
    assert len(spool(tmp_path)) == 0
    assert spool(tmp_path).positions()["rsyslog"] == Position(5, 30)


def test_the_newest_segment_may_go_first(tmp_path: Path) -> None:
    one = spool(tmp_path)
    for offset in (10, 20):
        one.append([made_of(5, offset)])
    one.set_aside(one.segments()[-1], "it cannot be read")
    assert spool(tmp_path).positions()["rsyslog"] == Position(5, 20)
    one.append([made_of(6, 1)])
    assert spool(tmp_path).positions()["rsyslog"] == Position(6, 1)
    for segment in one.segments():
        one.remove(segment, dropped="test")
    assert spool(tmp_path).positions()["rsyslog"] == Position(6, 1)
    assert len(list(tmp_path.glob("*.position"))) == 1


def test_positions_without_a_segment_count_until_a_newer_one_comes(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.append([made_of(5, 10)])
    one.note_positions({"rsyslog": Position(7, 0)})
    assert spool(tmp_path).positions() == {"rsyslog": Position(7, 0)}
    one.remove(one.segments()[0])
    assert spool(tmp_path).positions() == {"rsyslog": Position(7, 0)}
    two = spool(tmp_path)
    two.append([made_of(8, 1)])
    assert spool(tmp_path).positions()["rsyslog"] == Position(8, 1)


def test_a_marker_that_is_none_is_put_aside(tmp_path: Path) -> None:
    spool(tmp_path).append([made_of(5, 10)])
    (tmp_path / "strange.position").touch()
    assert spool(tmp_path).positions()["rsyslog"] == Position(5, 10)
    assert not (tmp_path / "strange.position").exists()
