"""`appliance factory-reset`: forget all settings, and all logs if asked to."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from appliance.errors import ApplianceError, UsageError

EXAMPLE = "Example: appliance factory-reset --logs"


def command(
    logs: Annotated[bool, typer.Option("--logs", help="Forget also the lines that Loki has not taken yet.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    restart: Annotated[bool, typer.Option("--restart/--no-restart", help="Restart the machine afterwards.")] = True,
    root: Annotated[Path, typer.Option("--root", help="Work below this directory, and restart nothing.")] = Path("/"),
) -> int:
    """Make this machine as it was installed: no settings, secrets, certificates, keys."""
    import os

    from appliance.host.apply import host_at
    from appliance.host.reset import forgotten, reset
    from appliance.host.runner import run

    host = host_at(root)
    if host.services and os.geteuid() != 0:
        raise ApplianceError("only root may reset this machine", hint="run the command with sudo")
    typer.echo("This forgets:")
    for path in forgotten(host.layout, logs=logs):
        typer.echo(f"  {path}")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody can be asked here", hint="say --yes if you mean it")
        if typer.prompt("Type reset to go on") != "reset":
            typer.echo("nothing was changed")
            return 1
    reset(host, logs=logs, progress=typer.echo)
    if host.services and restart:
        run(["systemctl", "--no-block", "reboot"])
    else:
        typer.echo("done; restart the machine")
    return 0
