"""The receiver as a process, with its hand-over files and numbers in a directory of its own."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.harness.net import free_port, wait_until
from tests.harness.processes import ROOT, Process
from tests.harness.systemd import SystemdDouble


class Receiver(Process):
    """`appliance relay receive` on a port of loopback; `tcp` and `relay` go into its configuration.

    `handover` is the root of the hand-over files; with `systemd` its sockets outlive it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        handover: Path | None = None,
        systemd: SystemdDouble | None = None,
        tcp: Mapping[str, Any] | None = None,
        **relay: Any,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.handover = handover or directory / "handover"
        self.systemd = systemd
        self.port = free_port()
        self.config_file = directory / "receiver.yaml"
        self.configure({"port": self.port, "address": "127.0.0.1", **(tcp or {})}, **relay)
        self._plain = [sys.executable, "-m", "appliance", "relay", "receive", "--config", str(self.config_file)]
        super().__init__(self._plain, directory / "receiver.log", env={"RUNTIME_DIRECTORY": str(directory)})
        if systemd is not None:
            self.env |= systemd.environment

    def configure(self, tcp: Mapping[str, Any] | None, *, max_disk: str = "2GiB", **relay: Any) -> None:
        """Write the configuration; `tcp` None switches the listener off. A running receiver learns of it by SIGHUP."""
        listeners: dict[str, Any] = {"queue": {"max_disk": max_disk}}
        if tcp is not None:
            listeners["tcp"] = dict(tcp)
            self.port = tcp["port"]
        config = {
            "loki": {"url": "http://127.0.0.1:9/loki/api/v1/push"},
            "listeners": listeners,
            "relay": {"listen": {"handover": str(self.handover)}, **relay},
        }
        self.config_file.write_text(yaml.safe_dump(config))

    def start(self) -> None:
        if self.systemd is None:
            super().start()
            return
        assert not self.running
        command, fds = self.systemd.command(self._plain)
        self._log = self.log.open("ab")
        self._child = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            pass_fds=fds,
        )  # fmt: skip

    def up(self, timeout: float = 20) -> "Receiver":
        """Start, and wait until it listens and has taken over what was left open."""
        ready = self.output.count("msg=ready")
        self.start()

        def listening() -> bool:
            if not self.running:
                raise AssertionError(f"the receiver ended:\n{self.output[-4000:]}")
            return self.output.count("msg=ready") > ready

        wait_until(listening, timeout, what=lambda: f"the receiver listens\n{self.output[-4000:]}")
        return self

    def counts(self) -> dict[str, Any]:
        """Its numbers as it wrote them last."""
        file = self.directory / "stats.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def lines(self) -> list[bytes]:
        """The hand-over lines in all files, in order."""
        files = sorted((self.handover / "receiver").glob("*.log"))
        return [line for file in files for line in file.read_bytes().split(b"\n")[:-1]]

    def messages(self) -> list[bytes]:
        """What stands in the lines behind time, sender and input."""
        return [line.split(b" ", 3)[3] for line in self.lines()]
