"""`appliance console`: says that it comes, and comes. Kept free of the command line's library."""

import gc
import sys
from importlib import import_module
from pathlib import Path


def run_console(root: Path) -> int:
    """Run the interface until it is left; return the exit code."""
    # The frozen program needs a while on a slow machine: nobody should look at a black screen.
    sys.stdout.write("  Starting the console ...\n")
    sys.stdout.flush()
    # Of what is imported nothing is garbage; to look for it takes a fifth of the time.
    gc.disable()
    import_module("tui.app")
    gc.freeze()
    gc.enable()
    from tui.machine import Machine
    from tui.run import console

    return console(Machine(root))
