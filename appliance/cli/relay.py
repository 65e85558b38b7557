"""`appliance relay …`: the relay in the foreground, and whether it could run here."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from appliance.config.load import DEFAULT_PATH, load_checked
from appliance.errors import ApplianceError

app = typer.Typer(
    help="Run the relay, with or without the rest of the appliance.", add_completion=False, rich_markup_mode=None
)

ConfigFile = Annotated[
    Path,
    typer.Option("--config", "-c", help="The configuration; it needs only loki, labels and relay.", metavar="FILE"),
]


@app.command(epilog="Example: appliance relay run --config appliance.yaml")
def run(config: ConfigFile = DEFAULT_PATH) -> None:
    """Take logs and push them to Loki, in the foreground, until SIGTERM. SIGHUP reads the file again."""
    from appliance.cli.relay_process import run_relay

    raise typer.Exit(run_relay(config))


@app.command(epilog="Example: appliance relay receive --config appliance.yaml")
def receive(config: ConfigFile = DEFAULT_PATH) -> None:
    """Take plain syslog over TCP, as listeners.tcp says, and hand it over to the relay, until SIGTERM."""
    from appliance.cli.receiver_process import run_receiver

    raise typer.Exit(run_receiver(config))


@app.command(epilog="Example: appliance relay check --config appliance.yaml --no-push")
def check(
    config: ConfigFile = DEFAULT_PATH,
    push: Annotated[
        bool | None,
        typer.Option("--push/--no-push", help="Push a test line and read it back; asked on a terminal when not given."),
    ] = None,
) -> None:
    """Check everything the relay needs: files, ports, and Loki itself. Each cross comes with a remedy.

    Nothing is stored in Loki without a yes: authentication is tried with an empty push, which Loki refuses.
    """
    from appliance.cli.findings import show
    from appliance.config.secret_files import check_secret_files
    from appliance.relay.probe.check import Finding, check_relay

    checked = load_checked(config)
    secret_warnings = {problem.path for problem in check_secret_files(checked.config)}
    show(Finding("configuration", True, f"{config} is valid"))
    failed = 0
    for finding in check_relay(checked.config):
        show(finding)
        failed += finding.ok is False
    # What is doubtful in the file keeps nothing from working: it comes after what does.
    for problem in checked.warnings:
        if problem.path not in secret_warnings:
            show(Finding(problem.path, None, problem.message, problem.hint))
    if failed:
        raise ApplianceError(f"{failed} {'check' if failed == 1 else 'checks'} failed", hint="see the remedies above")
    if push is None:
        terminal = sys.stdin.isatty() and sys.stdout.isatty()
        push = terminal and typer.confirm("Push a test line to Loki and look for it there?")
    if push:
        from appliance.relay.probe.test_message import check_push

        for finding in check_push(checked.config):
            show(finding)
            if finding.ok is False:
                raise ApplianceError("the test line did not arrive", hint="see the remedy above")
