"""`appliance sources [KIND]`: the exact lines to paste into what sends logs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from appliance.config.load import DEFAULT_PATH, load
from appliance.errors import UsageError

if TYPE_CHECKING:
    from appliance.sources.forwarder import Forwarder, Transport
    from appliance.sources.recipe import Kind, Recipe

EXAMPLE = "Example: appliance sources vyos --address 192.0.2.9"

Format = Literal["text", "markdown", "json"]
AgentName = Literal["alloy", "fluent-bit"]


def command(
    kind: Annotated[
        str | None, typer.Argument(help="The kind of sender; the list of kinds when absent, `all` for all of them.")
    ] = None,
    address: Annotated[
        str, typer.Option("--address", help="Address or name by which senders reach this forwarder; found when absent.")
    ] = "",
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The configuration.", metavar="FILE")] = None,
    listener: Annotated[
        list[str] | None,
        typer.Option(
            "--listener",
            help="Without a configuration: what is open, as NAME or NAME=PORT (udp, tcp, tls, relp, relp_tls, push); "
            "all at their usual ports when absent. Repeatable.",
            metavar="NAME[=PORT]",
        ),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option("--ca", help="PEM file of the authority to trust; ours when absent.", metavar="FILE")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="Output format.")] = "text",
    agent: Annotated[AgentName, typer.Option("--agent", help="kubernetes: the agent of the manifests.")] = "alloy",
    manifests: Annotated[
        bool, typer.Option("--manifests", help="kubernetes: nothing but the manifests, for kubectl apply -f -.")
    ] = False,
    kustomize: Annotated[
        Path | None,
        typer.Option("--kustomize", help="kubernetes: write them as files for Kustomize.", metavar="DIRECTORY"),
    ] = None,
    loki: Annotated[str, typer.Option("--loki", help="kubernetes: push to this Loki directly.", metavar="URL")] = "",
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="kubernetes: the token to push with.", metavar="FILE")
    ] = None,
    pool: Annotated[
        str, typer.Option("--pool", help="xcp-ng: set it on all hosts of the pool that this one is of.", metavar="HOST")
    ] = "",
    pool_port: Annotated[int, typer.Option("--pool-port", help="xcp-ng: XAPI's port.", min=1, max=65535)] = 443,
    user: Annotated[str, typer.Option("--user", help="xcp-ng: who logs in.")] = "root",
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", help="xcp-ng: file with the password; asked when absent.", metavar="FILE"),
    ] = None,
    pool_ca: Annotated[
        Path | None, typer.Option("--pool-ca", help="xcp-ng: PEM file to trust the pool by.", metavar="FILE")
    ] = None,
    fingerprint: Annotated[
        str, typer.Option("--fingerprint", help="xcp-ng: SHA-256 of the host's certificate, instead.")
    ] = "",
    apply: Annotated[bool, typer.Option("--apply", help="xcp-ng: do it; without, it is only shown.")] = False,
    restore: Annotated[bool, typer.Option("--restore", help="xcp-ng: back to what the hosts had before.")] = False,
    wait: Annotated[
        float, typer.Option("--wait", help="xcp-ng: seconds to wait for each host's first line; 0 not to.", min=0)
    ] = 60.0,
    status_url: Annotated[
        str, typer.Option("--status-url", help="xcp-ng: the relay's /status, when it is not on this machine.")
    ] = "",
) -> None:
    """Show the exact lines to paste into devices, machines and clusters, with this forwarder's address and ports.

    With --address it works anywhere, without a configuration.
    """
    from appliance.sources.recipe import fill_in
    from appliance.sources.register import kinds

    if kind is None:
        typer.echo(_list(output), nl=False)
        return
    if manifests or kustomize is not None or loki or token_file is not None:
        if kind != "kubernetes":
            raise UsageError(
                "these options are for Kubernetes", hint="such as: appliance sources kubernetes --manifests"
            )
        from appliance.cli.sources_kubernetes import write_manifests

        at = None if loki else _forwarder(address, config, listener or [], ca)[0]
        write_manifests(at, agent, loki_url=loki, token_file=token_file, ca=_authority(ca), directory=kustomize)
        return
    if pool:
        if kind != "xcp-ng":
            raise UsageError("--pool is for XCP-ng", hint="such as: appliance sources xcp-ng --pool 192.0.2.5")
        from appliance.cli.sources_pool import Request, onboard

        at, _ = _forwarder(address, config, listener or [], ca)
        onboard(
            Request(pool, pool_port, user, password_file, pool_ca, fingerprint, apply, restore, wait, status_url), at
        )
        return
    chosen = list(kinds().values()) if kind == "all" else [_kind(kind)]
    at, assumption = _forwarder(address, config, listener or [], ca)
    typer.echo(_written([fill_in(one, at) for one in chosen], output, assumption), nl=False)


def _list(output: Format) -> str:
    from appliance.sources.register import kinds

    rows = kinds().values()
    if output == "json":
        import json

        return json.dumps([{"kind": kind.name, "title": kind.title} for kind in rows], indent=2) + "\n"
    if output == "markdown":
        return "".join(f"- `{kind.name}`: {kind.title}\n" for kind in rows)
    return "".join(f"{kind.name:16}{kind.title}\n" for kind in rows)


def _kind(name: str) -> "Kind":
    from difflib import get_close_matches

    from appliance.sources.register import kinds

    known = kinds()
    if (found := known.get(name.lower().replace("_", "-"))) is not None:
        return found
    near = get_close_matches(name.lower(), known, 1)
    hint = f"did you mean {near[0]}?" if near else "`appliance sources` lists them; any sender of syslog will do"
    raise UsageError(f"there are no lines for {name}", hint=hint)


def _forwarder(address: str, config: Path | None, listener: list[str], ca: Path | None) -> "tuple[Forwarder, str]":
    """Return the forwarder, and in a sentence what was assumed about it, empty when nothing was."""
    from dataclasses import replace

    from appliance.host.addresses import own_addresses
    from appliance.host.layout import Layout
    from appliance.sources.forwarder import USUAL_PORTS, assumed, forwarder

    if listener and config is not None:
        raise UsageError("--listener is for use without a configuration", hint="leave out one of them")
    if listener or (config is None and not DEFAULT_PATH.exists()):
        if not address:
            raise UsageError(f"there is no {DEFAULT_PATH}", hint="name this forwarder with --address, or --config FILE")
        ports = dict(_listener(text) for text in listener) or dict(USUAL_PORTS)
        open_ports = ", ".join(f"{name} {port}" for name, port in ports.items())
        return assumed(address, ports, _authority(ca)), f"No configuration was read; assumed to be open: {open_ports}."
    authority = _authority(ca or Layout(Path("/")).tls / "ca.crt", missing_ok=ca is None)
    at = forwarder(load(config or DEFAULT_PATH), own_addresses(), authority)
    return (replace(at, address=address) if address else at), ""


def _listener(text: str) -> "tuple[Transport, int]":
    from appliance.sources.forwarder import USUAL_PORTS

    name, _, port = text.partition("=")
    sound = not port or (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536)
    for transport, usual in USUAL_PORTS.items():
        if transport == name and sound:
            return transport, int(port) if port else usual
    raise UsageError(f"{text} is not a listener", hint=f"NAME or NAME=PORT; known: {', '.join(USUAL_PORTS)}")


def _authority(path: Path | None, *, missing_ok: bool = False) -> str:
    if path is None or (missing_ok and not path.exists()):
        return ""
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        raise UsageError(
            f"{path} cannot be read as PEM", hint="the file that `appliance tls export-ca` writes"
        ) from None
    if "BEGIN CERTIFICATE" not in text:
        raise UsageError(f"{path} holds no certificate", hint="the file that `appliance tls export-ca` writes")
    return text


def _written(recipes: "list[Recipe]", output: Format, assumption: str) -> str:
    from appliance.sources.render import as_json, as_markdown, as_text

    if output == "json":
        return as_json(recipes)
    write = as_markdown if output == "markdown" else as_text
    head = [f"> {assumption}\n" if output == "markdown" else f"{assumption}\n"] if assumption else []
    return "\n".join(head + [write(recipe) for recipe in recipes])
