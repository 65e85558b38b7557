"""`appliance sources xcp-ng --pool HOST`: what would change on each host, the change, and who is heard afterwards."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from appliance.errors import ApplianceError, UsageError

if TYPE_CHECKING:
    from appliance.sources.forwarder import Forwarder
    from appliance.sources.pool.onboard import Change, Host
    from appliance.sources.pool.xapi import Trust, Xapi

_USUAL_STATUS = "http://127.0.0.1:9081/status"


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for on the command line."""

    pool: str
    port: int = 443
    user: str = "root"
    password_file: Path | None = None
    ca: Path | None = None
    fingerprint: str = ""
    apply: bool = False
    restore: bool = False
    wait: float = 60.0
    status_url: str = ""


def onboard(request: Request, at: "Forwarder") -> None:
    """Show or make the changes. Raise ApplianceError when one failed or a host stays silent."""
    from appliance.sources.pool.onboard import carry_out, hosts, plan_restore, plan_set

    destination = _destination(at)

    with _session(request) as pool:
        found = hosts(pool)
        changes = plan_restore(found) if request.restore else plan_set(found, destination)
        _show(request, changes)
        if not request.apply:
            typer.echo("\nNothing was changed. To do it: the same command with --apply.")
            return
        before = {} if request.restore else _senders(request)
        failed = []
        for done in carry_out(pool, changes):
            name, wanted = done.change.host.name, done.change.wanted
            if done.trouble:
                failed.append(name)
                typer.echo(f"  {name}: FAILED: {done.trouble}")
            else:
                typer.echo(f"  {name}: sends to {wanted}" if wanted else f"  {name}: sends nowhere")
    silent = [] if request.restore else _wait(request, [h for h in found if h.name not in failed], before)
    if failed:
        hint = "what was changed stays; run it again, or undo it with --restore --apply"
        raise ApplianceError(
            f"{len(failed)} of {len(found)} hosts could not be changed: {', '.join(failed)}", hint=hint
        )
    if silent:
        hint = "on such a host: cat /etc/rsyslog.d/remote.conf; logger test; and is the way here open?"
        raise ApplianceError(f"no line came from {', '.join(silent)} within {request.wait:.0f} s", hint=hint)


def _destination(at: "Forwarder") -> str:
    from appliance.sources.recipes.xcp_ng import by_tcp, by_udp

    if at.udp is None and at.tcp is None:
        hint = "switch listeners.udp on here first: XCP-ng hosts send over UDP"
        raise UsageError("this forwarder has no listener for XCP-ng hosts", hint=hint)
    return by_udp(at) if at.udp is not None else by_tcp(at)


def _session(request: Request) -> "Xapi":
    from appliance.sources.pool.xapi import Xapi

    return Xapi(request.pool, request.port, _trust(request), request.user, _password(request))


def _trust(request: Request) -> "Trust":
    from appliance.sources.pool.xapi import Trust, normalized

    if request.ca is not None and request.fingerprint:
        raise UsageError("--pool-ca and --fingerprint say the same in two ways", hint="leave out one of them")
    if request.fingerprint:
        seen = normalized(request.fingerprint)
        if len(seen) != 64 or set(seen) - set("0123456789abcdef"):
            raise UsageError("the fingerprint is not a SHA-256", hint="64 hexadecimal digits, with or without colons")
        return Trust(fingerprint=seen)
    if request.ca is None:
        return Trust()
    try:
        return Trust(authority=request.ca.read_text("ascii"))
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{request.ca} cannot be read as PEM", hint="the certificate of the pool's hosts") from None


def _password(request: Request) -> str:
    if request.password_file is None:
        import getpass

        return getpass.getpass(f"Password of {request.user} on {request.pool}: ")
    try:
        return request.password_file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{request.password_file} cannot be read", hint="a file with the password") from None


def _show(request: Request, changes: "list[Change]") -> None:
    typer.echo(f"Pool of {request.pool}: {len(changes)} {'host' if len(changes) == 1 else 'hosts'}")
    for change in changes:
        now = change.host.destination or "nowhere"
        then = "stays" if change.action == "keep" else f"then {change.wanted or 'nowhere'}"
        typer.echo(f"  {change.host.name:24} {change.host.address:16} sends to {now}; {then}")


def _senders(request: Request) -> dict[str, float]:
    from appliance.sources.pool.first_lines import senders_of

    return senders_of(request.status_url or _USUAL_STATUS) if request.wait > 0 else {}


def _wait(request: Request, found: "list[Host]", before: dict[str, float]) -> list[str]:
    """Return the names of the hosts that stay silent."""
    from appliance.sources.pool.first_lines import wait_for

    if request.wait <= 0 or not found:
        return []
    typer.echo(f"Waiting up to {request.wait:.0f} s for each host's first line")
    silent = []
    latest = before

    def senders() -> dict[str, float]:
        nonlocal latest
        with contextlib.suppress(ApplianceError):  # a relay that reloads answers again in a moment
            latest = _senders(request)
        return latest

    for one in wait_for(found, before, senders, timeout=request.wait):
        typer.echo(f"  {one.host.name}: {'heard' if one.heard else 'SILENT'}")
        if not one.heard:
            silent.append(one.host.name)
    return silent
