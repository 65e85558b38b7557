"""Checks an XVA as a host would read it: order, checksums, gaps, description; gives the disks back.

One pass over the stream. Everything wrong with ova.xml is reported at once; in the stream, damage to a
chunk is reported and reading continues, but where the order is broken nothing after it can be trusted
and reading ends there, as it does on a host.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from image.ova_check import Description, ExpectedDisk, Finding, check_ova
from image.xva_disk import CHUNK
from image.xva_read import BrokenXva, Entry, TarStream, compression, open_xva
from image.xva_sums import SUMS, problem_of

MAX_DESCRIPTION = 16 << 20
REGULAR = (b"0", b"\0")
Sink = Callable[[str, int, bytes], None]
"""Takes a disk's id, an offset in bytes, and the content there."""


@dataclass(frozen=True)
class Report:
    """What was found. `description` is None when ova.xml could not even be reached."""

    path: Path
    compression: str
    findings: tuple[Finding, ...]
    description: Description | None
    chunks: int
    stream_size: int

    @property
    def accepted(self) -> bool:
        return not any(finding.refused for finding in self.findings)


class _Reader:
    """State of one pass: the findings so far and the chunk size the first chunk has set."""

    def __init__(self, tar: TarStream, sink: Sink) -> None:
        self.tar, self._sink = tar, sink
        self.findings: list[Finding] = []
        self.description: Description | None = None
        self.chunks = 0

    def _refuse(self, where: str, reason: str) -> None:
        self.findings.append(Finding(True, where, reason))

    def run(self) -> None:
        self._read_description()
        assert self.description is not None
        if not self.description.disks and self.findings:
            return  # without knowing the disks nothing more can be said
        for disk in self.description.disks:
            self._read_disk(disk)
        self._read_end()

    def _next(self, expected: str) -> Entry:
        entry = self.tar.next()
        if entry is None:
            raise BrokenXva(f"the archive ends where {expected} should follow (IMPORT_ERROR_PREMATURE_EOF)")
        if entry.kind in (b"x", b"g", b"L", b"K"):
            kind = "PAX" if entry.kind in (b"x", b"g") else "GNU long name"
            raise BrokenXva(f"a {kind} header stands where {expected} should follow; only plain USTAR entries are read")
        if entry.kind == b"5" or entry.name.endswith("/"):
            raise BrokenXva(f"there is a directory entry, {entry.name}, where {expected} should follow")
        if entry.kind not in REGULAR:
            raise BrokenXva(f"{entry.name} is no regular file")
        return entry

    def _read_description(self) -> None:
        entry = self._next("ova.xml, the first entry,")
        if entry.name != "ova.xml":
            raise BrokenXva(f"the first entry must be ova.xml, but is {entry.name} (IMPORT_ERROR_UNEXPECTED_FILE)")
        if entry.size > MAX_DESCRIPTION:
            raise BrokenXva(f"ova.xml is oversized: {entry.size} bytes")
        self.description = check_ova(self.tar.content(entry))
        self.findings.extend(self.description.findings)

    def _read_disk(self, disk: ExpectedDisk) -> None:
        if disk.size <= 0:
            raise BrokenXva(f"the chunks of {disk.id} cannot be followed without its virtual_size")
        last = (disk.size - 1) // CHUNK
        expected, width = 0, 0
        while expected <= last:
            entry = self._next(f"chunk {last} of {disk.id}, its last," if expected else f"chunk 0 of {disk.id}")
            number, width = self._chunk_number(entry, disk, expected, width)
            where = f"{disk.id} chunk {number}"
            if expected == 0 and number > 0:
                self._refuse(where, "chunk 0 is missing: the first chunk may not be left out, even if it is all zeros")
            content = self._chunk(entry, disk, number, last)
            self._checksum(entry.name, content, where)
            self._sink(disk.id, number * CHUNK, content)
            self.chunks += 1
            expected = number + 1

    def _chunk_number(self, entry: Entry, disk: ExpectedDisk, expected: int, width: int) -> tuple[int, int]:
        prefix, _, digits = entry.name.rpartition("/")
        if entry.name.endswith(tuple(SUMS)):
            raise BrokenXva(f"{entry.name} comes without its chunk before it")
        if prefix != disk.id or not (digits.isascii() and digits.isdigit()):
            raise BrokenXva(f"{entry.name} stands where a chunk of {disk.id} from number {expected} on should follow")
        if width and len(digits) != width:
            raise BrokenXva(f"{entry.name} has a number of another width than the chunks before it")
        number = int(digits)
        if number < expected:
            raise BrokenXva(f"{entry.name} is out of order: chunk {expected - 1} came before it")
        if number * CHUNK >= disk.size:
            raise BrokenXva(
                f"{entry.name} lies beyond the disk's end; its last chunk, {(disk.size - 1) // CHUNK}, is missing"
            )
        return number, len(digits)

    def _chunk(self, entry: Entry, disk: ExpectedDisk, number: int, last: int) -> bytes:
        room = disk.size - number * CHUNK
        if entry.size > CHUNK:
            raise BrokenXva(f"{entry.name} is oversized: {entry.size} bytes, where a chunk has {CHUNK}")
        if entry.size > room:
            self._refuse(
                f"{disk.id} chunk {number}", f"{entry.size - room} bytes lie beyond the disk's end (VDI_IO_ERROR)"
            )
        elif entry.size < min(room, CHUNK):
            raise BrokenXva(f"{entry.name} is short: {entry.size} bytes; all chunks but the last are of {CHUNK}")
        content = self.tar.content(entry)
        return content[:room] if number == last else content

    def _checksum(self, chunk: str, content: bytes, where: str) -> None:
        entry = self._next(f"the checksum of {chunk}")
        extension = entry.name.removeprefix(chunk)
        if not entry.name.startswith(chunk) or extension not in SUMS:
            raise BrokenXva(f"{entry.name} stands where the checksum of {chunk} should follow")
        if entry.size > 512:
            raise BrokenXva(f"{entry.name} is oversized: {entry.size} bytes")
        problem = problem_of(extension, self.tar.content(entry), content)
        if problem:
            self._refuse(where, problem)

    def _read_end(self) -> None:
        entry = self.tar.next()
        if entry is not None:
            raise BrokenXva(f"{entry.name} follows after the last chunk; nothing may")
        rest = self.tar.rest()
        if rest < 512:
            self._refuse("end", "the file is truncated: it must end with 1024 bytes of zeros")
        elif rest > 512:
            self._refuse(
                "end",
                "more than 1024 bytes of zeros follow the last entry: the upload may break when the host stops reading",
            )


def verify(path: Path, sink: Sink = lambda disk, offset, content: None) -> Report:
    """Check `path` and hand every chunk to `sink` on the way.

    Raises UsageError when the file cannot be opened; everything else is in the report.
    """
    with open_xva(path) as tar:
        reader = _Reader(tar, sink)
        try:
            reader.run()
        except BrokenXva as error:
            reader.findings.append(Finding(True, f"byte {tar.position}", str(error)))
        return Report(path, compression(path), tuple(reader.findings), reader.description, reader.chunks, tar.position)
