"""One virtual machine under QEMU: starts the built disk, sends to it, runs commands in it, cuts its power.

Commands run in a root shell on the second serial port. The image has no such thing: the test's seed
asks cloud-init for it (`bootcmd`), as anyone who can write the seed could. The guest sees no network
but the forwarded ports and one address that leads to the test's Loki.
"""

import base64
import json
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from image.accelerator import accelerator
from tests.harness.net import free_port
from tests.vm.built import built_disk

LOKI_SEEN_BY_GUEST = "http://10.0.2.100:3100"
# Seconds for whatever is waited for. A start takes a minute without hardware virtualization; where other work shares
# the processors, longer: that is no fault of the image, and costs nothing when all is well.
PATIENCE = 300.0
_OVMF = Path("/usr/share/OVMF/OVMF_CODE.fd")
_SHELL = (
    "systemd-run --unit=test-shell --no-block -p DefaultDependencies=no -p StandardInput=tty -p StandardOutput=tty "
    "-p StandardError=tty -p TTYPath=/dev/ttyS1 /bin/sh"
)


@dataclass(frozen=True)
class Result:
    """What a command in the guest wrote (stdout and stderr) and ended with."""

    status: int
    text: str


class GuestError(AssertionError):
    """The guest did not do what was asked in time; the message ends with its console's last lines."""


def seed_disk(path: Path, user_data: Mapping[str, Any], *, instance: str = "test") -> Path:
    """Write a NoCloud seed (FAT, label cidata) with a root shell on the second serial port."""
    whole = {"bootcmd": [_SHELL.split()], **user_data}
    files = {"user-data": "#cloud-config\n" + yaml.safe_dump(whole), "meta-data": f"instance-id: {instance}\n"}
    path.unlink(missing_ok=True)
    subprocess.run(["mkfs.vfat", "-C", "-n", "CIDATA", str(path), "1440"], check=True, capture_output=True)
    for name, text in files.items():
        subprocess.run(["mcopy", "-i", str(path), "-", f"::/{name}"], input=text.encode(), check=True)
    return path


def config_drive(path: Path, user_data: Mapping[str, Any], meta_data: Mapping[str, Any], network: Any) -> Path:
    """Write an OpenStack config drive (FAT, label config-2) with the same root shell."""
    files = {
        "meta_data.json": json.dumps({"uuid": "3d2f0a55-6a3c-4a5e-8f5b-000000000001", **meta_data}),
        "user_data": "#cloud-config\n" + yaml.safe_dump({"bootcmd": [_SHELL.split()], **user_data}),
        "network_data.json": json.dumps(network),
    }
    path.unlink(missing_ok=True)
    subprocess.run(["mkfs.vfat", "-C", "-n", "CONFIG-2", str(path), "1440"], check=True, capture_output=True)
    subprocess.run(["mmd", "-i", str(path), "::/openstack", "::/openstack/latest"], check=True)
    for name, text in files.items():
        subprocess.run(["mcopy", "-i", str(path), "-", f"::/openstack/latest/{name}"], input=text.encode(), check=True)
    return path


def overlay(path: Path, base: Path, *, size: str = "") -> Path:
    """A disk of the test's own on top of the built one, of another size if asked."""
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "raw", str(path)]
    subprocess.run([*command, *([size] if size else [])], check=True)
    return path


