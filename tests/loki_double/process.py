"""A double in a process of its own, so that its work does not take turns with the test's, and the
client that steers it over HTTP (`/control/…`)."""

import base64
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.loki_double.api import NUMBERED, Tally
from tests.loki_double.front import PUSH_PATH

_ROOT = Path(__file__).resolve().parents[2]


class LokiProcess:
    """See api.LokiUnderTest. `limits` are given to the double at its start."""

    def __init__(self, *, port: int = 0, **limits: Any) -> None:
        command = [sys.executable, "-m", "tests.loki_double", "--port", str(port)]
        command += [f"--limit={name}={value}" for name, value in limits.items()]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, cwd=_ROOT)
        assert self._process.stdout is not None
        started = json.loads(self._process.stdout.readline())
        self.base_url: str = started["url"]
        self._control: str = started["control"]

    @property
    def push_url(self) -> str:
        return self.base_url + PUSH_PATH

    def fault(self, kind: str, times: int | None = None, **details: Any) -> None:
        self._call("fault", kind=kind, times=times, **details)

    def clear(self) -> None:
        self._call("clear")

    def set_limits(self, **limits: Any) -> None:
        self._call("limits", **limits)

    def count(self, selector: str = "{}") -> int:
        return int(self._call("count", selector=selector))

    def lines(self, selector: str = "{}") -> list[bytes]:
        return [base64.b64decode(line) for line in self._call("lines", selector=selector)]

    def entries(self, selector: str = "{}") -> list[tuple[dict[str, str], int, str, dict[str, str]]]:
        return [(row[0], row[1], row[2], row[3]) for row in self._call("entries", selector=selector)]

    def streams(self) -> list[dict[str, str]]:
        return list(self._call("streams"))

    def tally(self, expected: int, selector: str = "{}", pattern: str = NUMBERED) -> Tally:
        return Tally(**self._call("tally", expected=expected, selector=selector, pattern=pattern))

    def stats(self) -> dict[str, Any]:
        return dict(self._call("stats"))

    @property
    def pid(self) -> int:
        return self._process.pid

    def flush(self) -> None:
        """Nothing: what is stored is found at any age."""

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _call(self, verb: str, **arguments: Any) -> Any:
        request = urllib.request.Request(f"{self._control}/control/{verb}", json.dumps(arguments).encode())
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)
