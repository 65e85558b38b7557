"""`python -m image run`, which is `./build.sh run`: boots the built disk in QEMU, its serial console in this terminal.

For trying the product. What the machine writes is kept in an overlay, so that it can be switched off
and on again; a newer build, or another disk, begins with a new one.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import appliance
from appliance.errors import ApplianceError
from image.accelerator import KVM, TCG, accelerator
from image.binary import ROOT

# Ports of this computer and of the guest. SSH only from here.
FORWARDS = (
    "udp:0.0.0.0:10514:514",
    "tcp:0.0.0.0:10514:514",
    "tcp:0.0.0.0:16514:6514",
    "tcp:0.0.0.0:12514:2514",
    "tcp:127.0.0.1:10022:22",
)
_TOLD = "Ports of this machine: 10514 syslog (UDP, TCP), 16514 syslog over TLS, 12514 RELP, 10022 SSH.\n"
_OVMF = Path("/usr/share/OVMF/OVMF_CODE.fd")


def parser() -> argparse.ArgumentParser:
    """Return the options of `python -m image run`."""
    made = argparse.ArgumentParser(
        prog="./build.sh run",
        description="Boots the built disk in QEMU. Its serial console is this terminal; Ctrl-A X ends it. "
        "What the machine writes is kept until the next build.",
        epilog="Example: ./build.sh run --seed seed.img --forward tcp:127.0.0.1:13500:3500",
    )
    add = made.add_argument
    add("--disk", default=str(ROOT / f"dist/forwarder-{appliance.__version__}.qcow2"), help="disk to boot")
    add("--keep", default=str(ROOT / "build/run/disk.qcow2"), metavar="FILE", help="where changes are kept")
    add("--new", action="store_true", help="forget the changes of earlier runs")
    add("--seed", default="", metavar="FILE", help="NoCloud or config drive disk")
    add(
        "--forward",
        action="append",
        default=[],
        metavar="PROTO:ADDRESS:HERE:THERE",
        help="one more port of this computer that leads to one of the guest",
    )
    add("--memory", type=int, default=1024, metavar="MIB", help="memory of the guest (1024)")
    add("--uefi", action="store_true", help="boot with UEFI instead of BIOS")
    add("--window", action="store_true", help="show the VGA console in a window as well")
    add("--no-kvm", action="store_true", help="do not try hardware virtualization")
    return made


def network(forwards: Sequence[str]) -> str:
    """QEMU's `-netdev` for these ports. Raise ApplianceError for one that cannot be read."""
    words = ["user,id=net"]
    for forward in forwards:
        protocol, *where = forward.split(":")
        if protocol not in ("tcp", "udp") or len(where) != 3 or not (where[1].isdigit() and where[2].isdigit()):
            raise ApplianceError(
                f"--forward {forward!r} is not PROTO:ADDRESS:HERE:THERE", hint="such as udp:127.0.0.1:5514:514"
            )
        words.append(f"hostfwd={protocol}:{where[0]}:{where[1]}-:{where[2]}")
    return ",".join(words)


def qemu_command(options: argparse.Namespace, overlay: Path, how: Sequence[str]) -> list[str]:
    """QEMU's command line; `how` are the accelerator's options. Raise ApplianceError for a wrong port."""
    command = ["qemu-system-x86_64", *how, "-smp", "2", "-m", str(options.memory), "-vga", "std"]
    command += ["-drive", f"file={overlay},if=virtio,format=qcow2"]
    command += ["-netdev", network((*FORWARDS, *options.forward)), "-device", "virtio-net-pci,netdev=net"]
    command += ["-serial", "mon:stdio", *([] if options.window else ["-display", "none"])]
    if options.seed:
        command += ["-drive", f"file={options.seed},format=raw,if=virtio,readonly=on"]
    if options.uefi:
        command += ["-drive", f"if=pflash,format=raw,readonly=on,file={_OVMF}"]
    return command


def overlay_on(disk: Path, overlay: Path, *, new: bool = False) -> Path:
    """The file that keeps what a machine on `disk` writes; made when absent, older than the disk, or asked for."""
    if new or not overlay.exists() or overlay.stat().st_mtime < disk.stat().st_mtime:
        overlay.parent.mkdir(parents=True, exist_ok=True)
        overlay.unlink(missing_ok=True)
        form = "qcow2" if disk.suffix == ".qcow2" else "raw"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", disk, overlay], check=True)
    return overlay


def run(words: Sequence[str]) -> int:
    """Boot and wait until the guest or the user ends it; QEMU's exit status."""
    options = parser().parse_args(words)
    disk, keep = Path(options.disk).absolute(), Path(options.keep).absolute()
    if not disk.exists():
        raise ApplianceError(f"{disk} is not there", hint="build it first: ./build.sh")
    if options.seed and not Path(options.seed).exists():
        raise ApplianceError(f"--seed {options.seed}: no such file")
    network(options.forward)
    how = TCG if options.no_kvm else accelerator(disk)
    overlay_on(disk, keep, new=options.new)
    sys.stderr.write(_TOLD)
    if how != KVM:
        sys.stderr.write("Without hardware virtualization: it takes a minute until its console page is here.\n")
    sys.stderr.write("Ctrl-A X ends the virtual machine.\n")
    return subprocess.run(qemu_command(options, keep, how)).returncode
