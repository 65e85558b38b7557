"""Prepares the product's disk for a start under Xen: its kernel outside, configuration and probe inside.

Works on a raw disk without mounting it (debugfs). Nothing of the product is changed but what any
operator could add: /etc/appliance/appliance.yaml, and a unit that reports through xenstore.
"""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from image.inside import Inside, partition
from tests.vm.xen_rig import Guest

PROBE = Path(__file__).parent / "xen" / "probe.sh"
PROBE_UNIT = """[Unit]
Description=Report to the test
[Service]
ExecStart=/usr/local/bin/xen-probe
[Install]
WantedBy=multi-user.target
"""
WANTED = "/etc/systemd/system/multi-user.target.wants/xen-probe.service"


def prepare(disk: Path, config: Mapping[str, Any], work: Path) -> Guest:
    """Put `config` and the probe into `disk`, take its kernel out; return the guest to be started."""
    _write_into(
        disk,
        work,
        {
            "/etc/appliance/appliance.yaml": (yaml.safe_dump(dict(config)), 0o100640),
            "/usr/local/bin/xen-probe": (PROBE.read_text(), 0o100755),
            "/etc/systemd/system/xen-probe.service": (PROBE_UNIT, 0o100644),
        },
        {WANTED: "/etc/systemd/system/xen-probe.service"},
    )
    inside = Inside(disk)
    menu = inside.read("/boot/grub/grub.cfg").decode()
    linux = re.search(r"^\s*linux\s+(\S+)\s+(.*)$", menu, re.MULTILINE)
    ramdisk = re.search(r"^\s*initrd\s+(\S+)$", menu, re.MULTILINE)
    assert linux and ramdisk, "no kernel in grub.cfg"
    kernel, initrd = work / "guest-vmlinuz", work / "guest-initrd"
    kernel.write_bytes(inside.read(linux[1]))
    initrd.write_bytes(inside.read(ramdisk[1]))
    # As GRUB starts it, with Xen's console last; the rest is only about time in an emulated processor.
    arguments = f"{linux[2].strip()} console=hvc0 mitigations=off random.trust_cpu=on"
    return Guest(disk, kernel, initrd, arguments)


def _write_into(disk: Path, work: Path, files: Mapping[str, tuple[str, int]], links: Mapping[str, str]) -> None:
    root = partition(disk, "root")
    requests = ["mkdir /etc/appliance"]  # it may be there already; that is no harm
    for number, (path, (text, mode)) in enumerate(files.items()):
        (work / f"file{number}").write_text(text)
        requests += [
            f"rm {path}",
            f"write {work}/file{number} {path}",
            f"sif {path} mode 0{mode:o}",
            f"sif {path} uid 0",
        ]
    requests += [f"symlink {path} {target}" for path, target in links.items()]
    script = work / "debugfs.txt"
    script.write_text("\n".join(requests) + "\n")
    command = ["debugfs", "-w", "-f", str(script), f"{disk}?offset={root.start}"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    inside = Inside(disk)
    for path, (text, _) in files.items():
        assert inside.read(path).decode() == text, f"{path} could not be written"
