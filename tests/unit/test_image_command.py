"""`appliance image xva` and `verify` as an operator runs them: on their own, without root."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.cli.image import memory_size
from appliance.errors import UsageError
from tests.unit.xva_samples import MiB, read_back, sparse_disk

ROOT = Path(__file__).parents[2]


def run(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "appliance.cli.main", "image", *words]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *command]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(cwd)}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that an unprivileged user may write, with a disk in it."""
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    work.chmod(0o777)
    sparse_disk(work / "disk.raw", 6 * MiB, [(0, b"first sector"), (3 * MiB, b"a fourth MiB")])
    return work


def test_a_disk_becomes_an_xva_that_verify_accepts_and_gives_back(place: Path) -> None:
    made = run("xva", "disk.raw", "-o", "out.xva", "--cpus", "4", "--memory", "3GiB", "--name", "logs", cwd=place)
    assert (made.returncode, made.stderr) == (0, "")
    assert "MB/s of disk read" in made.stdout
    checked = run("verify", "out.xva", "--disk", "back.raw", cwd=place)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "good: machine 'logs', Ref:003 of 6 MiB" in checked.stdout
    assert (place / "back.raw").read_bytes() == (place / "disk.raw").read_bytes()
    assert read_back((place / "out.xva").read_bytes()) == (place / "disk.raw").read_bytes()


def test_a_damaged_xva_is_refused_with_every_reason_and_exit_code_1(place: Path) -> None:
    run("xva", "disk.raw", cwd=place)
    damaged = bytearray((place / "disk.xva").read_bytes())
    damaged[damaged.index(b"first sector")] ^= 1
    damaged[damaged.index(b"a fourth MiB")] ^= 1
    (place / "disk.xva").write_bytes(damaged)
    checked = run("verify", "disk.xva", "--disk", "back.raw", cwd=place)
    assert checked.returncode == 1
    assert "refused: Ref:003 chunk 0: the SHA-1 checksum does not match" in checked.stdout
    assert "refused: Ref:003 chunk 3: the SHA-1 checksum does not match" in checked.stdout
    assert checked.stderr.startswith("error: disk.xva would be refused, for 2 reasons\nhint: ")
    assert not (place / "back.raw").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["xva", "absent.raw"], "absent.raw cannot be read: No such file"),
        (["xva", "disk.raw", "-o", "disk.raw"], "would overwrite the disk"),
        (["xva", "disk.raw", "--firmware", "coreboot"], "is not a firmware"),
        (["xva", "disk.raw", "--compress", "xz"], "not a compression of an XVA"),
        (["xva", "disk.raw", "--memory", "lots"], "is not a size"),
        (["xva", "disk.raw", "--cpus", "99"], "processors must be from 1 to 64"),
        (["verify", "absent.xva"], "absent.xva cannot be read"),
        (["verify", "disk.raw", "--disk", "disk.raw"], "disk.raw cannot be made: File exists"),
    ],
)
def test_what_is_asked_for_wrongly_is_said_in_one_sentence_with_exit_code_2(
    words: list[str], said: str, place: Path
) -> None:
    done = run(*words, cwd=place)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 2


def test_help_shows_an_example(place: Path) -> None:
    for command in ("xva", "verify"):
        assert f"Example: appliance image {command}" in " ".join(run(command, "--help", cwd=place).stdout.split())


@pytest.mark.parametrize(
    ("text", "size"), [("2GiB", 2 << 30), ("2G", 2 << 30), ("1536MiB", 1536 << 20), ("2 gb", 2 << 30), ("1024", 1024)]
)
def test_sizes_are_understood(text: str, size: int) -> None:
    assert memory_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "1.5G", "2Gx"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        memory_size(text)
