"""Writes a disk as an XVA, the file XCP-ng imports as a whole machine.

An XVA is a tar: ova.xml, then the disk's MiB chunks in order, each followed by its checksum; chunks
of zeros are left out except the first and the last. Responsible for the stream: it is written in one
pass, with one chunk in memory. The description is `ova.py`, reading disks `xva_disk.py`, checking a
finished file `xva_verify.py`.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

from appliance.errors import ApplianceError
from image.ova import DISK_GRANULE, MAX_DISK, VDI_ID, Settings, ova_xml
from image.xva_disk import CHUNK, Disk, open_disk

# xapi stops reading after the last checksum; more padding than tar's two blocks, as most tar programs
# write, can break the connection of the client that still sends it.
END_OF_ARCHIVE = b"\0" * 1024
ZSTD_LEVEL = 6


@dataclass(frozen=True)
class Written:
    """What became of a disk: sizes in bytes, time in seconds."""

    path: Path
    size: int
    disk_size: int
    disk_read: int
    chunks: int
    seconds: float

    @property
    def rate(self) -> float:
        """Return bytes of disk read per second."""
        return self.disk_read / self.seconds if self.seconds else 0.0


def virtual_size(disk_size: int) -> int:
    """Return the size the imported disk gets: whole 2 MiB, as XCP-ng's storage makes them."""
    return -(-disk_size // DISK_GRANULE) * DISK_GRANULE


def _header(name: str, size: int) -> bytes:
    """Return a USTAR header. A PAX one, Python's default in some cases, is refused by XCP-ng 8.2."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o400, 0
    return entry.tobuf(tarfile.USTAR_FORMAT)


def write_stream(disk: Disk, settings: Settings, out: BinaryIO) -> tuple[int, int]:
    """Write the whole archive to `out`; returns (chunks written, bytes of disk read)."""
    size = virtual_size(disk.size)
    if size > MAX_DISK:
        raise ApplianceError(
            "the disk is larger than 2040 GiB, the most XCP-ng's VHD storage takes", hint="Give a smaller disk."
        )
    description = ova_xml(settings, size)
    out.write(_header("ova.xml", len(description)) + description + b"\0" * (-len(description) % 512))

    zeros = bytes(CHUNK)
    last = size // CHUNK - 1
    written = read = 0

    def put(number: int, content: bytes | bytearray) -> None:
        nonlocal written
        name = f"{VDI_ID}/{number:08d}"
        out.write(_header(name, CHUNK))
        out.write(content)
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest().encode()
        out.write(_header(name + ".checksum", len(digest)) + digest.ljust(512, b"\0"))
        written += 1

    expected = 0
    for number, found in disk.chunks():
        read += len(found)
        content = found if len(found) == CHUNK else found.ljust(CHUNK, b"\0")
        if number > 0 and expected == 0:
            put(0, zeros)
        if number in (0, last) or content != zeros:
            put(number, content)
        expected = number + 1
    if expected == 0:
        put(0, zeros)
    if expected <= last and last > 0:
        put(last, zeros)
    out.write(END_OF_ARCHIVE)
    return written, read


@contextmanager
def _output(path: Path, compress: Literal["none", "zstd"]) -> Iterator[BinaryIO]:
    """A stream into a new file beside `path` that takes its name when all went well."""
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb", buffering=0) as file:
            if compress == "none":
                with open(file.fileno(), "wb", buffering=1 << 16, closefd=False) as buffered:
                    yield buffered
            else:
                with _zstd(file) as pipe:
                    yield pipe
        os.replace(partial, path)
    except OSError as error:
        raise ApplianceError(
            f"{path} cannot be written: {error.strerror}", hint="Choose another place with -o."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _zstd(file: BinaryIO) -> Iterator[BinaryIO]:
    """Compression by the zstd program, on all processors. Its output is the same for any number of them."""
    if shutil.which("zstd") is None:
        raise ApplianceError(
            "the zstd program is missing", hint="Install it (apt-get install zstd) or leave out --compress."
        )
    command = ["zstd", "--quiet", f"-{ZSTD_LEVEL}", "-T0", "--long=24", "--stdout"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stderr is not None
        try:
            yield cast(BinaryIO, process.stdin)
            process.stdin.close()
        except BrokenPipeError:
            pass  # zstd says why, below
        except BaseException:
            process.kill()
            raise
        complaint = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0:
            raise ApplianceError(
                f"zstd failed: {complaint or process.returncode}", hint="Is there room for the output?"
            )


def write_xva(source: Path, target: Path, settings: Settings, *, compress: Literal["none", "zstd"] = "none") -> Written:
    """Write `source` (raw or qcow2) as the XVA `target`, which appears only when it is complete.

    Raises UsageError for a disk that cannot be read, ApplianceError for an output that cannot be written.
    """
    started = time.monotonic()
    with open_disk(source) as disk, _output(target, compress) as out:
        chunks, read = write_stream(disk, settings, out)
        size = disk.size
    return Written(target, target.stat().st_size, size, read, chunks, time.monotonic() - started)
