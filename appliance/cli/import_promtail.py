"""`appliance import-promtail`: Promtail's file in, ours out, and a word on what was left behind."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from appliance.config.load import read
from appliance.errors import ApplianceError, UsageError

EXAMPLE = "Example: appliance import-promtail promtail.yml --output appliance.yaml"


def command(
    file: Annotated[Path, typer.Argument(help="Promtail's configuration.", metavar="FILE")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; standard output when absent.", metavar="FILE")
    ] = None,
) -> None:
    """Make an appliance.yaml of Promtail's configuration.

    Clients, syslog targets and relabelling are carried over. What cannot be is said line by line on
    standard error. Secrets are never copied.
    """
    from appliance.config.promtail import convert

    conversion = convert(read(file))
    for note in conversion.notes:
        sys.stderr.write(f"{file}: {note}\n")
    if output is None:
        typer.echo(conversion.text, nl=False)
    else:
        try:
            with output.open("x") as written:
                written.write(conversion.text)
        except FileExistsError:
            raise UsageError(f"{output} is there already", hint="name another file, or remove it first") from None
        except OSError as error:
            raise UsageError(f"{output} cannot be written: {error.strerror}") from None
    if conversion.problems is not None:
        message = conversion.problems.message
        raise ApplianceError(message, hint="fix what is listed, then: appliance config validate FILE")
