"""Makes what is handed out of a built disk: qcow2, XVA, package manifest, SBOM, SHA256SUMS.

Only the order and the names of the files; each kind is made by its own module.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from image import sbom
from image.inside import Inside
from image.ova import Settings
from image.qcow2 import write_qcow2
from image.xva import write_xva

ROOT = Path(__file__).resolve().parent.parent
SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Choices:
    """What can be chosen about the files; the machine in the XVA is described by `machine`."""

    machine: Settings = field(default_factory=Settings)
    compress: Literal["none", "zstd"] = "none"


def write_artefacts(
    disk: Path,
    dist: Path,
    version: str,
    *,
    epoch: int,
    choices: Choices | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Make everything of the raw `disk` in `dist`; return the files, SHA256SUMS last.

    `epoch` is the timestamp of the SBOM, seconds since 1970; `note` gets one line for each file.
    Raises ApplianceError when one of them cannot be made.
    """
    chosen = choices or Choices()
    dist.mkdir(parents=True, exist_ok=True)
    stem = f"forwarder-{version}"

    packages = sbom.debian_packages(Inside(disk).read("/var/lib/dpkg/status").decode())
    wheels = sbom.python_packages((ROOT / "pyproject.toml").read_text(), (ROOT / "requirements.lock").read_text())
    listed, described = dist / f"{stem}.packages", dist / f"{stem}.cdx.json"
    listed.write_text(sbom.manifest(packages))
    described.write_text(sbom.sbom(version, packages, wheels, sbom.packed_libraries(), epoch=epoch))
    note(f"{listed.name}, {described.name}: {len(packages)} Debian and {len(wheels)} Python packages")

    qcow2 = write_qcow2(disk, dist / f"{stem}.qcow2")
    note(f"{qcow2.path.name}: {qcow2.allocated / 1e6:.0f} MB allocated")

    machine = replace(chosen.machine, description=f"{chosen.machine.description} {version}")
    xva = write_xva(disk, dist / f"{stem}.xva", machine, compress=chosen.compress)
    packed = "" if chosen.compress == "none" else f" with {chosen.compress}"
    note(f"{xva.path.name}: {xva.size / 1e6:.0f} MB{packed}, {xva.rate / 1e6:.0f} MB/s of disk read")

    files = [path for path in (dist / "appliance", listed, described, qcow2.path, xva.path) if path.exists()]
    sums = dist / SUMS
    sums.write_text(sha256sums(files))
    return [*files, sums]


def sha256sums(files: Iterable[Path]) -> str:
    """Return lines as sha256sum writes them and `sha256sum --check` reads them, sorted by name."""
    lines = []
    for path in sorted(files, key=lambda each: each.name):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return "".join(lines)
