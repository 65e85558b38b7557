"""`appliance status`: whether all is well, and if not, what to do."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: appliance status --watch. Exit code 0: OK, 1: WARNING, 2: CRITICAL."


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; its names are stable.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option("--interval", help="Seconds between two looks.", min=0.5)] = 2.0,
    root: Annotated[Path, typer.Option("--root", hidden=True)] = Path("/"),
) -> int:
    """Show whether all is well, and if not, what to do."""
    from appliance.cli.status_text import show

    return show(as_json=as_json, watch=watch, interval=interval, root=root)
