"""How the steps of a check are shown: OK, WARNING or CRITICAL, what was found, and what to do."""

import os
import sys
from typing import Protocol

import typer

from appliance.host.status.remedy import Reader, addressed
from appliance.severity import OF_FINDING, WIDTH

_COLORS = {True: "green", None: "yellow", False: "red"}


class Finding(Protocol):
    """A step of any check; `ok` None means that it deserves attention but breaks nothing."""

    @property
    def step(self) -> str:
        """Return what was checked."""

    @property
    def ok(self) -> bool | None:
        """Its state."""

    @property
    def detail(self) -> str:
        """Return what was seen."""

    @property
    def remedy(self) -> str:
        """Return what to do, empty when nothing."""


def reader() -> Reader:
    """Return who reads: root, or somebody who has to begin some commands with sudo."""
    return Reader.ROOT if os.geteuid() == 0 else Reader.USER


def show(finding: Finding) -> None:
    """Write one finding to standard output, in color on a terminal."""
    word = typer.style(f"{OF_FINDING[finding.ok]:{WIDTH}}", fg=_COLORS[finding.ok])
    typer.echo(f"{word}  {finding.step}: {finding.detail}")
    if finding.remedy:
        typer.echo(f"{'':{WIDTH}}  -> {addressed(finding.remedy, reader())}")
    sys.stdout.flush()
