"""A place in a writer's hand-over files, and how the places of all writers are written in a file's name. Pure."""

from collections.abc import Mapping
from typing import NamedTuple


class Position(NamedTuple):
    """Everything before it has been read: files of lower sequence, and `offset` bytes of this one."""

    sequence: int
    offset: int


def encode(positions: Mapping[str, Position]) -> str:
    """Return the positions as `WRITER.SEQUENCE.OFFSET+…`, numbers in hexadecimal; writers are letters and digits."""
    return "+".join(f"{name}.{at.sequence:x}.{at.offset:x}" for name, at in sorted(positions.items()))


def decode(text: str) -> dict[str, Position]:
    """Return what `encode` wrote. Raise ValueError for anything else."""
    found: dict[str, Position] = {}
    for part in filter(None, text.split("+")):
        name, sequence, offset = part.split(".")
        found[name] = Position(int(sequence, 16), int(offset, 16))
    return found
