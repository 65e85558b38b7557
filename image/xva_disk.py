"""Reads raw and qcow2 disks sparsely, in order, as whole MiB chunks; used to write XVAs.

Responsible for the two input formats and their refusals. It knows nothing of XVA, needs no root and
no other program: raw files are walked by SEEK_DATA/SEEK_HOLE, qcow2 by its own tables
(https://www.qemu.org/docs/master/interop/qcow2.html), clusters compressed by zlib included.
"""

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from appliance.errors import UsageError

CHUNK = 1 << 20
QCOW2_MAGIC = b"QFI\xfb"
_OFFSET = 0x00FFFFFFFFFFFE00  # bits 9 to 55 of a table entry: where the cluster lies
_COMPRESSED = 1 << 62
_ZERO = 1  # bit 0 of an L2 entry: reads as zeros (version 3)
_INCOMPATIBLE = {1: "encrypted or dirty", 2: "corrupt", 4: "with an external data file", 8: "compressed by zstd"}


class Disk(Protocol):
    """A disk image; `size` is what a guest sees, in bytes."""

    size: int

    def chunks(self) -> Iterator[tuple[int, bytearray]]:
        """(number, content) of each MiB that may hold data, ascending; the last one may be short.

        The buffer is reused: it is valid until the next one is asked for.
        """
        ...


class RawDisk:
    """A raw image or block device."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = os.lseek(fd, 0, os.SEEK_END)

    def _extents(self) -> Iterator[tuple[int, int]]:
        position = 0
        while position < self.size:
            try:
                start = os.lseek(self._fd, position, os.SEEK_DATA)
                end = os.lseek(self._fd, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                    return
                if error.errno == errno.EINVAL:  # a file system or device that knows no holes
                    yield position, self.size
                    return
                raise
            yield start, end
            position = end

    def chunks(self) -> Iterator[tuple[int, bytearray]]:
        buffer = bytearray(CHUNK)
        done = 0  # first chunk not yet given
        for start, end in self._extents():
            for number in range(max(done, start // CHUNK), -(-end // CHUNK)):
                length = min(CHUNK, self.size - number * CHUNK)
                if length < len(buffer):
                    buffer = bytearray(length)
                _read_into(self._fd, memoryview(buffer), number * CHUNK)
                yield number, buffer
                done = number + 1


class Qcow2Disk:
    """A qcow2 image, version 2 or 3, without backing file and without encryption."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        header = os.pread(fd, 104, 0)
        if len(header) < 72:
            raise UsageError(f"{name} is a damaged qcow2: its header is cut", hint="Make or download it again.")
        version, backing, _, bits, self.size, encrypted, l1_size, l1_offset = struct.unpack(">IQIIQIIQ", header[4:48])
        features = struct.unpack(">Q", header[72:80])[0] if version >= 3 and len(header) >= 80 else 0
        problem = ""
        if version not in (2, 3):
            problem = f"of version {version}"
        elif backing:
            problem = "with a backing file"
        elif encrypted:
            problem = "encrypted"
        elif features & 16:
            problem = "with extended L2 entries"
        elif features & ~1:  # 1 is "dirty reference counts", which reading does not need
            problem = next(
                (text for bit, text in _INCOMPATIBLE.items() if features & bit & ~1), "with unknown features"
            )
        if problem or not 9 <= bits <= 21:
            raise UsageError(
                f"{name} is a qcow2 {problem or 'with odd clusters'}, which is not read here",
                hint=f"Flatten it first: qemu-img convert -O qcow2 {name} flat.qcow2",
            )
        self._bits, self._cluster, self._name = bits, 1 << bits, name
        self._l1 = struct.unpack(f">{l1_size}Q", self._exactly(l1_offset, 8 * l1_size))

    def _exactly(self, offset: int, length: int) -> bytes:
        data = os.pread(self._fd, length, offset)
        if len(data) != length:
            raise UsageError(f"{self._name} is a damaged qcow2: it ends early", hint="Check it with qemu-img check.")
        return data

    def _clusters(self) -> Iterator[tuple[int, int]]:
        """(cluster number, L2 entry) of all that hold data."""
        entries = self._cluster // 8
        for l1_index, l1_entry in enumerate(self._l1):
            if l1_entry & _OFFSET:
                table = struct.unpack(f">{entries}Q", self._exactly(l1_entry & _OFFSET, self._cluster))
                for l2_index, entry in enumerate(table):
                    if entry & _COMPRESSED or (entry & _OFFSET and not entry & _ZERO):
                        yield l1_index * entries + l2_index, entry

    def _read_cluster(self, entry: int, view: memoryview) -> None:
        if not entry & _COMPRESSED:
            _read_into(self._fd, view, entry & _OFFSET)
            return
        sector_bits = 62 - (self._bits - 8)
        offset = entry & ((1 << sector_bits) - 1)
        sectors = ((entry & (_COMPRESSED - 1)) >> sector_bits) + 1
        packed = os.pread(self._fd, sectors * 512 - (offset & 511), offset)
        plain = zlib.decompressobj(-12).decompress(packed, self._cluster)
        if len(plain) != self._cluster:
            raise UsageError(
                f"{self._name} is a damaged qcow2: a cluster does not unpack", hint="Check it with qemu-img check."
            )
        view[:] = plain[: len(view)]

    def chunks(self) -> Iterator[tuple[int, bytearray]]:
        buffer = bytearray(min(CHUNK, self.size))
        current = -1
        for cluster, entry in self._clusters():
            start = cluster << self._bits
            end = min(start + self._cluster, self.size)
            if self._cluster >= CHUNK:
                if entry & _COMPRESSED:
                    whole = bytearray(end - start)
                    self._read_cluster(entry, memoryview(whole))
                    for position in range(start, end, CHUNK):
                        yield position // CHUNK, whole[position - start : position - start + CHUNK]
                    continue
                for position in range(start, end, CHUNK):
                    part = bytearray(min(CHUNK, end - position))
                    _read_into(self._fd, memoryview(part), (entry & _OFFSET) + position - start)
                    yield position // CHUNK, part
                continue
            number = start // CHUNK
            if number != current:
                if current >= 0:
                    yield current, buffer
                buffer, current = bytearray(min(CHUNK, self.size - number * CHUNK)), number
            inside = start - number * CHUNK
            self._read_cluster(entry, memoryview(buffer)[inside : inside + end - start])
        if current >= 0:
            yield current, buffer


