"""Free ports and waiting."""

import itertools
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

# Below what the kernel gives to those who ask for any port: nobody else comes between the look and the use.
_PORTS = range(10_000, 32_000)


def _candidates() -> Iterator[int]:
    """Ports in turn, from somewhere on; each of the processes that test at the same time has its own share."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    shares = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = _PORTS[worker::shares]
    begin = random.randrange(len(share))
    return itertools.cycle([*share[begin:], *share[:begin]])


_candidate = _candidates()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that was free on loopback a moment ago, and that no other test is given meanwhile."""
    while True:
        port = next(_candidate)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until(
    condition: Callable[[], T], timeout: float = 10.0, *, every: float = 0.05, what: str | Callable[[], object] = ""
) -> T:
    """The condition's first true value. Raise TimeoutError that says what was waited for."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            shown = what() if callable(what) else what
            raise TimeoutError(f"not within {timeout:g} s: {shown or condition} (last: {value!r})")
        time.sleep(every)


def port_open(port: int, host: str = "127.0.0.1") -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
