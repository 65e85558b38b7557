"""What is handed out beside the disk: an importable qcow2, sums that hold, a manifest and SBOM that tell the truth."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.errors import ApplianceError
from image import sbom
from image.artefacts import Choices, sha256sums, write_artefacts
from image.inside import Inside, partitions
from image.ova import Settings
from image.qcow2 import problems_of, write_qcow2
from image.xva_verify import verify
from tests.unit.xva_samples import MiB, sparse_disk

STATUS = """Package: zlib1g
Status: install ok installed
Installed-Size: 168
Architecture: amd64
Source: zlib (1:1.2.13.dfsg-1)
Version: 1:1.2.13.dfsg-1+b1
Description: compression library
 long text

Package: gone
Status: deinstall ok config-files
Installed-Size: 1
Architecture: all
Version: 1

Package: base-files
Status: install ok installed
Installed-Size: 341
Architecture: amd64
Version: 12.4+deb12u15
Description: Debian base system miscellaneous files
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small disk as the build makes them: GPT, a partition named root with a file system."""
    where = tmp_path_factory.mktemp("disk")
    tree = where / "tree"
    (tree / "var/lib/dpkg").mkdir(parents=True)
    (tree / "var/lib/dpkg/status").write_text(STATUS)
    (tree / "boot").mkdir()
    (tree / "boot/vmlinuz-6.1.0-1-cloud-amd64").write_bytes(os.urandom(50_000))
    raw, root = where / "disk.raw", where / "root.ext4"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, root, "24M"], check=True)
    with raw.open("wb") as file:
        file.truncate(32 * MiB)
    subprocess.run(
        ["sgdisk", "-n", "1:2048:+1M", "-c", "1:bios", "-n", "2:6144:+24M", "-c", "2:root", raw],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        ["dd", f"if={root}", f"of={raw}", "bs=512", "seek=6144", "conv=notrunc,sparse", "status=none"], check=True
    )
    return raw


def test_files_are_read_out_of_a_disk_without_mounting_it(disk: Path) -> None:
    assert [(each.name, each.start, each.size) for each in partitions(disk)] == [
        ("bios", MiB, MiB),
        ("root", 3 * MiB, 24 * MiB),
    ]
    inside = Inside(disk)
    assert inside.read("/var/lib/dpkg/status").decode() == STATUS
    assert inside.names("/boot") == ["vmlinuz-6.1.0-1-cloud-amd64"]
    assert len(inside.read("/boot/vmlinuz-6.1.0-1-cloud-amd64")) == 50_000
    with pytest.raises(ApplianceError, match="File not found"):
        inside.read("/etc/passwd")
    with pytest.raises(ApplianceError, match="no partition named data"):
        Inside(disk, "data")


def test_all_files_are_made_of_a_disk_and_their_sums_hold(disk: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    (tmp_path / "appliance").write_bytes(b"command")
    choices = Choices(Settings(name="logs", firmware="uefi"), "zstd")
    made = write_artefacts(disk, tmp_path, "1.2.3", epoch=1_700_000_000, choices=choices, note=notes.append)
    assert [path.name for path in made] == [
        "appliance",
        "forwarder-1.2.3.packages",
        "forwarder-1.2.3.cdx.json",
        "forwarder-1.2.3.qcow2",
        "forwarder-1.2.3.xva",
        "SHA256SUMS",
    ]
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "SHA256SUMS").read_text().count("\n") == 5
    assert (tmp_path / "forwarder-1.2.3.packages").read_text() == (
        "base-files 12.4+deb12u15 amd64\nzlib1g 1:1.2.13.dfsg-1+b1 amd64\n"
    )
    assert verify(tmp_path / "forwarder-1.2.3.xva").accepted
    assert len(notes) == 3


def test_the_sbom_names_each_package_once_and_is_the_same_twice() -> None:
    debian = sbom.debian_packages(STATUS)
    wheels = [sbom.PythonPackage("msgspec", "0.22.0")]
    text = sbom.sbom("1.2.3", debian, wheels, epoch=1_700_000_000)
    assert text == sbom.sbom("1.2.3", debian, wheels, epoch=1_700_000_000)
    document = json.loads(text)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    assert document["metadata"]["component"]["version"] == "1.2.3"
    assert sorted(each["purl"] for each in document["components"]) == [
        "pkg:deb/debian/base-files@12.4%2Bdeb12u15?arch=amd64&distro=bookworm",
        "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1%2Bb1?arch=amd64&distro=bookworm",
        "pkg:pypi/msgspec@0.22.0",
    ]


def test_python_packages_are_what_the_product_needs_at_the_locks_versions() -> None:
    pyproject = '[project]\ndependencies = ["Typer>=0.16", "PyYAML"]\noptional-dependencies.test = ["pytest"]\n'
    lock = "typer==0.29.2 \\\n    --hash=x\nclick==8.5.1 \\\n    --hash=x\npyyaml==6.0.3\npytest==8\ncolorama==1\n"
    requires = {"Typer": ["click>=8", 'colorama; sys_platform == "win32"', 'rich; extra == "all"'], "PyYAML": []}
    found = sbom.python_packages(pyproject, lock, lambda name: requires.get(name, []))
    assert [(each.name, each.version) for each in found] == [
        ("click", "8.5.1"),
        ("pyyaml", "6.0.3"),
        ("typer", "0.29.2"),
    ]


def test_the_projects_own_lock_covers_what_it_needs() -> None:
    root = Path(__file__).parents[2]
    found = sbom.python_packages((root / "pyproject.toml").read_text(), (root / "requirements.lock").read_text())
    assert {"msgspec", "cramjam", "urllib3", "textual", "markupsafe"} <= {each.name for each in found}
    assert not {"pytest", "diskimage-builder", "mypy"} & {each.name for each in found}


def test_our_qcow2_keeps_the_rules_of_the_importer_and_gives_the_disk_back(tmp_path: Path) -> None:
    raw, back = tmp_path / "disk.raw", tmp_path / "back.raw"
    content = sparse_disk(raw, 64 * MiB, [(0, b"boot"), (31 * MiB, os.urandom(3 * MiB)), (60 * MiB, b"end")])
    made = write_qcow2(raw, tmp_path / "disk.qcow2")
    assert problems_of(made.path) == []
    assert 0 < made.allocated < 32 * MiB
    subprocess.run(["qemu-img", "convert", "-O", "raw", made.path, back], check=True)
    assert back.read_bytes() == content


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["-c"], "compressed"),
        ([], "an L2 table lies behind data"),  # as qemu-img makes them by default, beyond 512 MiB of data
        (["-B", "base.raw", "-F", "raw"], "backing file"),
    ],
    ids=["compressed", "default", "backing"],
)
def test_qcow2s_that_hosts_refuse_are_known(options: list[str], problem: str, tmp_path: Path) -> None:
    for name in ("disk.raw", "base.raw"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(1200 * MiB)
    with (tmp_path / "disk.raw").open("r+b") as file:
        for position in (0, 600 * MiB, 1100 * MiB):
            file.seek(position)
            file.write(b"data")
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, "disk.raw", "disk.qcow2"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert problem in "; ".join(problems_of(tmp_path / "disk.qcow2"))


def test_a_qcow2_of_odd_size_is_not_made(tmp_path: Path) -> None:
    sparse_disk(tmp_path / "disk.raw", 3 * MiB, [])
    with pytest.raises(ApplianceError, match="multiple of 2 MiB") as raised:
        write_qcow2(tmp_path / "disk.raw", tmp_path / "disk.qcow2")
    assert "truncate" in raised.value.hint
    assert not list(tmp_path.glob("*.qcow2*"))


def test_sums_are_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_bytes(b"")
    assert [line.split()[1] for line in sha256sums([tmp_path / "b", tmp_path / "a"]).splitlines()] == ["a", "b"]


def test_the_sbom_names_the_license_and_the_libraries_that_apt_does_not_update() -> None:
    document = json.loads(sbom.sbom("1.2.3", [], [], sbom.packed_libraries(), epoch=1_700_000_000))
    assert document["metadata"]["component"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    packed = {each["name"]: each["version"] for each in document["components"]}
    assert set(packed) == {"expat", "openssl", "python", "zlib"}
    assert all(re.match(r"\d+\.\d+", version) for version in packed.values())
    assert packed["python"] == ".".join(map(str, sys.version_info[:3]))
