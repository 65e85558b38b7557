"""Whether KVM really works here: tried, not believed.

`/dev/kvm` may exist and a guest still hang or QEMU abort. A boot sector that only ends QEMU with a
status of its own is started under a time-out; everything else means TCG.
"""

import subprocess
import tempfile
from functools import cache
from pathlib import Path

# mov dx,0xf4; mov al,0x2a; out dx,al; hlt; jmp $  — isa-debug-exit then ends QEMU with 0x2a * 2 + 1.
_CODE = bytes.fromhex("baf400b02aeef4ebfe")
_STATUS = 0x2A * 2 + 1
_TCG = ("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max")
_KVM = ("-accel", "kvm", "-cpu", "host")


@cache
def accelerator() -> tuple[str, ...]:
    """QEMU's options for the fastest way to run a guest that works here."""
    return _KVM if Path("/dev/kvm").exists() and _runs(_KVM) else _TCG


def hardware() -> bool:
    """True when guests run on the processor itself; times are only judged by the stricter bounds then."""
    return accelerator() == _KVM


def _runs(options: tuple[str, ...]) -> bool:
    with tempfile.NamedTemporaryFile(suffix=".img") as disk:
        disk.write(_CODE.ljust(510, b"\0") + b"\x55\xaa")
        disk.flush()
        command = [
            "qemu-system-x86_64", *options, "-m", "64", "-display", "none", "-nodefaults", "-no-reboot",
            "-drive", f"file={disk.name},format=raw,if=ide,snapshot=on",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
        ]  # fmt: skip
        try:
            return subprocess.run(command, capture_output=True, timeout=15).returncode == _STATUS
        except subprocess.TimeoutExpired:
            return False
