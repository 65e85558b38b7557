"""The disk under test: taken out of the built XVA again, once for all tests of a build."""

import fcntl
from functools import cache
from pathlib import Path

import pytest

import appliance
from image.accelerator import KVM, accelerator
from image.xva_extract import extract

ROOT = Path(__file__).parents[2]
XVA = ROOT / "dist" / f"forwarder-{appliance.__version__}.xva"


@cache
def built_disk() -> Path:
    """A raw disk, not to be written: tests start from an overlay on top of it."""
    if not XVA.exists():
        pytest.fail(f"{XVA} is not there: run ./build.sh first")
    place = ROOT / "build" / "vm"
    place.mkdir(parents=True, exist_ok=True)
    information = XVA.stat()
    name = f"disk-{information.st_ino}-{information.st_mtime_ns}-{information.st_size}.raw"
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / name).exists():
            for old in [*place.glob("disk-*"), *place.glob("new.raw")]:
                old.unlink()
            assert extract(XVA, place / "new.raw").accepted
            (place / "new.raw").rename(place / name)
    return place / name


def hardware() -> bool:
    """True when guests run on the processor itself; times are only judged by the stricter bounds then."""
    return accelerator(built_disk()) == KVM
