"""How the steps of a check are shown: a tick, a cross or a mark, what was found, and what to do."""

import sys
from typing import Protocol

import typer


class Finding(Protocol):
    """A step of any check; `ok` None means that it is worth a look but keeps nothing from working."""

    @property
    def step(self) -> str:
        """What was looked at."""

    @property
    def ok(self) -> bool | None:
        """How it is."""

    @property
    def detail(self) -> str:
        """What was seen."""

    @property
    def remedy(self) -> str:
        """What to do, empty when nothing."""


def show(finding: Finding) -> None:
    """Write one finding to standard output, in colour on a terminal."""
    ticks = "✓✗!" if (sys.stdout.encoding or "").lower().startswith("utf") else "+x!"
    tick, colour = {True: (ticks[0], "green"), False: (ticks[1], "red"), None: (ticks[2], "yellow")}[finding.ok]
    typer.echo(f"{typer.style(tick, fg=colour)} {finding.step}: {finding.detail}")
    if finding.remedy:
        typer.echo(f"    {finding.remedy}")
