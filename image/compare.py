"""`python -m image compare A.raw B.raw`: do two builds of the same sources hold the same root file system?

Compares type, mode, owner, link target and content of every path, not the times that the file system
itself makes. Nothing may differ.
"""

import hashlib
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from image.inside import partition


@contextmanager
def root_of(disk: Path) -> Iterator[Path]:
    """The root file system of a raw disk, mounted read-only (needs root)."""
    where = partition(disk, "root")
    with tempfile.TemporaryDirectory(prefix="compare-") as place:
        options = f"ro,noload,loop,offset={where.start},sizelimit={where.size}"
        subprocess.run(["mount", "-o", options, disk, place], check=True)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", place], check=True)


def fingerprint(root: Path) -> dict[str, str]:
    """Return each path of a tree with all that is compared, as one string."""
    found: dict[str, str] = {}
    for directory, names, files in os.walk(root):
        for name in [*names, *files]:
            path = Path(directory, name)
            info = path.lstat()
            shown = f"{info.st_mode:o} {info.st_uid}:{info.st_gid}"
            if stat.S_ISLNK(info.st_mode):
                shown += f" -> {os.readlink(path)}"
            elif stat.S_ISREG(info.st_mode):
                shown += f" {info.st_size} {hashlib.sha256(path.read_bytes()).hexdigest()}"
            found["/" + str(path.relative_to(root))] = shown
    return found


def differences(first: dict[str, str], second: dict[str, str]) -> list[str]:
    """Return paths that are not alike."""
    return sorted(path for path in first.keys() | second.keys() if first.get(path) != second.get(path))


def compare(first: Path, second: Path) -> list[str]:
    """Differing paths of two disks' root file systems."""
    with root_of(first) as a, root_of(second) as b:
        return differences(fingerprint(a), fingerprint(b))
