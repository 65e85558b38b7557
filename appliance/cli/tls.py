"""`appliance tls …`: certificates of this forwarder and of its senders. The work is `appliance.host.tls`."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from appliance.errors import ApplianceError, UsageError
from appliance.host.layout import Layout

if TYPE_CHECKING:
    from appliance.config.model import Config

app = typer.Typer(help="Certificates of this forwarder and its senders.", add_completion=False, rich_markup_mode=None)

Root = Annotated[Path, typer.Option("--root", help="Work below this directory, and restart nothing.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
SLASH = Path("/")


@app.command(epilog="Example: appliance tls init")
def init(root: Root = SLASH) -> None:
    """Make this forwarder's own CA and server certificate, where they are missing."""
    renew(root=root)


@app.command(epilog="Example: appliance tls renew")
def renew(
    root: Root = SLASH,
    force: Annotated[bool, typer.Option("--force", help="Renew even if not near expiry.")] = False,
) -> None:
    """Renew our own server certificate when it expires soon or names no longer fit. Run daily by a timer.

    A certificate that was imported is left alone. Only rsyslog is restarted, and only if it changed.
    """
    from appliance.host.addresses import own_addresses
    from appliance.host.apply.lock import apply_lock
    from appliance.host.tls.own import RENEW_BEFORE, ensure_own
    from appliance.host.tls.store import TlsStore

    layout = Layout(root.absolute())
    config = _config(layout)
    addresses = own_addresses() if layout.is_machine else []
    now = datetime.now(UTC)
    with apply_lock(layout):
        done = ensure_own(TlsStore(layout), config, addresses, now, now + RENEW_BEFORE * 100 if force else None)
    typer.echo(done or "nothing to renew")
    if done:
        _reload(layout)


@app.command(epilog="Example: appliance tls show")
def show(root: Root = SLASH) -> None:
    """Show the certificates in use: names, who issued them, when they end."""
    from appliance.host.tls.judge import describe
    from appliance.host.tls.store import TlsStore

    store = TlsStore(Layout(root.absolute()))
    found = False
    for title, path in (
        ("Server", store.path / "server.crt"),
        ("CA certificate for TLS senders", store.path / "ca.crt"),
    ):
        if not path.exists():
            continue
        found = True
        facts = describe(path.read_bytes())
        left = (facts.not_after - datetime.now(UTC)).days
        typer.echo(f"{title}: {facts.subject}")
        typer.echo(f"  names        {', '.join(facts.names) or '-'}")
        typer.echo(f"  issued by    {facts.issuer}")
        typer.echo(f"  key          {facts.key}")
        typer.echo(f"  valid until  {facts.not_after:%Y-%m-%d} ({left} days)" + ("  EXPIRED" if left < 0 else ""))
        typer.echo(f"  SHA-256      {facts.fingerprint}")
    if (store.path / "request.csr").exists():
        typer.echo(f"A request waits for its certificate: {store.path / 'request.csr'}")
    if not found:
        raise ApplianceError("there are no certificates yet", hint="run `appliance tls init` to make them")


@app.command("import", epilog="Example: appliance tls import server.p12 --password-file pass.txt")
def import_(
    file: Annotated[Path, typer.Argument(help="PEM or PKCS #12 file of the certificate.", metavar="FILE")],
    key: Annotated[Path | None, typer.Option("--key", help="PEM file of its key, when it is not in FILE.")] = None,
    chain: Annotated[Path | None, typer.Option("--chain", help="PEM file of its CA certificates.")] = None,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="File with the password of FILE; - to be asked.")
    ] = None,
    root: Root = SLASH,
) -> None:
    """Use a certificate from another CA. One that would not work is refused, with the reason.

    A certificate that answers `tls csr` needs no key: ours is here.
    """
    from appliance.host.apply.lock import apply_lock
    from appliance.host.tls.judge import describe, sound_pair
    from appliance.host.tls.store import TlsStore

    layout = Layout(root.absolute())
    store = TlsStore(layout)
    data = _bytes(file)
    private = _bytes(key) if key else None
    waiting = store.request_key() if private is None and b"PRIVATE KEY" not in data and data[:2] != b"0\x82" else None
    pair, doubts = sound_pair(
        data,
        private if private is not None else waiting,
        datetime.now(UTC),
        password=_password(password_file),
        chain=_bytes(chain) if chain else b"",
    )
    with apply_lock(layout):
        store.set_server(pair)
        if waiting is not None:
            store.clear_request()
    for doubt in doubts:
        sys.stderr.write(f"warning: {doubt}\n")
    facts = describe(pair.certificate)
    typer.echo(f"in use now: {facts.subject}, valid until {facts.not_after:%Y-%m-%d}")
    _reload(layout)


@app.command(epilog="Example: appliance tls csr > forwarder.csr")
def csr(
    name: Annotated[
        list[str] | None, typer.Option("--name", help="Host name or address to be in it; ours when absent. Repeatable.")
    ] = None,
    root: Root = SLASH,
) -> None:
    """Make a key and print a certificate request for another CA. `tls import` takes the certificate."""
    from appliance.host.addresses import own_addresses
    from appliance.host.tls.issue import new_key, request
    from appliance.host.tls.own import server_names
    from appliance.host.tls.store import TlsStore

    layout = Layout(root.absolute())
    store = TlsStore(layout)
    names = name or server_names(_config(layout), own_addresses() if layout.is_machine else [])
    private = store.request_key() or new_key()
    text = request(private, names)
    store.set_request(private, text)
    typer.echo(text.decode(), nl=False)


