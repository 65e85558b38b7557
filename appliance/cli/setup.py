"""`appliance setup`: the wizard, or its answers from a file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: appliance setup --answers answers.yaml --apply"


def command(
    answers: Annotated[
        Path | None,
        typer.Option(
            "--answers",
            help="A file in the form of appliance.yaml; `secrets` may hold loki_password, loki_token and "
            "administrator_password in clear, if its mode is 0600.",
            metavar="FILE",
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Apply the answers without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    root: Annotated[
        Path, typer.Option("--root", help="Work on the files below this directory, and restart nothing.")
    ] = Path("/"),
) -> int:
    """Set up this forwarder, question by question, or with answers from a file."""
    from appliance.errors import UsageError

    if (apply or dry_run) and answers is None:
        raise UsageError("there are no answers", hint="name their file with --answers FILE")
    if answers is None or not (apply or dry_run):
        sys.stdout.write("Starting the setup ...\n")
        sys.stdout.flush()
    from tui.machine import Machine
    from tui.run import answers_from, console, set_up

    machine = Machine(root)
    state = answers_from(answers, machine) if answers else None
    if state is not None and (apply or dry_run):
        return set_up(state, dry_run=dry_run)
    return console(machine, wizard=True, state=state)