class Machine:
    """A running guest. `ports` maps guest ports to ports of loopback here, filled in by `start`."""

    def __init__(
        self,
        directory: Path,
        disk: Path,
        *,
        seed: Path | None = None,
        uefi: bool = False,
        loki_port: int = 0,
        tcp: Sequence[int] = (),
        udp: Sequence[int] = (),
        memory: int = 1024,
    ) -> None:
        self.directory, self.disk = directory, disk
        self.console_log = directory / "console.log"
        self.serial_path = directory / "console.sock"
        self.tcp = {port: free_port() for port in tcp}
        self.udp = {port: free_port(socket.SOCK_DGRAM) for port in udp}
        self._shell_path = directory / "shell.sock"
        self._monitor_path = directory / "qmp.sock"
        self._shell: socket.socket | None = None
        network = ["user", "id=net", "restrict=on"]
        network += [f"hostfwd=tcp:127.0.0.1:{here}-:{there}" for there, here in self.tcp.items()]
        network += [f"hostfwd=udp:127.0.0.1:{here}-:{there}" for there, here in self.udp.items()]
        if loki_port:
            network.append(f"guestfwd=tcp:10.0.2.100:3100-cmd:socat - TCP:127.0.0.1:{loki_port}")
        # Dies with the test, however that ends.
        command = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", *accelerator(built_disk()),
                   "-smp", "2", "-m", str(memory), "-nodefaults", "-vga", "std", "-display", "none", "-no-reboot",
                   "-drive", f"file={disk},format=qcow2,if=virtio,cache=writeback",
                   "-netdev", ",".join(network), "-device", "virtio-net-pci,netdev=net,romfile=",
                   "-object", "rng-random,filename=/dev/urandom,id=rng", "-device", "virtio-rng-pci,rng=rng",
                   "-chardev",
                   f"socket,id=console,path={self.serial_path},server=on,wait=off,logfile={self.console_log}",
                   "-serial", "chardev:console",
                   "-chardev", f"socket,id=shell,path={self._shell_path},server=on,wait=off",
                   "-serial", "chardev:shell",
                   "-qmp", f"unix:{self._monitor_path},server=on,wait=off"]  # fmt: skip
        if seed is not None:
            command += ["-drive", f"file={seed},format=raw,if=virtio,readonly=on"]
        if uefi:
            command += ["-drive", f"if=pflash,format=raw,readonly=on,file={_OVMF}"]
        self._others_before = _busy_seconds()
        self.started = time.monotonic()
        self._log = (directory / "qemu.log").open("wb")
        self._qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)

    # ---- running commands -------------------------------------------------------------------

    def wait_for_shell(self, timeout: float = PATIENCE) -> float:
        """Wait for the seed's root shell; returns seconds since power-on."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self._check_alive()
            try:
                if self._shell is None:
                    self._shell = socket.socket(socket.AF_UNIX)
                    self._shell.connect(str(self._shell_path))
                self._shell.settimeout(3)
                self._shell.sendall(b"\nstty -echo -onlcr; echo up-$((40+2))\n")
                if b"up-42" in self._read_until(b"up-42", time.monotonic() + 3):
                    time.sleep(0.2)
                    return time.monotonic() - self.started
            except (FileNotFoundError, ConnectionRefusedError):
                self._shell = None
                time.sleep(0.5)
            except TimeoutError:  # nobody reads the serial port yet, and its buffer is full
                pass
        raise GuestError(f"no shell within {timeout:.0f} s\n{self.console()[-1500:]}")

    def run(self, command: str, timeout: float = PATIENCE, *, check: bool = True) -> Result:
        """Run a shell command as root in the guest. Raise GuestError if it fails and `check` is set."""
        if self._shell is None:
            self.wait_for_shell()
        assert self._shell is not None
        mark = base64.b16encode(os.urandom(6)).decode()
        line = (
            f"( {command}\n) </dev/null >/run/t.out 2>&1; s=$?; printf '\\n<%s>' {mark}; base64 -w 0 /run/t.out; "
            f"printf '|%s</%s>\\n' $s {mark}\n"
        )
        # A terminal in canonical mode takes 4095 bytes a line: longer commands go by a file.
        if len(line) > 3000:
            self._upload("/run/t.sh", command)
            return self.run("sh /run/t.sh", timeout, check=check)
        self._shell.sendall(line.encode())
        end = f"</{mark}>".encode()
        answer = self._read_until(end, time.monotonic() + timeout)
        if end not in answer:
            raise GuestError(f"no answer within {timeout:.0f} s to: {command}\n{self.console()[-1500:]}")
        body = answer.split(f"<{mark}>".encode(), 1)[1].split(end)[0]
        encoded, _, status = body.rpartition(b"|")
        result = Result(int(status), base64.b64decode(encoded).decode(errors="replace"))
        if check and result.status != 0:
            raise GuestError(f"status {result.status} of: {command}\n{result.text}")
        return result

    def text(self, command: str, timeout: float = PATIENCE) -> str:
        return self.run(command, timeout).text.strip()

    def _upload(self, path: str, content: str) -> None:
        encoded = base64.b64encode(content.encode()).decode()
        self.run(f": > {path}.b64")
        for at in range(0, len(encoded), 2000):
            self.run(f"printf %s {encoded[at : at + 2000]} >> {path}.b64")
        self.run(f"base64 -d {path}.b64 > {shlex.quote(path)}")

    def wait_for(self, command: str, timeout: float = PATIENCE, every: float = 1.0) -> float:
        """Wait until a command succeeds in the guest; returns seconds since power-on."""
        deadline = time.monotonic() + timeout
        while True:
            result = self.run(command, check=False)
            if result.status == 0:
                return time.monotonic() - self.started
            if time.monotonic() > deadline:
                raise GuestError(f"not within {timeout:.0f} s: {command}\n{result.text}\n{self.console()[-1000:]}")
            time.sleep(every)

    def wait_for_port(self, port: int, timeout: float = PATIENCE) -> float:
        """Wait until the guest accepts TCP on a port; returns seconds since power-on.

        QEMU itself accepts at once and closes when the guest refuses: a connection counts when it stays.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self._check_alive()
            try:
                with socket.create_connection(("127.0.0.1", self.tcp[port]), timeout=2) as connection:
                    connection.settimeout(1.0)
                    try:
                        if connection.recv(1):
                            return time.monotonic() - self.started
                    except TimeoutError:
                        if self._established(port):
                            return time.monotonic() - self.started
            except OSError:
                pass
            time.sleep(0.5)
        raise GuestError(f"port {port} not open within {timeout:.0f} s\n{self.console()[-1500:]}")

    def _established(self, port: int) -> bool:
        """Return whether QEMU's own list of connections shows one to this port that the guest took."""
        shown = str(self.monitor("human-monitor-command", {"command-line": "info usernet"}))
        return any(
            "ESTABLISHED" in line and line.split()[-3] == str(port) for line in shown.splitlines() if "TCP" in line
        )

    # ---- power ------------------------------------------------------------------------------

    def monitor(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """One QMP command; returns its answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._monitor_path))
            stream = connection.makefile("rw")
            stream.readline()
            for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": dict(arguments or {})}):
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                while "event" in (answer := json.loads(stream.readline())):
                    pass
            return answer.get("return", answer)

    def screen(self, path: Path) -> Path:
        """A picture of the VGA console (PNG or PPM, as the name ends)."""
        self.monitor("screendump", {"filename": str(path), "format": path.suffix[1:]})
        return path

    def screen_text(self) -> str:
        """What the guest's first virtual console shows, as text, read by the root shell."""
        # Glyphs are known as Unicode only on a console in UTF-8 mode; before that ASCII is what is there.
        read = "base64 -w 0 /dev/vcsu1 2>/dev/null || { echo; base64 -w 0 /dev/vcs1; }"
        columns, *cells = self.run(f"stty -F /dev/tty1 size; {read}").text.strip().split("\n")
        width = int(columns.split()[1])
        text = base64.b64decode(cells[-1]).decode("utf-32-le" if len(cells) == 1 else "latin-1")
        return "\n".join(text[at : at + width].rstrip() for at in range(0, len(text), width))

    def press(self, *keys: str) -> None:
        """Press keys of the guest's keyboard one after the other; names as QEMU has them, `shift-a` for two."""
        for key in keys:
            held = [{"type": "qcode", "data": one} for one in key.split("-")]
            self.monitor("send-key", {"keys": held, "hold-time": 40})
            time.sleep(0.12)  # the keyboard controller keeps few keys, and a slow guest is late to take them

    def save(self, name: str) -> None:
        """Keep the running machine's whole state inside its disk's file."""
        self._human(f"savevm {name}")

    def load(self, name: str) -> None:
        """Put a kept state back, memory, devices and disk, and let it run."""
        if self._shell is not None:
            self._shell.close()
            self._shell = None
        self._human(f"loadvm {name}")
        self.monitor("cont")

    def _human(self, line: str) -> None:
        said = str(self.monitor("human-monitor-command", {"command-line": line})).strip()
        if said:
            raise GuestError(f"{line}: {said}")

    def cut_power(self) -> None:
        """End QEMU at once, as a power cut does: nothing is flushed that the guest has not synced."""
        self._qemu.send_signal(signal.SIGKILL)
        self._end()

    def shut_down(self, timeout: float = 90.0) -> None:
        """Press the power button and wait until the guest is off."""
        self.monitor("system_powerdown")
        try:
            self._qemu.wait(timeout)
        except subprocess.TimeoutExpired:
            self.cut_power()
            raise GuestError(f"not off {timeout:.0f} s after the power button\n{self.console()[-1500:]}") from None
        self._end()

    def close(self) -> None:
        if self._qemu.poll() is None:
            self.cut_power()
        self._end()

    def others(self) -> float:
        """Processor seconds that all but this machine have taken on this computer so far."""
        own = psutil.Process(self._qemu.pid).cpu_times()
        return _busy_seconds() - own.user - own.system

    def undisturbed(self, seconds: float, others_before: float | None = None) -> float:
        """Seconds until now less the share of the processors that others took in them; without `others_before`
        they began with the power-on."""
        others = self.others() - (self._others_before if others_before is None else others_before)
        return seconds * (1 - min(0.9, max(0.0, others / (os.cpu_count() or 1) / seconds)))

    def console(self) -> str:
        """What the first serial port has shown so far."""
        return self.console_log.read_bytes().decode(errors="replace") if self.console_log.exists() else ""

    def _end(self) -> None:
        self._qemu.wait(10)
        self._log.close()
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    def _check_alive(self) -> None:
        if self._qemu.poll() is not None:
            raise GuestError(f"QEMU ended: {(self.directory / 'qemu.log').read_text()[-1500:]}")

    def _read_until(self, end: bytes, deadline: float) -> bytes:
        assert self._shell is not None
        data = b""
        while end not in data and time.monotonic() < deadline:
            self._shell.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                received = self._shell.recv(65536)
            except TimeoutError:
                break
            if not received:
                raise GuestError("the guest's shell is gone")
            data += received
        return data


def _busy_seconds() -> float:
    """Processor time that all processes of this computer have taken."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)
