"""Reads an XVA as a stream: what it is compressed with, and the entries of its tar one by one.

Strict where XCP-ng's own reader is strict. Its own little tar reader, because tarfile hides what
matters here: PAX headers, padding, the end of the archive. Judging the entries is `xva_verify.py`.
"""

import gzip
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from appliance.errors import ApplianceError, UsageError

BLOCK = 512
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
GZIP_MAGIC = b"\x1f\x8b"


class BrokenXva(Exception):
    """The stream cannot be read on from here; the text says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One header of the tar: `kind` is its type flag, `size` the bytes of content."""

    name: str
    size: int
    kind: bytes


class TarStream:
    """Entries of a tar, read strictly one after the other from a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.position = 0

    def _read(self, length: int) -> bytes:
        parts: list[bytes] = []
        missing = length
        try:
            while missing and (part := self._stream.read(missing)):
                parts.append(part)
                missing -= len(part)
        except (EOFError, OSError, zlib.error) as error:
            raise BrokenXva(f"the compressed stream is damaged or cut short ({error})") from error
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self.position += len(data)
        return data

    def next(self) -> Entry | None:
        """Return the next header; None at a block of zeros, which ends the archive."""
        at = self.position
        block = self._read(BLOCK)
        if len(block) < BLOCK:
            raise BrokenXva(f"the file is truncated: it ends at byte {self.position} where a header should follow")
        if block.count(0) == BLOCK:
            return None
        try:
            size = int(block[124:136].strip(b"\0 ") or b"0", 8)
            checksum = int(block[148:156].strip(b"\0 ") or b"0", 8)
        except ValueError as error:
            raise BrokenXva(f"there is no tar header at byte {at}: a number in it is not octal") from error
        if checksum != sum(block[:148]) + sum(block[156:]) + 8 * 0x20:
            raise BrokenXva(f"the tar header at byte {at} is damaged: its checksum does not match")
        name = block[:100].split(b"\0", 1)[0]
        if block[257:263] == b"ustar\0" and block[345]:
            name = block[345:500].split(b"\0", 1)[0] + b"/" + name
        return Entry(name.decode(errors="backslashreplace"), size, block[156:157])

    def content(self, entry: Entry) -> bytes:
        """Return the content of the entry just read, and past its padding."""
        padded = -(-entry.size // BLOCK) * BLOCK
        data = self._read(padded)
        if len(data) < padded:
            raise BrokenXva(f"the file is truncated: it ends at byte {self.position} inside {entry.name}")
        return data if padded == entry.size else data[: entry.size]

    def rest(self) -> int:
        """Return how many bytes follow, up to a MiB; and whatever they are, they are not read further."""
        return len(self._read(1 << 20))


def compression(path: Path) -> str:
    """`none`, `zstd` or `gzip`, by content as a host tells them; the file's name says nothing."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="Give an XVA file.") from error
    if magic == ZSTD_MAGIC:
        return "zstd"
    return "gzip" if magic[:2] == GZIP_MAGIC else "none"


@contextmanager
def open_xva(path: Path) -> Iterator[TarStream]:
    """The tar inside `path`, decompressed on the way."""
    kind = compression(path)
    if kind == "none":
        with path.open("rb", buffering=1 << 20) as file:
            yield TarStream(file)
    elif kind == "gzip":
        with gzip.open(path, "rb") as unpacked:
            yield TarStream(cast(BinaryIO, unpacked))
    else:
        with _unzstd(path) as stream:
            yield TarStream(stream)


@contextmanager
def _unzstd(path: Path) -> Iterator[BinaryIO]:
    command = ["zstd", "--decompress", "--quiet", "--stdout", "--", str(path)]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise ApplianceError("the zstd program is missing", hint="Install it: apt-get install zstd") from error
    with process:
        assert process.stdout is not None
        try:
            yield cast(BinaryIO, process.stdout)
        finally:
            process.kill()
