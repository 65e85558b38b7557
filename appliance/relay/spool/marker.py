"""How far the hand-over files are read, kept as the name of an empty file while no segment says it.

A rename is all it takes to move on: atomic, without a block of a disk that may be full. Which
positions are worth keeping is the spool's to know.
"""

import os
from typing import NamedTuple

from appliance.relay.handover.position import decode

SUFFIX = ".position"


class Marker(NamedTuple):
    """Positions as `handover.position` writes them, known when the segment numbered `sequence` was the newest."""

    sequence: int
    positions: str

    @property
    def name(self) -> str:
        return f"{self.sequence:016x}-{self.positions}{SUFFIX}"


def parse_marker(name: str) -> Marker:
    """Return the marker that a file name is. Raise ValueError when it is none."""
    sequence, _, positions = name.removesuffix(SUFFIX).partition("-")
    decode(positions)
    return Marker(int(sequence, 16), positions)


def write_marker(directory: int, old: Marker | None, new: Marker) -> None:
    """Put `new` in the place of `old` in an open directory. Raise OSError; then the old one is there still."""
    if old is None:
        os.close(os.open(new.name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=directory))
    elif old != new:
        os.rename(old.name, new.name, src_dir_fd=directory, dst_dir_fd=directory)
