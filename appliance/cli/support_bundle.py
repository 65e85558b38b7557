"""`appliance support-bundle`: one file with diagnostics for support, without secrets."""

import time
from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: appliance support-bundle --out /tmp"


def command(
    out: Annotated[
        Path, typer.Option("--out", help="Directory or file to write to.", metavar="PATH", show_default=False)
    ] = Path("."),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    root: Annotated[Path, typer.Option("--root", hidden=True)] = Path("/"),
) -> None:
    """Collect diagnostics for support, without secrets: review it before you send it."""
    from appliance.cli.given import fetch_line, give, refuse_present
    from appliance.host.addresses import own_addresses
    from appliance.host.layout import Layout
    from appliance.host.support import collect

    path = out / f"support-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz" if out.is_dir() else out
    refuse_present([path], force=force)
    written = give(path, collect(Layout(root.absolute())), force=force)
    size = written.stat().st_size // 1024
    typer.echo(f"{written} ({size} KiB). Secrets were left out; log lines of other machines may be in it.")
    typer.echo(f"Fetch it with: {fetch_line([written], own_addresses())}")
