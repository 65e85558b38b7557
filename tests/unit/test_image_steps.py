"""Steps of a build: progress, the log, and how a failure is reported."""

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.errors import ApplianceError
from image import leftovers
from image.inside import partition
from image.steps import StepFailed, Steps, telling_lines

ROOT = Path(__file__).resolve().parents[2]


def test_a_failed_program_is_told_by_the_lines_that_matter_and_the_log_has_all(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "log/build.log", io.StringIO())
    script = (
        "for i in $(seq 200); do echo line $i; done; echo 'E: Unable to locate package nosuch'; echo cleanup; exit 3"
    )
    with pytest.raises(StepFailed) as caught:
        steps.run(["sh", "-c", script], what="installing")
    assert caught.value.message == "installing failed (status 3)"
    assert caught.value.lines == ["E: Unable to locate package nosuch"]
    assert str(tmp_path / "log/build.log") in caught.value.hint
    assert "line 200" in (tmp_path / "log/build.log").read_text()


def test_without_a_telling_line_the_last_ones_are_shown() -> None:
    assert telling_lines([f"line {n}" for n in range(20)], limit=2) == ["line 18", "line 19"]


def test_a_missing_program_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StepFailed):
        Steps(tmp_path / "l", io.StringIO()).run(["/nowhere/program"])


def test_steps_are_printed_with_their_times(tmp_path: Path) -> None:
    out = io.StringIO()
    steps = Steps(tmp_path / "l", out)
    with steps.step("first"):
        pass
    assert out.getvalue().startswith("==> 1. first\n")
    assert steps.times[0][0] == "first"


def test_a_program_dies_with_the_build_that_started_it(tmp_path: Path) -> None:
    code = (
        "import io, sys; from pathlib import Path; from image.steps import Steps\n"
        f"Steps(Path({str(tmp_path / 'l')!r}), io.StringIO()).run(['sh', '-c', 'echo $$ > {tmp_path}/pid; sleep 60'])"
    )
    build = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    deadline = time.monotonic() + 20
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = int((tmp_path / "pid").read_text())
    build.kill()
    build.wait()
    while _alive(child):
        assert time.monotonic() < deadline, "the program outlived the build"
        time.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_two_builds_in_one_directory_exclude_each_other(tmp_path: Path) -> None:
    with leftovers.alone(tmp_path):
        with pytest.raises(ApplianceError, match=f"process {os.getpid()}"):
            with leftovers.alone(tmp_path):
                pass
    with leftovers.alone(tmp_path):
        pass


def test_mounts_of_a_build_are_found_innermost_first() -> None:
    mountinfo = (
        "22 1 254:0 / / rw - ext4 /dev/vda rw\n"
        "30 22 0:30 / /b/dib rw - tmpfs tmpfs rw\n"
        "31 30 7:0 / /b/dib/mnt rw - ext4 /dev/loop0p3 rw\n"
        "32 22 0:31 / /b/dib-other rw - tmpfs tmpfs rw\n"
        "33 31 0:32 / /b/dib/mnt/a\\040b rw - proc proc rw\n"
    )
    assert leftovers.mounts_below(Path("/b/dib"), mountinfo) == [
        Path("/b/dib/mnt/a b"), Path("/b/dib/mnt"), Path("/b/dib"),
    ]  # fmt: skip


def test_loop_devices_of_a_build_are_found_even_when_their_file_is_gone(tmp_path: Path) -> None:
    for number, file in ((0, "/b/dib/image0.raw (deleted)"), (1, "/elsewhere/disk"), (2, "/b/dib/x/y.raw")):
        directory = tmp_path / f"loop{number}/loop"
        directory.mkdir(parents=True)
        (directory / "backing_file").write_text(file + "\n")
    assert leftovers.loop_devices_below(Path("/b/dib"), tmp_path) == ["/dev/loop0", "/dev/loop2"]


def test_partitions_are_read_from_a_gpt(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(2**26)
    command = ["sgdisk", "-n", "1:0:+2M", "-c", "1:bios", "-n", "2:0:+16M", "-c", "2:esp", str(disk)]
    subprocess.run(command, check=True, capture_output=True)
    bios, esp = partition(disk, "bios"), partition(disk, "esp")
    assert (bios.start, bios.size) == (2**20, 2 * 2**20)
    assert (esp.start, esp.size) == (3 * 2**20, 16 * 2**20)


def test_a_disk_without_partitions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(4096))
    with pytest.raises(ApplianceError, match="no GPT"):
        partition(tmp_path / "disk", "root")
