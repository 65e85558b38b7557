"""The `appliance` command packed by PyInstaller: one directory for the VM, one file to download.

Built against Debian 12's own Python, whatever the build machine is: on Debian 12 that is the Python
of the project's environment. The image build runs the result inside the image and fails if it does
not start there.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ApplianceError
from image.steps import Steps

ROOT = Path(__file__).resolve().parent.parent
_DEBIAN_12_GLIBC = (2, 36)
_DEBIAN_12_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Binary:
    """A packed command: the directory that holds `appliance`, or the single file."""

    directory: Path
    file: Path | None


def check_build_machine() -> None:
    """Refuse a machine whose C library is newer than the image's: the result would not start there."""
    name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    found = tuple(int(part) for part in version.split(".")[:2]) if name == "glibc" else (99, 0)
    if found > _DEBIAN_12_GLIBC or sys.version_info[:2] != _DEBIAN_12_PYTHON:
        raise ApplianceError(
            f"the command must be packed with Debian 12's Python 3.11, "
            f"not {sys.version.split()[0]} on {name} {version}",
            hint="build on Debian 12 (a container or chroot will do)",
        )


def pack(work: Path, steps: Steps, *, one_file: bool, epoch: int) -> Binary:
    """Pack the command from this source tree. Output under `work`."""
    check_build_machine()
    target = work / ("pyinstaller-file" if one_file else "pyinstaller-dir")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    env = {
        **os.environ,
        "FORWARDER_ONE_FILE": "1" if one_file else "",
        "SOURCE_DATE_EPOCH": str(epoch),
        "PYTHONHASHSEED": "1",
        "PYTHONPATH": str(ROOT),
    }
    steps.run(
        [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level=WARN",
         f"--distpath={target}/dist", f"--workpath={target}/work", ROOT / "image/appliance.spec"],
        env=env,
        cwd=ROOT,
        what="PyInstaller",
    )  # fmt: skip
    if one_file:
        return Binary(directory=target / "dist", file=target / "dist/appliance")
    return Binary(directory=target / "dist/appliance", file=None)


def start_seconds(program: Path, runs: int = 3) -> float:
    """Best time of `program --version`, in seconds. Raise ApplianceError if it fails."""
    best = float("inf")
    for _ in range(runs):
        began = time.monotonic()
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60)
        best = min(best, time.monotonic() - began)
        if done.returncode != 0:
            raise ApplianceError(f"{program} does not start: {(done.stderr or done.stdout).strip()[-400:]}")
    return best


def platform_tag() -> str:
    """Return the file name suffix of compiled modules, such as `.cpython-311-x86_64-linux-gnu.so`."""
    return str(sysconfig.get_config_var("EXT_SUFFIX"))
