"""Runs forwarders under the load and measures what they cost: processor time, memory, messages a second."""

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

_LOOKS = 4
_SETTLED = 2.0  # seconds without a push after which a run is over


@dataclass(frozen=True, slots=True)
class Result:
    """Of one run. Processor time is user and system time of all processes of the forwarder."""

    name: str
    sent: int
    arrived: int
    seconds: float
    cpu_seconds: dict[str, float]
    peak_rss: dict[str, int]
    """Bytes, by process."""
    pushed_bytes: int

    @property
    def rate(self) -> float:
        return self.sent / self.seconds

    @property
    def cpu_per_message(self) -> float:
        """Microseconds."""
        return sum(self.cpu_seconds.values()) / self.sent * 1e6


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, timeout: float = 15, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until something listens. Raise TimeoutError after `timeout` seconds, or when the process has ended."""
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            raise TimeoutError(f"nothing listens on port {port}")
        time.sleep(0.05)


class Sink:
    """The process that stands for Loki."""

    def __init__(self, port: int = 0) -> None:
        command = [sys.executable, "-m", "bench.sink", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()

    def report(self, what: str = "") -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{what}", timeout=120) as answer:
            found: dict[str, float] = json.load(answer)
            return found

    def wait_until_quiet(self, timeout: float) -> dict[str, float]:
        """Wait until nothing came for a while; the report then."""
        deadline = time.monotonic() + timeout
        before, since = -1.0, time.monotonic()
        while True:
            report = self.report()
            if report["bytes"] != before:
                before, since = report["bytes"], time.monotonic()
            elif time.monotonic() - since > _SETTLED:
                return report
            if time.monotonic() > deadline:
                raise TimeoutError("pushes still come")
            time.sleep(0.2)


@dataclass(frozen=True, slots=True)
class Running:
    """A forwarder that takes the load on `port`; `processes` by name."""

    port: int
    processes: dict[str, subprocess.Popen[bytes]]
    directory: Path


Start = Callable[[Path, int], Running]
"""Starts a forwarder with a directory of its own in front of the sink's port."""


def relay_config(
    directory: Path,
    sink: int,
    *,
    listen: dict[str, int],
    handover: Path | None = None,
    labels: dict[str, object] | None = None,
) -> Path:
    """Return the configuration of a relay alone, as JSON, which YAML contains."""
    places = {name: f"127.0.0.1:{port}" for name, port in listen.items()}
    if handover:
        places["handover"] = str(handover)
    config: dict[str, object] = {
        "loki": {"url": f"http://127.0.0.1:{sink}/loki/api/v1/push"},
        "relay": {
            "listen": places,
            "spool": {"path": str(directory / "spool"), "min_free": 0},
        },
    }
    if labels:
        config["labels"] = labels
    file = directory / "appliance.yaml"
    file.write_text(json.dumps(config))
    return file


def start_relay(directory: Path, config: Path, port: int) -> subprocess.Popen[bytes]:
    """Start our relay and wait until it listens."""
    log = (directory / "relay.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "relay", "run", "--config", str(config)], stderr=log, stdout=log
    )
    wait_for(port)
    return process


def start_receiver(directory: Path, handover: Path) -> tuple[int, subprocess.Popen[bytes]]:
    """Start our receiver of plain TCP, which hands over by files below `handover`; its port and process."""
    port = free_port()
    config = {
        "loki": {"url": "http://127.0.0.1:9/loki/api/v1/push"},
        "listeners": {"tcp": {"port": port, "address": "127.0.0.1"}, "queue": {"max_disk": "2GiB"}},
        "relay": {"listen": {"handover": str(handover)}, "spool": {"min_free": 0}},
    }
    file = directory / "receiver.yaml"
    file.write_text(json.dumps(config))
    log = (directory / "receiver.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "relay", "receive", "--config", str(file)],
        stdout=log, stderr=log, env={**os.environ, "RUNTIME_DIRECTORY": str(directory)},
    )  # fmt: skip
    wait_for(port)
    return port, process


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """A directory on a real disk, removed afterwards, and a sink stopped."""
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp")))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _tree(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    root = psutil.Process(process.pid)
    return [root, *root.children(recursive=True)]


def _cpu(process: subprocess.Popen[bytes]) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in _tree(process))


def _peak(process: subprocess.Popen[bytes]) -> int:
    total = 0
    for one in _tree(process):
        status = Path(f"/proc/{one.pid}/status").read_text()
        total += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024
    return total


def measure(
    name: str,
    start: Start,
    load: Callable[[int], int],
    *,
    settle: float = 1.0,
    timeout: float = 300,
    sink_port: int = 0,
) -> Result:
    """Start a forwarder in front of a sink, put the load on it, and wait until all has arrived.

    `start(directory, sink port)` starts it; `load(port)` sends and returns the number of messages.
    What it costs counts from `settle` seconds after its start. The sink listens on `sink_port`; 0: on any.
    """
    with Sink(sink_port) as sink, workspace() as directory:
        running = start(directory, sink.port)
        try:
            time.sleep(settle)
            before = {part: _cpu(process) for part, process in running.processes.items()}
            begun = time.time()
            sent = load(running.port)
            # A busy machine may pause for longer than it takes to be sure: then look again.
            for _ in range(_LOOKS):
                quiet = sink.wait_until_quiet(timeout)
                arrived = int(sink.report("count")["entries"])
                if arrived >= sent:
                    break
            # The wait for silence is not part of the run, and costs the forwarder next to nothing.
            seconds = max(quiet["last"] - begun, 0.001)
            cpu = {part: _cpu(process) - before[part] for part, process in running.processes.items()}
            peak = {part: _peak(process) for part, process in running.processes.items()}
            return Result(name, sent, arrived, seconds, cpu, peak, int(quiet["bytes"]))
        finally:
            for process in running.processes.values():
                process.terminate()
            for process in running.processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()


def peer(command: str, port: int, directory: Path, sink: int) -> Running:
    """Any other forwarder: `{port}`, `{sink}` and `{dir}` are filled into its command line."""
    for name, value in (("port", port), ("sink", sink), ("dir", directory)):
        command = command.replace(f"{{{name}}}", str(value))
    log = directory / "peer.log"
    process = subprocess.Popen(shlex.split(command), stdout=subprocess.DEVNULL, stderr=log.open("wb"))
    try:
        wait_for(port, 30, process)
    except TimeoutError:
        process.kill()
        said = log.read_text(errors="replace")[-2000:]
        raise TimeoutError(f"nothing listens on port {port}; what the forwarder said: {said}") from None
    return Running(port, {"peer": process}, directory)
