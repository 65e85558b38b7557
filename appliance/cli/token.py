"""`appliance token …`: bearer tokens for clients of the push API, kept as secrets of this machine."""

import re
import secrets
from pathlib import Path
from typing import Annotated

import typer

from appliance.errors import ApplianceError, UsageError
from appliance.host.layout import SECRETS, Layout

app = typer.Typer(help="Tokens for clients that push.", add_completion=False, rich_markup_mode=None)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_BYTES = 32  # of chance; 43 characters

Root = Annotated[Path, typer.Option("--root", help="Work below this directory.")]


@app.callback(epilog="Example: appliance token new k8s-prod")
def _top() -> None:
    """Tokens for clients that push."""


@app.command(epilog="Example: appliance token new k8s-prod --tenant prod")
def new(
    name: Annotated[str, typer.Argument(help="Name of the client, as under relay.push.clients.")],
    tenant: Annotated[str | None, typer.Option("--tenant", help="Tenant that it pushes for; ours when absent.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Make a new token in place of the one there is.")] = False,
    root: Root = Path("/"),
) -> None:
    """Make a token, keep it as a file of mode 0600, and print what to paste on both sides.

    The token is shown this once. One that is replaced is no longer taken, without a restart.
    """
    from appliance.host.system.secrets import write_secret

    if not _NAME.fullmatch(name):
        raise UsageError(f"{name} is no name for a client", hint="letters, digits, _, . and -, such as k8s-prod")
    layout = Layout(root.absolute())
    if layout.at(f"{SECRETS}/{name}").exists() and not replace:
        raise ApplianceError(f"{SECRETS}/{name} already exists", hint="another name, or --replace")
    token = secrets.token_urlsafe(_BYTES)
    try:
        path = write_secret(layout, name, token)
    except PermissionError:
        raise ApplianceError("only root may write secrets", hint="run the command with sudo") from None
    given = f", tenant: {tenant}" if tenant else ""
    typer.echo(f"""The client sends this header, by whichever setting it has for it:

    Authorization: Bearer {token}

  Promtail    bearer_token: {token}
  Alloy       bearer_token = "{token}"
  Fluent Bit  header Authorization Bearer {token}
  OTLP        headers: {{Authorization: "Bearer {token}"}}

This forwarder, by `appliance config edit`:

relay:
  push:
    clients:
      - {{name: {name}, token_file: {path}{given}}}""")
