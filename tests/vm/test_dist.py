"""The built files of dist/ as a whole: sums hold, XVA and qcow2 bear the same disk, sizes and lists are as promised."""

import json
import os
import subprocess
from pathlib import Path

import pytest

import appliance
from image.ova import Settings
from image.qcow2 import problems_of
from image.xva import write_xva
from image.xva_verify import verify

DIST = Path(__file__).parents[2] / "dist"
STEM = f"forwarder-{appliance.__version__}"
XVA, QCOW2 = DIST / f"{STEM}.xva", DIST / f"{STEM}.qcow2"
pytestmark = [pytest.mark.vm, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("files")]


def test_sums_hold_for_every_file_that_is_handed_out() -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=DIST, check=True)
    named = {line.split()[1] for line in (DIST / "SHA256SUMS").read_text().splitlines()}
    assert named == {"appliance", XVA.name, QCOW2.name, f"{STEM}.packages", f"{STEM}.cdx.json"}


def test_xva_and_qcow2_bear_the_same_disk(disk: Path) -> None:
    compared = subprocess.run(["qemu-img", "compare", disk, QCOW2], capture_output=True, text=True)
    assert "Images are identical" in compared.stdout, compared.stdout + compared.stderr


def test_nothing_is_noted_about_the_xva() -> None:
    assert verify(XVA).findings == ()


def test_debians_xva_img_gives_the_same_disk_byte_for_byte(disk: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xf", XVA, "-C", tmp_path], check=True)
    subprocess.run(["chmod", "-R", "u+rwX", tmp_path], check=True)
    # It writes 16 GiB, zeros and all: into a pipe rather than onto a disk.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(
        ["xva-img", "disk-export", f"{tmp_path}/Ref:003/", pipe], stdout=subprocess.DEVNULL
    ) as export:
        subprocess.run(["cmp", pipe, disk], check=True)
        assert export.wait(60) == 0


def test_the_qcow2_is_one_that_hosts_take_and_small_enough() -> None:
    assert problems_of(QCOW2) == []
    assert QCOW2.stat().st_blocks * 512 <= 900e6


def test_an_xva_with_zstd_is_small_enough_and_good(disk: Path, tmp_path: Path) -> None:
    packed = write_xva(disk, tmp_path / "packed.xva", Settings(), compress="zstd")
    print(f"\nXVA with zstd: {packed.size / 1e6:.0f} MB, {packed.rate / 1e6:.0f} MB/s of disk read")
    assert packed.size <= 300e6
    assert verify(packed.path).findings == ()


def test_manifest_and_sbom_list_the_same_packages() -> None:
    listed = {tuple(line.split()[:2]) for line in (DIST / f"{STEM}.packages").read_text().splitlines()}
    document = json.loads((DIST / f"{STEM}.cdx.json").read_text())
    debian = {(c["name"], c["version"]) for c in document["components"] if c["purl"].startswith("pkg:deb/")}
    assert debian == listed and len(listed) > 100
    python = {c["name"] for c in document["components"] if c["purl"].startswith("pkg:pypi/")}
    assert {"msgspec", "textual", "cramjam"} <= python
    assert document["metadata"]["component"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert {"openssl", "python", "zlib", "expat"} <= {
        c["name"] for c in document["components"] if c["purl"].startswith("pkg:generic/")
    }
