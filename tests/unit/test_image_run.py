"""`./build.sh run`: what QEMU is given, what is kept, and what is refused before it starts."""

import os
import subprocess
from pathlib import Path

import pytest

from appliance.errors import ApplianceError
from image.accelerator import TCG
from image.run import overlay_on, parser, qemu_command, run


def test_the_ports_of_the_readme_lead_to_the_guest() -> None:
    (network,) = [w for w in qemu_command(parser().parse_args([]), Path("disk.qcow2"), TCG) if w.startswith("user,")]
    for forward in ("udp:0.0.0.0:10514-:514", "tcp:0.0.0.0:10514-:514", "tcp:0.0.0.0:16514-:6514",
                    "tcp:0.0.0.0:12514-:2514", "tcp:127.0.0.1:10022-:22"):  # fmt: skip
        assert f"hostfwd={forward}" in network


def test_a_port_of_ones_own_is_added() -> None:
    options = parser().parse_args(["--forward", "tcp:127.0.0.1:13500:3500"])
    assert any("hostfwd=tcp:127.0.0.1:13500-:3500" in word for word in qemu_command(options, Path("d"), TCG))


def test_what_the_machine_wrote_is_kept_until_the_next_build(tmp_path: Path) -> None:
    disk, keep = tmp_path / "forwarder.qcow2", tmp_path / "run" / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "8M"], check=True)
    first = overlay_on(disk, keep).stat()
    assert overlay_on(disk, keep).stat().st_ino == first.st_ino
    os.utime(disk, (first.st_mtime + 5, first.st_mtime + 5))
    assert overlay_on(disk, keep).stat().st_mtime_ns != first.st_mtime_ns, "a newer build starts over"
    os.utime(disk, (0, 0))
    keep.write_bytes(b"changes")
    assert overlay_on(disk, keep, new=True).read_bytes() != b"changes"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--disk", "absent.qcow2"], "absent.qcow2 is not there"),
        (["--disk", "there.qcow2", "--seed", "absent.img"], "absent.img: no such file"),
        (["--disk", "there.qcow2", "--forward", "tcp:514"], "is not PROTO:ADDRESS:HERE:THERE"),
        (["--disk", "there.qcow2", "--forward", "icmp:127.0.0.1:1:2"], "is not PROTO:ADDRESS:HERE:THERE"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.qcow2").touch()
    with pytest.raises(ApplianceError, match=said):
        run(words)
