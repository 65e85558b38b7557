"""`appliance test …`: send something and check that it arrives."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from appliance.config.load import DEFAULT_PATH, load
from appliance.errors import ApplianceError, UsageError

app = typer.Typer(help="Send something and check that it arrives.", add_completion=False, rich_markup_mode=None)

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The configuration.", metavar="FILE")]


@app.command(epilog='Example: appliance test message "hello from the console"')
def message(
    text: Annotated[str, typer.Argument(help="What the message says.", metavar="[TEXT]")] = "a test of the forwarder",
    config: ConfigFile = DEFAULT_PATH,
    by: Annotated[
        str, typer.Option("--by", help="Listener to send it to, such as udp, tcp or syslog_tcp.", metavar="LISTENER")
    ] = "",
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for it in Loki.", min=0)] = 30,
) -> None:
    """Send a message to this forwarder as a device would, and look for it in Loki."""
    from appliance.cli.findings import show
    from appliance.relay.probe import test_message

    settings = load(config)
    ways = test_message.ways(settings)
    if not ways:
        raise UsageError(
            "no listener accepts plain syslog", hint="switch on listeners.udp, listeners.tcp or relay.listen"
        )
    way = next((way for way in ways if not by or way.name.rpartition(".")[2] == by), None)
    if way is None:
        names = ", ".join(way.name.rpartition(".")[2] for way in ways)
        raise UsageError(f"there is no listener {by}", hint=f"there are: {names}")
    for finding in test_message.trial(settings, way, text, timeout=timeout):
        if finding.ok is False:
            raise ApplianceError(finding.detail, hint=finding.remedy)
        show(finding)


@app.command(epilog="Example: appliance test loki --verify")
def loki(
    config: ConfigFile = DEFAULT_PATH,
    verify: Annotated[
        bool, typer.Option("--verify", help="Push entries over several streams and count them back by query.")
    ] = False,
    streams: Annotated[int, typer.Option("--streams", help="Streams to push to.", min=1, max=100)] = 5,
    entries: Annotated[int, typer.Option("--entries", help="Entries in each stream.", min=1, max=1000)] = 20,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for them in Loki.", min=0)] = 30,
) -> None:
    """Test the path to Loki step by step: name, connection, TLS, authentication; with --verify what it stores."""
    from appliance.cli.findings import show
    from appliance.relay.probe.check import check_loki
    from appliance.relay.probe.read_back import verify as push_and_count

    settings = load(config)
    failed = False
    for finding in check_loki(settings.loki):
        show(finding)
        failed = failed or finding.ok is False
    if failed:
        raise ApplianceError("Loki does not accept lines now; lines wait here", hint="see the remedy above")
    if not verify:
        return
    result = push_and_count(settings.loki, secrets.token_hex(6), streams=streams, entries=entries, timeout=timeout)
    for count in result.counts:
        found = "not counted" if count.found is None else f"{count.found} found"
        typer.echo(f"    stream {count.stream}: {count.sent} sent, {found}")
    show(result.finding)
    if not result.ok:
        raise typer.Exit(1)
