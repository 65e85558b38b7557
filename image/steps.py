"""Named steps with times on the terminal, everything else in a log file.

A step that runs a program sends its output to the log; when the program fails the error carries the
last lines that matter. Knows nothing about images.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from appliance.errors import ApplianceError

# Lines of a long log that tell why something failed; what follows a failure is mostly cleaning up.
_TELLING = re.compile(
    r"\b(E:|error|fatal|failed|cannot|can't|unable|not found|no space|denied|missing|traceback|exception)",
    re.IGNORECASE,
)
_NOISE = re.compile(r"Trapping|dib-run-parts|cleanup|umount|DEBUG|INFO|\bperl: warning", re.IGNORECASE)
_TELLING_LINES = 8


class StepFailed(ApplianceError):
    """A program that a step ran has failed; `lines` are the last of its output that matter."""

    def __init__(self, message: str, *, lines: Sequence[str] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.lines = list(lines)


class Steps:
    """The progress of one build: prints each step with its time, logs the rest.

    `log` receives every line of every program. `out` is where progress is printed.
    """

    def __init__(self, log: Path, out: TextIO = sys.stderr) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log_path = log
        self._log = log.open("w", encoding="utf-8", errors="replace")
        self._out = out
        self._began = time.monotonic()
        self._number = 0
        self.times: list[tuple[str, float]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step and, when it is over, how long it took (seconds)."""
        self._number += 1
        began = time.monotonic()
        self.note(f"==> {self._number}. {name}")
        try:
            yield
        finally:
            took = time.monotonic() - began
            self.times.append((name, took))
            self.note(f"    {took:.1f} s")

    def note(self, text: str) -> None:
        """One line for the terminal and the log."""
        self._out.write(text + "\n")
        self._out.flush()
        self._log.write(text + "\n")
        self._log.flush()

    def total_seconds(self) -> float:
        return time.monotonic() - self._began

    def run(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        what: str = "",
        timeout: float = 1800.0,
    ) -> str:
        """Run a program, its output in the log and returned. Raise StepFailed.

        The program and all its children die with this process, however it ends: `setpriv` asks the
        kernel for it, so that a killed build leaves nothing running.
        """
        words = [os.fspath(word) for word in command]
        name = what or Path(words[0]).name
        self._log.write(f"$ {' '.join(words)}\n")
        self._log.flush()
        try:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
                text=True,
                errors="replace",
            )
        except FileNotFoundError as error:
            raise StepFailed(f"{words[0]} is not installed", hint="run ./build.sh, which installs it") from error
        output: list[str] = []
        assert process.stdout is not None
        deadline = time.monotonic() + timeout
        try:
            for line in process.stdout:
                self._log.write(line)
                output.append(line.rstrip("\n"))
                if time.monotonic() > deadline:
                    raise StepFailed(f"{name} took longer than {timeout:.0f} s", lines=output[-_TELLING_LINES:])
            self._log.flush()
            status = process.wait(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if status != 0:
            cause = f"signal {-status}" if status < 0 else f"status {status}"
            raise StepFailed(
                f"{name} failed ({cause})", lines=telling_lines(output), hint=f"all of it: {self.log_path}"
            )
        return "\n".join(output)

    def close(self) -> None:
        self._log.close()


def telling_lines(output: Sequence[str], limit: int = _TELLING_LINES) -> list[str]:
    """Return the last lines that say why; the very last ones when none says anything."""
    lines = [line for line in output if line.strip() and not _NOISE.search(line)]
    telling = [line for line in lines if _TELLING.search(line)]
    return (telling or lines or list(output))[-limit:]
