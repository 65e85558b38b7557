"""`appliance support-bundle`: one file with what a supporter needs, without secrets."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from appliance.errors import UsageError

EXAMPLE = "Example: appliance support-bundle --out /tmp"


def command(
    out: Annotated[
        Path, typer.Option("--out", help="Directory or file to write to.", metavar="PATH", show_default=False)
    ] = Path("."),
    root: Annotated[Path, typer.Option("--root", hidden=True)] = Path("/"),
) -> None:
    """Collect what a supporter needs, without secrets: read it before you send it."""
    from appliance.host.layout import Layout
    from appliance.host.support import collect

    path = out / f"support-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz" if out.is_dir() else out
    content = collect(Layout(root.absolute()))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="name a directory with --out") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    typer.echo(f"{path} ({len(content) // 1024} KiB). Secrets were left out; log lines of others may be in it.")
