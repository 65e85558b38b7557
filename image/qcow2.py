"""Makes the qcow2 that XCP-ng's importer takes, and checks whether a qcow2 is one it takes.

XCP-ng reads a qcow2 as a stream, without seeking back (ocaml-qcow's Qcow_stream): no compressed
clusters, every L2 table before the first data cluster, data one after the other, the size a whole
number of clusters. With clusters of 2 MiB one L2 table covers 512 GiB, so qemu-img's output is such.
"""

import itertools
import os
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ApplianceError

CLUSTER = 2 << 20
_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_ZERO = 1


@dataclass(frozen=True, slots=True)
class Qcow2:
    """A qcow2 that can be imported; bytes. `allocated` is what it takes on disk."""

    path: Path
    size: int
    file_size: int
    allocated: int


def write_qcow2(raw: Path, target: Path) -> Qcow2:
    """Convert `raw`, a multiple of 2 MiB long, to an importable qcow2. Raise ApplianceError."""
    if raw.stat().st_size % CLUSTER:
        raise ApplianceError(
            f"{raw} is not a multiple of 2 MiB long, which XCP-ng needs of a qcow2",
            hint=f"truncate --size=%2M {raw}",
        )
    partial = target.with_name(target.name + ".part")
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=2M", str(raw), str(partial)]
    try:
        subprocess.run(command, check=True, capture_output=True)
        problems = problems_of(partial)
        if problems:
            raise ApplianceError("qemu-img made a qcow2 that XCP-ng cannot read: " + "; ".join(problems))
        os.replace(partial, target)
    except FileNotFoundError as error:
        raise ApplianceError("qemu-img is missing", hint="Install it: apt-get install qemu-utils") from error
    except subprocess.CalledProcessError as error:
        raise ApplianceError(f"{target} cannot be written: {error.stderr.decode(errors='replace').strip()}") from error
    finally:
        partial.unlink(missing_ok=True)
    about = target.stat()
    return Qcow2(target, raw.stat().st_size, about.st_size, about.st_blocks * 512)


def problems_of(path: Path) -> list[str]:
    """Return why XCP-ng's importer would refuse the qcow2; empty when it would not."""
    with path.open("rb") as file:
        header = file.read(112)
        if len(header) < 72 or header[:4] != b"QFI\xfb":
            return ["it is no qcow2"]
        version, backing, _, bits, size, encrypted, l1_size, l1_offset = struct.unpack(">IQIIQIIQ", header[4:48])
        problems = []
        if not 1 <= version <= 3:
            problems.append(f"its version is {version}")
        if backing:
            problems.append("it has a backing file")
        if encrypted:
            problems.append("it is encrypted")
        if not 9 <= bits <= 21:
            return [*problems, "its cluster size is out of range"]
        cluster = 1 << bits
        if size % cluster:
            problems.append("its size is no whole number of clusters (VDI_IO_ERROR)")
        file.seek(l1_offset)
        l1 = struct.unpack(f">{l1_size}Q", file.read(8 * l1_size))
        tables = [entry & _OFFSET for entry in l1 if entry & _OFFSET]
        data: list[int] = []
        for table in tables:
            file.seek(table)
            for entry in struct.unpack(f">{cluster // 8}Q", file.read(cluster)):
                if entry & _COMPRESSED:
                    return [*problems, "it has compressed clusters (Compressed_unsupported)"]
                if entry & _OFFSET and not entry & _ZERO:
                    data.append(entry & _OFFSET)
    if tables and data and max(tables) > min(data):
        problems.append("an L2 table lies behind data")
    if any(later <= earlier for earlier, later in itertools.pairwise(data)):
        problems.append("its data is not in order (can't read non-sequential clusters)")
    return problems
