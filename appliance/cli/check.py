"""`appliance check`: the self-tests, one by one, with ticks and remedies."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.config.load import DEFAULT_PATH
from appliance.errors import ApplianceError

EXAMPLE = "Example: appliance check --no-push"


def command(
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration.", metavar="FILE")] = DEFAULT_PATH,
    push: Annotated[bool, typer.Option("--push/--no-push", help="Push a test line to Loki and read it back.")] = True,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for the line in Loki.", min=0)] = 30,
) -> int:
    """Test every part of this forwarder, with remedies. Exit code 1 when a test failed."""
    from appliance.cli.findings import show
    from appliance.config.load import load_checked
    from appliance.host.layout import Layout
    from appliance.host.self_test import check_machine
    from appliance.relay.probe.check import Finding

    checked = load_checked(config)
    failed = 0
    for finding in check_machine(checked.config, Layout(), push=push, timeout=timeout):
        show(finding)
        failed += finding.ok is False
    # What is doubtful in the file keeps nothing from working: it comes after what does.
    for problem in checked.warnings:
        show(Finding(problem.path, None, problem.message, problem.hint))
    if failed:
        raise ApplianceError(f"{failed} {'test' if failed == 1 else 'tests'} failed", hint="see the remedies above")
    return 0
