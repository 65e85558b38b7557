"""`appliance import-promtail`: the old box's files in, ours out, and a report on what became of each setting."""

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from appliance.config.load import read
from appliance.errors import ApplianceError, UsageError

if TYPE_CHECKING:
    from appliance.config.promtail import Conversion

EXAMPLE = "Example: appliance import-promtail promtail.yml --rsyslog promtail.conf --output appliance.yaml"


def command(
    file: Annotated[
        list[Path] | None, typer.Argument(help="Promtail's configuration; several become one.", metavar="FILE")
    ] = None,
    rsyslog: Annotated[
        list[Path] | None,
        typer.Option(
            "--rsyslog", help="The rsyslog file that fed Promtail: it knows the ports. Repeatable.", metavar="FILE"
        ),
    ] = None,
    manifests: Annotated[
        list[Path] | None,
        typer.Option("--manifests", help="Promtail's Kubernetes manifests. Repeatable.", metavar="FILE"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; standard output when absent.", metavar="FILE")
    ] = None,
    manifests_output: Annotated[
        Path | None,
        typer.Option("--manifests-output", help="File for corrected manifests, for kubectl apply -f.", metavar="FILE"),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="File for the report; standard error when absent.", metavar="FILE")
    ] = None,
    address: Annotated[
        str, typer.Option("--address", help="Address of this forwarder, for the corrected manifests.")
    ] = "",
    env: Annotated[
        list[str] | None,
        typer.Option("--env", help="A variable of -config.expand-env. Repeatable.", metavar="NAME=VALUE"),
    ] = None,
    http_address: Annotated[
        str, typer.Option("--http-address", help="Where our own /metrics and /status listen.")
    ] = "127.0.0.1",
    check: Annotated[bool, typer.Option("--check", help="Only report; write nothing.")] = False,
) -> None:
    """Make one appliance.yaml of Promtail's configuration and the rsyslog file that fed it.

    The report says of each setting whether it was taken over, changed its meaning or is not
    supported, with its line, and shows the labels of sample lines before and now. Secrets are never
    copied. Nothing is written over.
    """
    from appliance.cli.promtail_report import report as written
    from appliance.config.promtail import Given, convert_all
    from appliance.config.promtail.convert import Text
    from appliance.sources.kubernetes.review import review

    reviewed = [(path.name, review(read(path), path.name)) for path in manifests or []]
    embedded = [Text(one.text, name, one.offset) for name, found in reviewed for one in found.configs]
    texts = [*(Text(read(path), path.name) for path in file or []), *embedded]
    if not texts:
        raise UsageError(
            "there is nothing to convert: no FILE and no manifests",
            hint="name Promtail's configuration, or manifests that hold it",
        )
    conversion = convert_all(
        Given(
            texts,
            [Text(read(path), path.name) for path in rsyslog or []],
            dict(_variable(text) for text in env or []),
            http_address,
        )
    )
    faults = [(name, line, fault) for name, found in reviewed for line, fault in found.faults]
    if check:
        typer.echo(written(conversion, faults), nl=False)
    else:
        _write(report, written(conversion, faults), sys.stderr)
        _write(output, conversion.text, sys.stdout)
        if manifests_output is not None:
            _write(manifests_output, _corrected(conversion, address), sys.stdout)
    _judge(conversion)


def _corrected(conversion: "Conversion", address: str) -> str:
    """Return manifests of an agent that pushes here, with the rules over pods that Promtail had."""
    from appliance.sources.forwarder import Forwarder
    from appliance.sources.kubernetes.alloy import USUAL_RULES
    from appliance.sources.kubernetes.manifests import WHY, as_yaml, objects
    from appliance.sources.kubernetes.target import this_forwarder

    rules = [rule.made for job in conversion.pods for rule in job.rules] or USUAL_RULES
    where = address or "<the address of this forwarder>"
    port = int(conversion.made["relay"]["listen"]["push"].rpartition(":")[2]) if conversion.pods else 3500
    at = Forwarder(where, where, push=port, push_tls=True, push_token=True)
    return as_yaml(objects(this_forwarder(at), "alloy", rules), WHY)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"{text} is not a variable", hint="such as --env HOSTNAME=logs1")
    return name, value


def _write(path: Path | None, text: str, otherwise: IO[str]) -> None:
    if path is None:
        typer.echo(text, nl=False, file=otherwise)
        return
    try:
        with path.open("x") as written:
            written.write(text)
    except FileExistsError:
        raise UsageError(f"{path} already exists", hint="choose another file, or remove it first") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def _judge(conversion: "Conversion") -> None:
    if conversion.problems is not None:
        message = conversion.problems.message
        raise ApplianceError(message, hint="fix what is listed, then: appliance config validate FILE")