@app.command("export-ca", epilog="Example: appliance tls export-ca forwarder-ca.crt")
def export_ca(
    file: Annotated[Path | None, typer.Argument(help="Where to write it; the screen when absent.")] = None,
    force: Force = False,
    root: Root = SLASH,
) -> None:
    """Print the CA certificate that senders have to trust, or write it to a file."""
    from appliance.host.tls.judge import describe, issued_by
    from appliance.host.tls.store import TlsStore

    path = TlsStore(Layout(root.absolute())).path
    if not (path / "ca.crt").exists():
        raise ApplianceError("there is no CA of our own", hint="run `appliance tls init` to make one")
    pem = (path / "ca.crt").read_bytes()
    server = path / "server.crt"
    if server.exists() and not issued_by(server.read_bytes(), pem):
        sys.stderr.write(
            "warning: the server certificate in use is not ours: senders have to trust "
            f"{describe(server.read_bytes()).issuer}; this one is for client certificates\n"
        )
    if file is None:
        typer.echo(pem.decode(), nl=False)
        return
    from appliance.cli.given import fetch_line, give
    from appliance.host.addresses import own_addresses

    written = give(file, pem, 0o644, force=force)
    typer.echo(f"{written}: SHA-256 {describe(pem).fingerprint}")
    typer.echo(f"Fetch it with: {fetch_line([written], own_addresses())}")


@app.command(epilog="Example: appliance tls client nas1.example.org --out /root")
def client(
    name: Annotated[str, typer.Argument(help="Name of the sender, as in permitted_names and relay.push.clients.")],
    out: Annotated[Path, typer.Option("--out", help="Directory for NAME.crt, NAME.key and ca.crt.")] = Path("."),
    force: Force = False,
    root: Root = SLASH,
) -> None:
    """Make a certificate and key for a sender, and print what to paste on both sides."""
    issue_client(name, out, force, root)
    typer.echo(f"""
The sender, which trusts ca.crt and shows {name}.crt:

  rsyslog     global(DefaultNetstreamDriverCAFile="ca.crt"
                DefaultNetstreamDriverCertFile="{name}.crt" DefaultNetstreamDriverKeyFile="{name}.key")
  Promtail    tls_config: {{ca_file: ca.crt, cert_file: {name}.crt, key_file: {name}.key}}
  Alloy       tls_config {{ ca_file = "ca.crt"  cert_file = "{name}.crt"  key_file = "{name}.key" }}
  Fluent Bit  tls on, tls.ca_file ca.crt, tls.crt_file {name}.crt, tls.key_file {name}.key

This forwarder, by `appliance config edit`, for what it uses of these:

listeners:
  tls: {{tls: {{client_certificates: names, permitted_names: [{name}]}}}}
relay:
  push:
    tls: {{client_certificates: ca}}
    clients:
      - {{name: {name}}}""")


@app.command("issue-client", hidden=True, epilog="Example: appliance tls issue-client nas1.example.org --out /root")
def issue_client(
    name: Annotated[str, typer.Argument(help="Name of the sender, as in permitted_names.")],
    out: Annotated[Path, typer.Option("--out", help="Directory for NAME.crt, NAME.key and ca.crt.")] = Path("."),
    force: Force = False,
    root: Root = SLASH,
) -> None:
    """Issue a certificate and key to a sender: `tls client` under its former name, without lines to paste.

    The files belong to the user who asked, even with sudo. Issuing a name again needs --force: its key of
    before is overwritten, and its certificate stays valid until it ends.
    """
    from appliance.cli.given import fetch_line, give, refuse_present
    from appliance.config.check_system import host_name_fault
    from appliance.host.addresses import own_addresses
    from appliance.host.tls.own import issue_to_sender
    from appliance.host.tls.store import TlsStore

    if host_name_fault(name):
        raise UsageError(f"{name} is not a host name", hint="such as nas1 or nas1.example.org")
    store = TlsStore(Layout(root.absolute()))
    key, certificate, authority = out / f"{name}.key", out / f"{name}.crt", out / "ca.crt"
    refuse_present([key, certificate], force=force)  # before anything is issued
    pair = issue_to_sender(store, name)
    ca = (store.path / "ca.crt").read_bytes()
    same = authority.is_file() and not authority.is_symlink() and authority.read_bytes() == ca
    if not same:
        refuse_present([authority], force=force)
    written = [give(key, pair.key, 0o600, force=force), give(certificate, pair.certificate, 0o644, force=force)]
    written.append(authority.absolute() if same else give(authority, ca, 0o644, force=force))
    for path in written:
        typer.echo(str(path))
    typer.echo("Copy them to the sender over a secure channel, for instance there with:")
    typer.echo(f"  {fetch_line(written, own_addresses())}")


# ---- pieces ---------------------------------------------------------------------------------


def _config(layout: Layout) -> "Config":
    from appliance.config.load import load

    return load(layout.config)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def _password(path: Path | None) -> str | None:
    if path is None:
        return None
    if str(path) == "-":
        import getpass

        return getpass.getpass("Password of the file: ")
    return _bytes(path).decode(errors="replace").rstrip("\r\n")


def _reload(layout: Layout) -> None:
    """Let rsyslog and the relay take the new certificate, if they use one of ours at all."""
    if not layout.is_machine:
        return
    from appliance.host.runner import run
    from appliance.host.system.ports import rsyslog_uses_own_certificate
    from appliance.host.system.secrets import hand_certificate_to_relay

    hand_certificate_to_relay(_config(layout), layout)
    if rsyslog_uses_own_certificate(_config(layout)):
        answer = run(["systemctl", "try-restart", "rsyslog.service"])
        if not answer.ok:
            raise ApplianceError(
                f"rsyslog did not take the new certificate: {answer.reason}", hint="`appliance status`"
            )