def _read_into(fd: int, view: memoryview, offset: int) -> None:
    """Fill `view`; what lies beyond the end of the file stays zero (qcow2's last cluster may be cut)."""
    done = 0
    while done < len(view):
        got = os.preadv(fd, [view[done:]], offset + done)
        if got == 0:
            view[done:] = bytes(len(view) - done)
            return
        done += got


@contextmanager
def open_disk(path: Path) -> Iterator[Disk]:
    """The disk image at `path`, its format told by its content; UsageError when it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="Give a raw or qcow2 disk image.") from error
    try:
        magic = b"" if path.is_dir() else os.pread(fd, 8, 0)
        disk: Disk = Qcow2Disk(fd, str(path)) if magic[:4] == QCOW2_MAGIC else RawDisk(fd)
        other = {b"KDMV": "VMDK", b"conectix"[:4]: "VHD", b"vhdxfile"[:4]: "VHDX", b"ova.": "XVA"}.get(magic[:4])
        if other:
            hint = f"Convert it first: qemu-img convert -O raw {path} disk.raw"
            raise UsageError(f"{path} is a {other} file, not a raw or qcow2 disk", hint=hint)
        if disk.size == 0:
            raise UsageError(f"{path} is empty", hint="Give a raw or qcow2 disk image.")
        yield disk
    finally:
        os.close(fd)
