"""Removes what a build leaves behind: loop devices, mounts and temporary trees under its work directory.

A build that is killed cannot clean up after itself, so every build begins with this, and ends with it.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import ApplianceError


def mounts_below(directory: Path, mountinfo: str) -> list[Path]:
    """Mount points at or below a directory, innermost first (proc(5), mountinfo)."""
    points = []
    for line in mountinfo.splitlines():
        point = Path(line.split()[4].encode().decode("unicode_escape"))
        if point == directory or directory in point.parents:
            points.append(point)
    return list(reversed(points))


def loop_devices_below(directory: Path, sys_block: Path = Path("/sys/block")) -> list[str]:
    """Loop devices whose file lies, or lay before it was deleted, below a directory."""
    found = []
    for backing in sorted(sys_block.glob("loop*/loop/backing_file")):
        path = Path(backing.read_text().strip().removesuffix(" (deleted)"))
        if directory in path.parents:
            found.append("/dev/" + backing.parent.parent.name)
    return found


def clean(directory: Path) -> None:
    """Unmount, detach and delete everything below `directory`, and the directory."""
    directory = directory.absolute()
    for point in mounts_below(directory, Path("/proc/self/mountinfo").read_text()):
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
    for device in loop_devices_below(directory):
        subprocess.run(["partx", "--delete", device], check=False, capture_output=True)
        subprocess.run(["losetup", "--detach", device], check=False, capture_output=True)
    if mounts_below(directory, Path("/proc/self/mountinfo").read_text()):
        raise ApplianceError(f"something is still mounted below {directory}", hint="unmount it and build again")
    shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def alone(work: Path) -> Iterator[None]:
    """Hold the work directory's lock: two builds in one directory would destroy each other's work."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise ApplianceError(
                f"another build works in {work} (process {lock.read().strip() or 'unknown'})",
                hint="wait for it, or use another --work directory",
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
