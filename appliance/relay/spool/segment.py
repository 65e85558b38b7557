"""A segment: one batch on disk, described by its file's name. Pure.

Version 2 of the name is version 1 with positions; both are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from appliance.relay.handover.position import Position, decode
from appliance.relay.hot import BatchStreams

SUFFIX = ".push"
_FEWEST = 5
"""Fields that the name of a segment has at least, whatever its version."""


class ForeignVersion(ValueError):
    """A file of a spool that another version of the relay wrote: it is not ours to judge."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the spool."""

    sequence: int
    """Order of arrival; increases forever."""
    created_ms: int
    """When it was written, Unix milliseconds."""
    oldest_ns: int
    newest_ns: int
    """Timestamps of the entries inside, Unix nanoseconds."""
    entries: int
    raw_size: int
    """Bytes before compression."""
    size: int
    """Bytes on disk."""
    crc: int
    """CRC-32 of the file."""
    tenant: str
    """Tenant it was pushed for; empty for the configured one."""
    positions: str = ""
    """How far the hand-over files are read with it, as `handover.position` writes it; empty if nothing is from them."""

    @property
    def name(self) -> str:
        """Return the file's name, which holds every field but the size. Version 2 is version 1 with positions."""
        numbers = f"{self.created_ms}-{self.oldest_ns}-{self.newest_ns}-{self.entries}-{self.raw_size}"
        head = f"{self.sequence:016x}-{numbers}-{self.crc:08x}"
        if self.positions:
            return f"2-{head}-{self.positions}-{self.tenant}{SUFFIX}"
        return f"1-{head}-{self.tenant}{SUFFIX}"


def parse_name(name: str, size: int) -> Segment:
    """Return the segment that a file name of any known version describes.

    Raises ValueError, which says why it is none, and ForeignVersion for what a version to come may have written.
    """
    version, _, rest = name.removesuffix(SUFFIX).partition("-")
    if version not in ("1", "2"):
        if version.isdecimal() and rest.count("-") >= _FEWEST:
            raise ForeignVersion(f"written by another version ({version[:20]!r})")
        raise ValueError("its name is not that of a segment")
    fields = rest.split("-", 7 if version == "1" else 8)
    if version == "1":
        fields.insert(7, "")
    if len(fields) != 9:
        raise ValueError("its name is not that of a segment")
    sequence, created, oldest, newest, entries, raw, crc, positions, tenant = fields
    decode(positions)
    return Segment(
        int(sequence, 16), int(created), int(oldest), int(newest), int(entries), int(raw), size, int(crc, 16), tenant,
        positions,
    )  # fmt: skip


class LoadedSegment(NamedTuple):
    """A segment's bytes as they go to Loki, and its streams where they are still known."""

    segment: Segment
    compressed: bytes
    streams: BatchStreams | None


class NewSegment(NamedTuple):
    """What `Spool.append` takes: a compressed push and what is inside."""

    compressed: bytes
    streams: BatchStreams | None
    entries: int
    raw_size: int
    oldest_ns: int
    newest_ns: int
    tenant: str
    positions: Mapping[str, Position] = {}
    """How far the hand-over files are read once this is durable; empty when nothing is from them."""
