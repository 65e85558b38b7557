"""`appliance console`: the dashboard of the machine's console, and the wizard before it is set up."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: appliance console. It is what runs on tty1 and on the serial line."


def command(
    root: Annotated[
        Path, typer.Option("--root", help="Work on the files below this directory, and restart nothing.")
    ] = Path("/"),
) -> int:
    """Show the status of the forwarder, and lead to everything else; before setup, the wizard."""
    from appliance.cli.console_process import run_console

    return run_console(root)
