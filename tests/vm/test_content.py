"""What is in the image, and what must not be: read from the disk's root file system, without starting it."""

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from image.inside import partition

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600), pytest.mark.xdist_group("files")]

# Reviewed: each is needed by someone who may not be root, or comes with a package that is needed.
SETUID = {
    "/usr/bin/chfn",
    "/usr/bin/chsh",
    "/usr/bin/gpasswd",
    "/usr/bin/mount",
    "/usr/bin/newgrp",
    "/usr/bin/passwd",
    "/usr/bin/su",
    "/usr/bin/sudo",
    "/usr/bin/umount",
    "/usr/lib/dbus-1.0/dbus-daemon-launch-helper",
    "/usr/lib/openssh/ssh-keysign",
}
PACKAGE_BUDGET = 270
BUILD_TOOLS = re.compile(
    r"^(gcc|g\+\+|cpp|make|binutils|dpkg-dev|build-essential|libc6-dev|python3-dev|cython3?|python3-pip|debootstrap|git"
    r"|gnupg2?|dirmngr|linux-headers-.*|.*-dev)(:|$)"
)


@pytest.fixture(scope="module")
def root(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root file system, mounted read-only (needs root, as building does)."""
    place = tmp_path_factory.mktemp("root")
    where = partition(disk, "root")
    options = f"ro,noload,loop,offset={where.start},sizelimit={where.size}"
    subprocess.run(["mount", "-o", options, str(disk), str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def entries(root: Path) -> list[tuple[str, os.stat_result]]:
    """Every path of the image with what lstat says of it."""
    found = []
    for directory, names, files in os.walk(root):
        for name in [*names, *files]:
            path = Path(directory, name)
            found.append(("/" + str(path.relative_to(root)), path.lstat()))
    return found


def test_no_identity_is_shared_by_all_machines(root: Path) -> None:
    assert (root / "etc/machine-id").read_bytes() == b""
    assert list((root / "etc/ssh").glob("ssh_host_*")) == []
    assert not (root / "var/lib/systemd/random-seed").exists()
    assert list((root / "var/lib/cloud").glob("instance*")) == []
    assert list((root / "var/lib/dhcp").glob("*.leases")) == []


def test_no_password_and_no_key_opens_it(root: Path) -> None:
    for line in (root / "etc/shadow").read_text().splitlines():
        assert line.split(":")[1][:1] in ("*", "!"), line.split(":")[0]
    assert list(root.glob("root/.ssh/authorized_keys")) + list(root.glob("home/*/.ssh/authorized_keys")) == []
    assert not (root / "etc/systemd/system/multi-user.target.wants/ssh.service").exists()


def test_nothing_is_world_writable_but_the_sticky_directories(entries: list[tuple[str, os.stat_result]]) -> None:
    writable = {
        path
        for path, info in entries
        if info.st_mode & stat.S_IWOTH
        and not stat.S_ISLNK(info.st_mode)
        and not stat.S_ISCHR(info.st_mode)
        and not (stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX)
    }
    assert writable == set()


def test_setuid_programs_are_the_reviewed_ones(entries: list[tuple[str, os.stat_result]]) -> None:
    assert {path for path, info in entries if stat.S_ISREG(info.st_mode) and info.st_mode & stat.S_ISUID} <= SETUID


def test_packages_are_within_their_budget_and_no_build_tools_are_left(root: Path) -> None:
    status = (root / "var/lib/dpkg/status").read_text()
    installed = re.findall(r"^Package: (\S+)\nStatus: \S+ \S+ installed$", status, re.MULTILINE)
    assert 150 < len(installed) <= PACKAGE_BUDGET
    assert [name for name in installed if BUILD_TOOLS.match(name)] == []


def test_no_caches_and_no_traces_of_the_build(root: Path, entries: list[tuple[str, os.stat_result]]) -> None:
    assert list(root.glob("var/cache/apt/archives/*.deb")) == []
    assert list(root.glob("var/cache/apt/*.bin")) == []
    assert [p for p in (root / "var/lib/apt/lists").rglob("*") if p.is_file()] == []
    assert [p.name for p in (root / "tmp").iterdir()] == []
    assert [p for p in (root / "var/log").rglob("*") if p.is_file() and not p.is_symlink()] == []
    assert [path for path, _ in entries if re.search(r"dib|diskimage", path) and "/share/" not in path] == []
    for name in ("etc/resolv.conf", "etc/hosts", "etc/environment"):
        path = root / name
        assert path.is_symlink() or not path.exists() or "proxy" not in path.read_text()


def test_xen_and_virtio_drivers_are_in_the_initramfs(root: Path) -> None:
    for initrd in root.glob("boot/initrd.img-*"):
        listed = subprocess.run(
            ["chroot", str(root), "lsinitramfs", f"/boot/{initrd.name}"], capture_output=True, text=True, check=True
        ).stdout
        for module in ("xen-blkfront", "xen-netfront", "virtio_blk", "virtio_net", "virtio_scsi"):
            assert f"/{module}.ko" in listed, module


def test_installed_files_are_those_of_their_packages(root: Path) -> None:
    """Checksums of every package, apart from configuration, which is ours to change."""
    conffiles = set(re.findall(r"^ (/\S+) [0-9a-f]{32}", (root / "var/lib/dpkg/status").read_text(), re.MULTILINE))
    wrong = []
    for sums in sorted((root / "var/lib/dpkg/info").glob("*.md5sums")):
        done = subprocess.run(["md5sum", "--check", "--quiet", str(sums)], cwd=root, capture_output=True, text=True)
        wrong += [line for line in done.stdout.splitlines() if "/" + line.rpartition(":")[0] not in conffiles]
    assert wrong == []


def test_menu_and_mounts_go_by_label(root: Path) -> None:
    assert "root=LABEL=forwarder-root" in (root / "boot/grub/grub.cfg").read_text()
    for line in (root / "etc/fstab").read_text().splitlines():
        assert line.split()[0].startswith(("LABEL=", "/var/lib/appliance/")), line
