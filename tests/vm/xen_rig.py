"""Starts a disk as a PVH guest of a real Xen (4.17, in QEMU without hardware virtualization).

Responsible for the QEMU and `xl` command lines and for waiting on what dom0 reports by files; the
dom0 itself comes from `xen_dom0.py`. QEMU's user network is bridged to the guest, so that the guest
gets its address from QEMU's DHCP server, reaches the test at 10.0.2.2, and is reached by it through
forwarded ports.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.vm.xen_dom0 import Dom0

HOST_SEEN_BY_GUEST = "10.0.2.2"

# Each flag was forced by a failure: with SMAP dom0 dies at its first return to user space, with
# MONITOR Xen panics, with AVX/XSAVE the guest's user space segfaults at random, with RDTSCP a PVH
# guest dies in its kernel. Xen under TCG wants one processor.
QEMU = (
    # Dies with the test, however that ends.
    *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot"),
    # Time by instructions: on a busy machine timers, and with them costly leaves of the guest, do not
    # come more often for each step of progress, and no time-out inside strikes early.
    *("-accel", "tcg,thread=single,tb-size=1024", "-icount", "shift=1,sleep=on"),
    *("-cpu", "EPYC,+svm,+npt,-smap,-monitor,-avx,-avx2,-fma,-f16c,-xsave,-xsaveopt,-xgetbv1,-rdtscp"),
    *("-smp", "1", "-m", "4096"),
)
# With 768 MiB for dom0 the guest's disk stood still after a while.
XEN_ARGUMENTS = "com1=115200,8n1 console=com1 dom0_mem=1536M,max:1536M dom0_max_vcpus=1 spec-ctrl=no xpti=no noreboot"
DOM0_ARGUMENTS = "root=/dev/vda rw console=hvc0 mitigations=off quiet init=/dom0-init"


@dataclass(frozen=True)
class Guest:
    """What is started: a disk, and the kernel taken out of it."""

    disk: Path
    kernel: Path
    initrd: Path
    arguments: str
    memory: int = 1024  # MiB
    more_disks: Sequence[Path] = ()
    ports: Mapping[int, int] = field(default_factory=dict)  # TCP port here → port of the guest


@dataclass(frozen=True)
class Running:
    """A guest that runs, seen through the files dom0 writes."""

    share: Path
    qemu: "subprocess.Popen[bytes]"

    def read(self, name: str) -> str:
        file = self.share / name
        return file.read_bytes().decode(errors="replace") if file.exists() else ""

    @property
    def console(self) -> str:
        """The guest's hvc0 so far."""
        return self.read("guest-guest.log")

    @property
    def xenstore(self) -> dict[str, str]:
        """The guest's own part of xenstore, paths relative to /local/domain/N, as of some seconds ago."""
        keys = {}
        for line in self.read("xenstore.txt").splitlines():
            path, _, value = line.partition(" = ")
            relative = path.split("/", 4)
            if len(relative) == 5:
                keys[relative[4]] = value.rsplit("   (", 1)[0].strip().removeprefix('"').removesuffix('"')
        return keys

    def wait(self, what: str, done: Callable[[], bool], timeout: float) -> None:
        """Until `done`; fails with the logs' ends when the guest or Xen died, or after `timeout` seconds."""
        end = time.monotonic() + timeout
        while not done():
            given_up = self.read("failed").strip()
            if "Dom0 crashed" in self.read("xen.log"):
                given_up = "dom0 crashed"
            if given_up or self.qemu.poll() is not None or time.monotonic() > end:
                reason = given_up or ("QEMU ended" if self.qemu.poll() is not None else f"not within {timeout:.0f} s")
                raise AssertionError(f"{what}: {reason}\n{self.evidence()}")
            time.sleep(1)

    def evidence(self) -> str:
        """The last lines of every log."""
        logs = {"Xen": "xen.log", "QEMU": "qemu.log", "dom0": "dom0.log", "xl": "xl.log", "guest": "guest-guest.log"}
        return "\n".join(f"--- {name}\n" + "\n".join(self.read(log).splitlines()[-30:]) for name, log in logs.items())


def _xl_config(guest: Guest) -> str:
    disks = [f"phy:/dev/vd{chr(ord('b') + n)},xvd{chr(ord('a') + n)},w" for n in range(1 + len(guest.more_disks))]
    return "\n".join(
        (
            'name = "guest"',
            'type = "pvh"',
            f"memory = {guest.memory}",
            "vcpus = 1",
            # Every reading of an emulated TSC would leave the guest; without this it takes twice as long.
            'tsc_mode = "native"',
            'kernel = "/tmp/vmlinuz"',
            'ramdisk = "/tmp/initrd.img"',
            f'cmdline = "{guest.arguments}"',
            f"disk = {disks!r}",
            'vif = ["bridge=xenbr0"]',
            'on_reboot = "destroy"',
            'on_crash = "destroy"',
            "",
        )
    )


def _qemu_command(dom0: Dom0, guest: Guest, share: Path) -> list[str]:
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:{here}-10.0.2.15:{there}" for here, there in guest.ports.items())
    command = [*QEMU, "-kernel", str(dom0.xen), "-append", XEN_ARGUMENTS]
    command += ["-initrd", f"{dom0.vmlinuz} {DOM0_ARGUMENTS.replace(',', ',,')},{dom0.initrd}"]
    for disk in (dom0.root, guest.disk, *guest.more_disks):
        kind = "qcow2" if disk.suffix == ".qcow2" else "raw"
        command += ["-drive", f"file={disk},format={kind},if=virtio,snapshot=on"]
    command += ["-virtfs", f"local,path={share},mount_tag=share,security_model=none"]
    command += ["-netdev", f"user,id=net{forwards}", "-device", "virtio-net-pci,netdev=net,romfile="]
    return [*command, "-serial", f"file:{share}/xen.log", "-monitor", "none"]


@contextmanager
def running(dom0: Dom0, guest: Guest, share: Path) -> Iterator[Running]:
    """Xen with `guest` on it, from power-on; powered off at the end. `share` is an empty directory."""
    shutil.copy(Path(__file__).parent / "xen" / "dom0-run.sh", share / "dom0-run.sh")
    shutil.copy(guest.kernel, share / "vmlinuz")
    shutil.copy(guest.initrd, share / "initrd.img")
    (share / "guest.cfg").write_text(_xl_config(guest))
    with (share / "qemu.log").open("wb") as log:
        qemu = subprocess.Popen(_qemu_command(dom0, guest, share), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield Running(share, qemu)
        finally:
            qemu.kill()
            qemu.wait()
