"""`appliance console`: the dashboard of the machine's console, and the wizard before it is set up."""

import sys
from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: appliance console. It is what runs on tty1 and on the serial line."


def command(
    root: Annotated[
        Path, typer.Option("--root", help="Work on the files below this directory, and restart nothing.")
    ] = Path("/"),
) -> int:
    """Show how the forwarder is, and lead to everything else; before it is set up, the wizard."""
    # The frozen program needs a while on a slow machine: nobody should look at a black screen.
    sys.stdout.write("  Starting the console ... (a few seconds; on a slow machine a minute)\n")
    sys.stdout.flush()
    from tui.machine import Machine
    from tui.run import console

    return console(Machine(root))
