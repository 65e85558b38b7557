"""A real systemd as process 1 of namespaces of its own: units are started by it as on the machine.

The network is the test's, so that it can connect; /run is its own. Needs root.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.harness.net import wait_until

SYSTEMD = Path("/lib/systemd/systemd")
_TARGET = "[Unit]\nDescription=Everything that the test wants\nDefaultDependencies=no\n"
# Before systemd: its own /run with the units, and of the cgroups only the one it was put into.
_INIT = """
set -eu
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
if [ "$2" = unified ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
    mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
fi
mkdir -p /run/systemd /run/lock
cp -r "$1" /run/systemd/system
exec env -i container=sandbox PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=sandbox.target \\
    --log-target=null --show-status=0
"""


class SystemdSandbox:
    """`units` are files by name, drop-ins as `NAME.d/FILE`."""

    def __init__(self, directory: Path, units: Mapping[str, str]) -> None:
        self._units = directory / "units"
        for name, text in {"sandbox.target": _TARGET, **units}.items():
            file = self._units / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
        self._cgroup = Path("/sys/fs/cgroup", *(() if unified else ("systemd",)), f"test-{os.getpid()}")
        self._cgroup.mkdir()
        script = f'echo $$ > {self._cgroup}/cgroup.procs; exec unshare -fpmC --kill-child sh -c "$0" sh "$@"'
        self._starter = subprocess.Popen(
            ["sh", "-c", script, _INIT, str(self._units), "unified" if unified else "legacy"],
            stdin=subprocess.DEVNULL,
        )
        self._pid = wait_until(self._init, 10, what="systemd")
        wait_until(lambda: self.run("systemctl", "is-active", "sandbox.target").stdout == "active\n", 20, what="units")

    def _init(self) -> int:
        """Process 1, once it is systemd."""
        assert self._starter.poll() is None
        children = Path(f"/proc/{self._starter.pid}/task/{self._starter.pid}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/comm").read_text() == "systemd\n":
            return int(children[0])
        return 0

    @property
    def root(self) -> Path:
        """Its file system, as seen from here."""
        return Path(f"/proc/{self._pid}/root")

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command beside it."""
        enter = ["nsenter", "--target", str(self._pid), "--pid", "--mount", "--cgroup", "--"]
        return subprocess.run([*enter, *command], capture_output=True, text=True, timeout=60)

    def close(self) -> None:
        """End all of it."""
        os.kill(self._pid, signal.SIGKILL)
        self._starter.wait(10)
        for directory in sorted((path for path in self._cgroup.rglob("*") if path.is_dir()), reverse=True):
            directory.rmdir()
        self._cgroup.rmdir()
        shutil.rmtree(self._units)
