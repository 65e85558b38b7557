"""Whether KVM really works here: tried with a real kernel, not believed.

`/dev/kvm` may be there and QEMU still abort, or a guest hang: in places a few instructions run and a
kernel does not get to its first line. So the built image's own kernel is started under a time-out,
without a disk: it must say which version it is and, as it finds no root, end in a panic that ends
QEMU. Under emulation that takes three seconds. Everything else means emulation.
"""

import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from image.inside import Inside

TCG = ("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max")
KVM = ("-accel", "kvm", "-cpu", "host")
_DEVICE = Path("/dev/kvm")
_SECONDS = 12.0


@cache
def accelerator(disk: Path) -> tuple[str, ...]:
    """QEMU's options for the fastest way to run `disk` (raw or qcow2, built here) that works."""
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return TCG
    with tempfile.TemporaryDirectory(prefix="accelerator-") as place:
        kernel = Path(place, "vmlinuz")
        kernel.write_bytes(_kernel_of(disk, Path(place)))
        return KVM if runs(KVM, kernel) else TCG


def runs(options: tuple[str, ...], kernel: Path, *, seconds: float = _SECONDS) -> bool:
    """Return whether a guest under these options gets from power-on to the end of the kernel within `seconds`."""
    command = [
        "qemu-system-x86_64", *options, "-m", "256", "-nodefaults", "-display", "none", "-no-reboot",
        "-serial", "stdio", "-kernel", str(kernel), "-append", "console=ttyS0 panic=-1",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and b"Linux version" in done.stdout and b"Kernel panic" in done.stdout


def _kernel_of(disk: Path, place: Path) -> bytes:
    if disk.suffix == ".qcow2":
        raw = place / "disk.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", disk, raw], check=True, capture_output=True)
        disk = raw
    inside = Inside(disk)
    newest = max(name for name in inside.names("/boot") if name.startswith("vmlinuz-"))
    return inside.read(f"/boot/{newest}")
