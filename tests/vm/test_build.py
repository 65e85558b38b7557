"""A build that is killed leaves nothing that stops the next one."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from image import leftovers
from tests.harness.net import wait_until

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.vm, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("files")]


def start(work: Path) -> "subprocess.Popen[bytes]":
    """A build in a directory of its own, with a stand-in for the packed command."""
    packed = work.parent / "packed"
    packed.mkdir(exist_ok=True)
    (packed / "appliance").write_text("#!/bin/sh\n")
    (packed / "appliance").chmod(0o755)
    command = [sys.executable, "-m", "image", "build", "--work", str(work), "--binary", str(packed)]
    command += ["--output", str(work.parent / "dist"), "--cache", str(ROOT / ".cache")]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def processes_of(work: Path) -> list[str]:
    """Command lines of processes that name the build's directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(work / "dib") in line:
                found.append(line)
    return found


def unpacking(work: Path) -> bool:
    log = work / "log" / "image-build.log"
    return log.exists() and "Unpacking" in log.read_text(errors="replace")


def test_a_killed_build_leaves_no_process_and_the_next_one_starts_clean(tmp_path: Path) -> None:
    work = tmp_path / "work"
    first = start(work)
    try:
        wait_until(lambda: unpacking(work) or first.poll() is not None, 180, every=0.5)
        assert first.poll() is None, "the build ended by itself"
    finally:
        first.kill()
        first.wait()
    wait_until(lambda: not processes_of(work), 20, what=lambda: processes_of(work))
    assert leftovers.mounts_below(work, Path("/proc/self/mountinfo").read_text()) == []

    second = start(work)
    try:
        time.sleep(1)
        wait_until(lambda: unpacking(work) or second.poll() is not None, 180, every=0.5)
        assert second.poll() is None, "the second build was stopped by what the first one left"
    finally:
        second.kill()
        second.wait()
    wait_until(lambda: not processes_of(work), 20, what=lambda: processes_of(work))
    leftovers.clean(work / "dib")
    assert not (work / "dib").exists()
    assert leftovers.loop_devices_below(work) == []
