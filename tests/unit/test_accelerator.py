"""KVM counts only when a kernel gets to its end under it. QEMU is a stand-in here."""

from pathlib import Path

import pytest

from image.accelerator import KVM, runs

WHOLE = "echo 'Linux version 6.1.0'; echo 'Kernel panic - not syncing: VFS: Unable to mount root fs'"


@pytest.mark.parametrize(
    ("script", "works"),
    [
        (WHOLE, True),
        ("echo 'SeaBIOS'; exec sleep 60", False),
        ("echo 'Linux version 6.1.0'; exec sleep 60", False),
        ("echo 'SeaBIOS'", False),
        (f"{WHOLE}; exit 1", False),
        ("echo 'error: failed to set MSR 0xe1' >&2; kill -ABRT $$", False),
    ],
    ids=["to the end", "hangs in the firmware", "hangs in the kernel", "ends without a kernel", "fails", "aborts"],
)
def test_kvm_counts_when_a_kernel_gets_to_its_end(
    script: str, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_text(f'#!/bin/sh\ncase "$*" in *"-accel kvm"*) ;; *) exit 2 ;; esac\n{script}\n')
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert runs(KVM, tmp_path / "vmlinuz", seconds=1.0) is works
