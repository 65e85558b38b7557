"""The relay and rsyslogd as real processes, each with its files in a directory of its own."""

import copy
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil
import yaml

from tests.harness.net import free_port, port_open, wait_until

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """A child that is started, stopped, killed and started again; its output goes to a file."""

    def __init__(self, command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        self.log = log
        self.env = dict(env or {})
        self._child: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self) -> None:
        assert not self.running
        self._log = self.log.open("ab")
        self._child = subprocess.Popen(
            self.command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.env}

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        self._child.send_signal(number)

    def wait(self, timeout: float = 10) -> int:
        """The exit code. Raise subprocess.TimeoutExpired."""
        assert self._child is not None
        code = self._child.wait(timeout)
        if self._log:
            self._log.close()
        return code

    def kill(self) -> None:
        """SIGKILL: nothing can be tidied up."""
        self.signal(signal.SIGKILL)
        self.wait()

    def terminate(self, timeout: float = 10) -> float:
        """SIGTERM; the seconds it took to end."""
        started = time.monotonic()
        self.signal(signal.SIGTERM)
        self.wait(timeout)
        return time.monotonic() - started

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.running:
            self.signal(signal.SIGTERM)
            try:
                self.wait(8)
            except subprocess.TimeoutExpired:
                self.kill()

    def rss(self) -> int:
        """Resident memory in bytes."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def cpu(self) -> float:
        """Seconds of processor time used so far, user and system."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


class Relay(Process):
    """`appliance relay run` on ports of loopback.

    `settings` is merged into a configuration with all four listeners on; None removes a key.
    """

    def __init__(
        self,
        directory: Path,
        loki_url: str,
        settings: Mapping[str, Any] | None = None,
        *,
        env: Mapping[str, str] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.spool = directory / "spool"
        self.handover = directory / "handover"
        self.config_file = directory / "appliance.yaml"
        self.relp, self.syslog_tcp, self.push, self.http = (free_port() for _ in range(4))
        self.config: dict[str, Any] = {
            "loki": {"url": loki_url, "backoff": {"min": "100ms", "max": "1s"}, "timeout": "10s"},
            "relay": {
                "listen": {
                    "handover": str(self.handover),
                    "relp": f"127.0.0.1:{self.relp}",
                    "syslog_tcp": f"127.0.0.1:{self.syslog_tcp}",
                    "push": f"127.0.0.1:{self.push}",
                    "http": f"127.0.0.1:{self.http}",
                },
                "spool": {"path": str(self.spool), "min_free": "1MiB"},
            },
        }
        self.configure(settings or {})
        super().__init__(
            [sys.executable, "-m", "appliance", "relay", "run", "--config", str(self.config_file)],
            directory / "relay.log",
            env=env,
        )

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Merge and write the file; a running relay learns of it by SIGHUP or a restart."""
        _merge(self.config, settings)
        self.config_file.write_text(yaml.safe_dump(self.config))
        self.config_file.chmod(0o600)

    def up(self, timeout: float = 20) -> "Relay":
        """Start and wait until every configured listener takes connections."""
        self.start()
        ports = [
            int(endpoint.rpartition(":")[2])
            for name, endpoint in self.config["relay"]["listen"].items()
            if name != "handover" and endpoint is not None
        ]

        def listening() -> bool:
            if not self.running:
                raise AssertionError(f"the relay ended:\n{self.output[-4000:]}")
            return all(map(port_open, ports))

        wait_until(listening, timeout, what=lambda: f"the relay listens\n{self.output[-4000:]}")
        return self

    def get(self, path: str) -> tuple[int, str]:
        """GET from the relay's HTTP listener."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def spooled(self) -> int:
        """Batches waiting in the spool."""
        return len(list(self.spool.glob("*.push"))) if self.spool.exists() else 0


class Rsyslogd(Process):
    """A real rsyslogd in the foreground. `config` is its whole configuration."""

    def __init__(self, directory: Path, config: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.work = directory / "work"
        self.work.mkdir(exist_ok=True)
        self.config_file = directory / "rsyslog.conf"
        self.config_file.write_text(config)
        pid_file = directory / "rsyslogd.pid"
        super().__init__(
            ["rsyslogd", "-n", "-f", str(self.config_file), "-i", str(pid_file)], directory / "rsyslogd.log"
        )

    def up(self, *ports: int, timeout: float = 10) -> "Rsyslogd":
        """Start and wait until these TCP ports take connections."""
        self.start()

        def listening() -> bool:
            if not self.running:
                raise AssertionError(f"rsyslogd ended:\n{self.output[-4000:]}")
            return all(map(port_open, ports))

        wait_until(listening, timeout, what=lambda: f"rsyslogd listens\n{self.output[-4000:]}")
        return self


def _merge(into: dict[str, Any], settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)
