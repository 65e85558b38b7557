"""Running the system's programs: always with a time limit, never through a shell.

`Runner` is what the rest of the host asks; tests and the fake root pass one that only takes notes.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said. `code` is its exit status; 127 when it is not installed, 124 when it took too long."""

    code: int
    out: str = ""
    err: str = ""

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def reason(self) -> str:
        """Return the last line that says something."""
        lines = [line.strip() for line in f"{self.out}\n{self.err}".splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {self.code}"


class Runner(Protocol):
    def __call__(self, argv: Sequence[str], *, timeout: float = 60, stdin: str | None = None) -> Answer: ...


def run(argv: Sequence[str], *, timeout: float = 60, stdin: str | None = None) -> Answer:
    """Run a program to its end; never raises for what the program or its absence does."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
    # A frozen one-file program points the loader at its own libraries; the system's programs need theirs.
    if "LD_LIBRARY_PATH_ORIG" in environment:
        environment["LD_LIBRARY_PATH"] = environment.pop("LD_LIBRARY_PATH_ORIG")
    elif getattr(sys, "frozen", False):
        environment.pop("LD_LIBRARY_PATH", None)
    environment["PATH"] = environment.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
    try:
        done = subprocess.run(
            list(argv), input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout,
            env=environment, check=False, stdin=None if stdin is not None else subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        return Answer(127, err=f"{argv[0]} is not installed")
    except subprocess.TimeoutExpired:
        return Answer(124, err=f"{argv[0]} gave no answer within {timeout:g} s")
    except OSError as error:
        return Answer(126, err=f"{argv[0]} cannot be run: {error.strerror}")
    return Answer(done.returncode, done.stdout, done.stderr)


@dataclass
class Notes:
    """A runner that does nothing and remembers what it was asked; for a fake root and for tests."""

    asked: list[tuple[str, ...]] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)  # by the first words of the command

    def __call__(self, argv: Sequence[str], *, timeout: float = 60, stdin: str | None = None) -> Answer:
        self.asked.append(tuple(argv))
        line = " ".join(argv)
        return next((answer for prefix, answer in self.answers.items() if line.startswith(prefix)), Answer(0))
