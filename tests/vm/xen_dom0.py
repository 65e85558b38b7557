"""Builds the disk of the Xen host that the Xen test boots: a small Debian dom0, kept in the cache.

Everything comes from Debian 12's own packages by mmdebstrap and `mke2fs -d`, so neither loop devices
nor device mapper are needed. What dom0 does once it is up is `xen/dom0-run.sh`; how QEMU starts Xen
is `xen_rig.py`.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

PACKAGES = (
    "linux-image-amd64",
    "xen-hypervisor-4.17-amd64",
    "xen-utils-4.17",
    "xenstore-utils",
    "bridge-utils",
    "iproute2",
    "kmod",
    "mount",
    "initramfs-tools",
    "udev",
    "busybox",
    "zstd",
)
# The initramfs has to find the root on virtio-blk, nothing else; a small one saves 20 s under TCG.
INITRAMFS_MODULES = ("virtio_pci", "virtio_blk", "ext4")
UNUSED_DRIVERS = (
    "gpu",
    "media",
    "infiniband",
    "scsi",
    "staging",
    "usb",
    "iio",
    "hwmon",
    "mtd",
    "video",
    "ata",
    "md",
    "i2c",
    "power",
)
INIT = """#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc 2>/dev/null
modprobe 9pnet_virtio; modprobe 9p
mkdir -p /share
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=none share /share || { echo "no share"; busybox poweroff -f; }
exec /bin/bash /share/dom0-run.sh
"""  # noqa: E501


@dataclass(frozen=True)
class Dom0:
    """Files QEMU needs to start Xen and its dom0."""

    xen: Path
    vmlinuz: Path
    initrd: Path
    root: Path


def _key() -> str:
    return hashlib.sha256(repr((PACKAGES, INITRAMFS_MODULES, UNUSED_DRIVERS, INIT, 1)).encode()).hexdigest()[:12]


def _files(directory: Path) -> Dom0:
    return Dom0(directory / "xen", directory / "vmlinuz", directory / "initrd.img", directory / "root.ext4")


def dom0(cache: Path) -> Dom0:
    """The dom0 for this recipe, taken from `cache` or built into it (about two minutes, needs root)."""
    place = cache / f"xen-dom0-{_key()}"
    if not place.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="xen-dom0-", dir=cache) as work:
            _build(Path(work))
            shutil.rmtree(Path(work) / "tree")
            Path(work, "done").mkdir()
            for file in ("xen", "vmlinuz", "initrd.img", "root.ext4"):
                os.rename(Path(work) / file, Path(work) / "done" / file)
            os.rename(Path(work) / "done", place)
    return _files(place)


def _build(work: Path) -> None:
    tree = work / "tree"
    modules_file = "\\n".join(INITRAMFS_MODULES)
    hook = (
        'mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"; '
        'echo MODULES=list > "$1/etc/initramfs-tools/conf.d/modules"; '
        f'printf "{modules_file}\\n" > "$1/usr/share/initramfs-tools/modules.d/dom0"'
    )
    subprocess.run(
        [
            "mmdebstrap",
            "--variant=apt",
            f"--include={','.join(PACKAGES)}",
            '--aptopt=APT::Install-Recommends "false"',
            f"--essential-hook={hook}",
            "bookworm",
            str(tree),
        ],
        check=True,
        timeout=900,
    )
    (modules,) = (tree / "usr/lib/modules").iterdir()
    release = modules.name
    for unused in (
        *(modules / "kernel/drivers" / name for name in UNUSED_DRIVERS),
        modules / "kernel/sound",
        tree / "usr/share/doc",
        tree / "usr/share/locale",
    ):
        shutil.rmtree(unused, ignore_errors=True)
    subprocess.run(["chroot", str(tree), "depmod", release], check=True)
    (tree / "dom0-init").write_text(INIT)
    (tree / "dom0-init").chmod(0o755)
    files = _files(work)
    files.xen.write_bytes(gzip.decompress((tree / "boot/xen-4.17-amd64.gz").read_bytes()))
    shutil.copy(tree / f"boot/vmlinuz-{release}", files.vmlinuz)
    shutil.copy(tree / f"boot/initrd.img-{release}", files.initrd)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "dom0", "-d", str(tree), str(files.root), "1536M"], check=True)
