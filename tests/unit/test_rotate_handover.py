"""rotate-handover: the next file is prepared before it is needed, and the gate shuts when none can be."""

import os
import subprocess
from pathlib import Path

import pytest

from appliance.relay.handover.files import sequences
from appliance.relay.handover.gate import read_limits, tend
from tests.harness.processes import ROOT
from tests.harness.small_disk import fill, small_disk

ROTATE = ROOT / "image/elements/forwarder/files/usr/lib/appliance/rotate-handover"
MIB = 2**20


class Place:
    """A directory as rsyslog.conf names it: files of 1 MiB, four at most."""

    def __init__(self, directory: Path, *, files: int = 4) -> None:
        self.directory = directory / "handover" / "rsyslog"
        self.gate = directory / "gates" / "rsyslog"
        self.arguments = f"{MIB} {files} {self.gate} {self.directory}"
        self.config = directory / "rsyslog.conf"
        self.config.write_text(
            f'action(type="omfile"\n rotation.sizeLimit="9" rotation.sizeLimitCommand="{ROTATE} {self.arguments}"\n)\n'
            'action(type="omfile" rotation.sizeLimitCommand="/bin/rm /run/stats")\n'
        )

    def run(self, *arguments: str) -> None:
        subprocess.run([str(ROTATE), *arguments], check=True)

    def start(self) -> None:
        self.run("start", str(self.config))

    def stop(self) -> None:
        self.run("stop", str(self.config))

    def rotate(self) -> None:
        self.run(self.arguments)

    def number(self, name: str) -> int:
        """Of the file that this name is a link to."""
        inode = (self.directory / name).stat().st_ino
        [found] = [path for path in self.directory.glob("*.log") if path.stat().st_ino == inode]
        return int(found.stem, 16)


def blocks(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_at_the_start_there_is_a_file_to_append_to_and_one_prepared(place: Place) -> None:
    place.start()
    assert sequences(place.directory) == [place.number("current"), place.number("next")]
    assert not place.gate.exists()
    for name in ("current", "next"):
        assert (place.directory / name).stat().st_size == 0
        assert blocks(place.directory / name) >= MIB
    assert read_limits(place.directory) == (MIB, 4, place.gate)


def test_a_file_that_is_full_is_followed_by_the_one_prepared(place: Place) -> None:
    place.start()
    first, prepared = place.number("current"), place.number("next")
    place.rotate()
    assert (place.number("current"), place.number("next")) == (prepared, prepared + 1)
    assert sequences(place.directory) == [first, prepared, prepared + 1]


def test_each_rsyslogd_begins_a_new_file_whether_the_last_one_holds_something_or_not(place: Place) -> None:
    place.start()
    for held in (b"a record without its e", b""):
        before = place.number("current")
        (place.directory / "current").write_bytes(held)
        place.start()
        assert place.number("current") > before
        for done in sequences(place.directory)[:-2]:
            (place.directory / f"{done:016x}.log").unlink()


def test_numbers_go_by_the_clock_at_a_start_so_that_none_comes_twice(place: Place) -> None:
    place.start()
    lost = place.number("next")
    assert lost > 1_700_000_000
    for path in list(place.directory.iterdir()):
        path.unlink()
    place.start()
    assert place.number("current") > lost - 2


def test_files_that_wait_for_the_relay_shut_the_gate_and_the_relay_opens_it(place: Place) -> None:
    place.start()
    rotations = 0
    while not place.gate.exists():
        place.rotate()
        rotations += 1
    assert place.gate.read_text() == "SUSPENDED\n"
    assert len(sequences(place.directory)) == 4
    assert rotations == 3
    # What rsyslogd has in hand goes into the file that was prepared: it has blocks for it.
    assert blocks(place.directory / "current") >= MIB
    assert tend(place.directory)
    for done in sequences(place.directory)[:2]:
        (place.directory / f"{done:016x}.log").unlink()
    assert not tend(place.directory)
    assert not place.gate.exists()
    assert place.number("next") == place.number("current") + 1
    assert blocks(place.directory / "next") >= MIB


def test_a_full_disk_shuts_the_gate_before_anything_is_lost(tmp_path: Path) -> None:
    with small_disk(tmp_path, size=8 * MIB) as disk:
        place = Place(disk, files=100)
        place.gate = tmp_path / "gates" / "rsyslog"
        place.arguments = f"{MIB} 100 {place.gate} {place.directory}"
        place.config.write_text(f'x rotation.sizeLimitCommand="{ROTATE} {place.arguments}"\n')
        place.start()
        filler = fill(disk)
        place.rotate()
        assert place.gate.exists()
        file = os.open(place.directory / "current", os.O_WRONLY)
        assert os.write(file, b"x" * MIB) == MIB
        os.close(file)
        assert tend(place.directory)
        filler.unlink()
        assert not tend(place.directory)


def test_a_stop_opens_the_gate_until_the_next_start(place: Place) -> None:
    place.start()
    while not place.gate.exists():
        place.rotate()
    place.stop()
    assert not place.gate.exists()
    place.rotate()  # what rsyslogd had in memory is more than a file
    assert not place.gate.exists()
    place.start()
    assert place.gate.exists()


def test_a_relay_sees_to_a_gate_only_where_there_is_one(tmp_path: Path) -> None:
    assert not tend(tmp_path)
    assert not tend(tmp_path / "absent")
