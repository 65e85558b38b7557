"""Reads files out of a raw disk image: no root, no mount, no loop device.

The partition is found by its name in the GPT, its ext4 file system read by debugfs (e2fsprogs).
"""

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ApplianceError

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition; `start` and `size` in bytes."""

    name: str
    start: int
    size: int


def partitions(disk: Path) -> list[Partition]:
    """Return the partitions of a GPT disk, in their order. Raise ApplianceError when there is no GPT."""
    with disk.open("rb") as file:
        file.seek(SECTOR)
        header = file.read(92)
        if header[:8] != b"EFI PART":
            raise ApplianceError(f"{disk} has no GPT", hint="Give the raw disk of a built image.")
        first, count, length = struct.unpack_from("<QII", header, 72)
        file.seek(first * SECTOR)
        table = file.read(count * length)
    found = []
    for position in range(0, len(table), length):
        entry = table[position : position + length]
        if entry[:16] != bytes(16):
            start, end = struct.unpack_from("<QQ", entry, 32)
            name = entry[56:128].decode("utf-16-le").rstrip("\0")
            found.append(Partition(name, start * SECTOR, (end + 1 - start) * SECTOR))
    return found


def partition(disk: Path, name: str) -> Partition:
    """Return the partition of that name. Raise ApplianceError when there is none."""
    for each in partitions(disk):
        if each.name == name:
            return each
    raise ApplianceError(f"{disk} has no partition named {name}")


class Inside:
    """The files of one partition of a raw disk."""

    def __init__(self, disk: Path, name: str = "root") -> None:
        self._target = f"{disk}?offset={partition(disk, name).start}"

    def _debugfs(self, request: str) -> bytes:
        try:
            done = subprocess.run(
                ["debugfs", "-R", request, self._target],
                capture_output=True,
                check=False,
                env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"},
            )
        except FileNotFoundError as error:
            raise ApplianceError("debugfs is missing", hint="Install it: apt-get install e2fsprogs") from error
        complaint = done.stderr.decode(errors="replace").split("\n", 1)[-1].strip()  # after the program's own banner
        if done.returncode != 0 or complaint:
            raise ApplianceError(f"debugfs cannot do {request!r}: {complaint}")
        return done.stdout

    def read(self, path: str) -> bytes:
        """Return the content of a regular file."""
        return self._debugfs(f"cat {path}")

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory."""
        lines = self._debugfs(f"ls -p {directory}").decode(errors="replace").splitlines()
        names = [line.split("/")[5] for line in lines if line.count("/") >= 6]
        return sorted(name for name in names if name not in (".", ".."))
