"""`python -m image run`: boots the built disk in QEMU, its serial console in this terminal.

For a look at the product. What happens goes to an overlay that is thrown away, unless --keep is given.
"""

import argparse
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import appliance
from appliance.errors import ApplianceError
from image.binary import ROOT


def parser() -> argparse.ArgumentParser:
    """The options of `python -m image run`."""
    made = argparse.ArgumentParser(
        prog="python -m image run",
        description="Boots the built disk in QEMU. Its serial console is this terminal; Ctrl-A X ends it.",
        epilog="Example: python -m image run --seed seed.img --forward udp:5514:514",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = made.add_argument
    add("--disk", default=str(ROOT / f"dist/forwarder-{appliance.__version__}.qcow2"), help="disk to boot")
    add("--keep", default="", metavar="FILE", help="qcow2 overlay to keep changes in; made when absent")
    add("--seed", default="", metavar="FILE", help="NoCloud or ConfigDrive disk")
    add(
        "--forward",
        action="append",
        default=[],
        metavar="PROTO:HERE:THERE",
        help="port of loopback to one of the guest",
    )
    add("--memory", type=int, default=1024, metavar="MIB", help="memory of the guest")
    add("--uefi", action="store_true", help="start by UEFI instead of BIOS")
    add("--window", action="store_true", help="show the VGA console in a window as well")
    return made


def qemu_command(options: argparse.Namespace, overlay: Path) -> list[str]:
    """QEMU's command line. Raises ApplianceError for a port that cannot be read."""
    network = "user,id=net"
    for forward in options.forward:
        protocol, _, ports = forward.partition(":")
        here, _, there = ports.partition(":")
        if protocol not in ("tcp", "udp") or not here.isdigit() or not there.isdigit():
            raise ApplianceError(f"--forward {forward!r} is not PROTO:HERE:THERE", hint="such as udp:5514:514")
        network += f",hostfwd={protocol}:127.0.0.1:{here}-:{there}"
    # QEMU takes the second when the first does not work at all; a KVM that hangs is the user's to unset.
    accelerators = ["-accel", "kvm"] if os.environ.get("FORWARDER_KVM") else []
    command = ["qemu-system-x86_64", *accelerators, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]
    command += ["-m", str(options.memory), "-drive", f"file={overlay},if=virtio", "-netdev", network]
    command += ["-device", "virtio-net-pci,netdev=net", "-serial", "mon:stdio", "-vga", "std"]
    command += [] if options.window else ["-display", "none"]
    if options.seed:
        command += ["-drive", f"file={options.seed},format=raw,if=virtio,readonly=on"]
    if options.uefi:
        command += ["-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd"]
    return command


def run(words: Sequence[str]) -> int:
    """Boot and wait until the guest or the user ends it; QEMU's exit status."""
    options = parser().parse_args(words)
    disk = Path(options.disk).absolute()
    if not disk.exists():
        raise ApplianceError(f"{disk} is not there", hint="build it first: ./build.sh")
    with tempfile.TemporaryDirectory(prefix="forwarder-run-") as place:
        overlay = Path(options.keep).absolute() if options.keep else Path(place, "disk.qcow2")
        if not overlay.exists():
            form = "qcow2" if disk.suffix == ".qcow2" else "raw"
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", disk, overlay], check=True)
        return subprocess.run(qemu_command(options, overlay)).returncode
