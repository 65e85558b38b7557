"""`appliance status`: the health of this forwarder, and what to do about problems."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: appliance status --watch. Exit code 0: OK, 1: WARNING, 2: CRITICAL."


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; its names are stable.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh continuously, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option("--interval", help="Seconds between refreshes.", min=0.5)] = 2.0,
    root: Annotated[Path, typer.Option("--root", hidden=True)] = Path("/"),
) -> int:
    """Show the health of this forwarder, and what to do about problems."""
    from appliance.cli.status_text import show

    return show(as_json=as_json, watch=watch, interval=interval, root=root)
