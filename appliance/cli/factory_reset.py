"""`appliance factory-reset`: remove all settings, accounts and secrets, and all logs if asked to."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from appliance.errors import ApplianceError, UsageError

EXAMPLE = "Example: appliance factory-reset --logs"


def command(
    logs: Annotated[
        bool, typer.Option("--logs", help="Also remove the lines that Loki has not accepted yet, and the journal.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    restart: Annotated[bool, typer.Option("--restart/--no-restart", help="Reboot the machine afterwards.")] = True,
    root: Annotated[Path, typer.Option("--root", help="Work below this directory, and restart nothing.")] = Path("/"),
) -> int:
    """Return this machine to its installed state: no settings, accounts, secrets, certificates or keys."""
    import os

    from appliance.host.apply import host_at
    from appliance.host.reset import forgotten, forgotten_accounts, reset
    from appliance.host.runner import run

    host = host_at(root)
    if host.services and os.geteuid() != 0:
        raise ApplianceError("only root may reset this machine", hint="run the command with sudo")
    typer.echo("This removes:")
    for name in forgotten_accounts(host.layout):
        typer.echo(f"  the account {name} and its home directory")
    for path in forgotten(host.layout, logs=logs):
        typer.echo(f"  {path}")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("no terminal to confirm on", hint="add --yes to reset without confirmation")
        if typer.prompt("Type reset to continue") != "reset":
            typer.echo("nothing was changed")
            return 1
    left = reset(host, logs=logs, progress=typer.echo)
    if left:
        raise ApplianceError(
            f"these accounts are locked but could not be removed: {', '.join(left)}",
            hint="end their sessions, then run the reset again",
        )
    if host.services and restart:
        run(["systemctl", "--no-block", "reboot"])
    else:
        typer.echo("done; reboot the machine")
    return 0
