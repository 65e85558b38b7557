"""How changes of the configuration are shown: differences in meaning, steps as they come, the history."""

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from appliance.severity import WIDTH

if TYPE_CHECKING:
    from appliance.host.apply import Plan, Step
    from appliance.host.apply.generations import Generations

_OUTCOMES = {
    "healthy": "healthy",
    "applied": "applied, health not checked",
    "unconfirmed": "never confirmed",
    "reverted": "not confirmed, reverted",
    "rolled_back": "failed, rolled back",
}


def show(plan: "Plan", *, files: bool = False) -> None:
    """Show what a plan changes: keys by their meaning, and with `files` the generated files line by line."""
    if plan.changes_nothing:
        typer.echo("nothing changes" + (": only comments, order or spelling differ" if plan.changes else ""))
        return
    for difference in plan.differences:
        typer.echo(str(difference))
    if plan.other_files:
        typer.echo("Files that are not as this version generates them: " + ", ".join(plan.other_files))
    if plan.config is None:
        typer.echo("The machine's files become those of before the first configuration.")
    if files:
        typer.echo(plan.diff)
    for verdict in plan.verdicts:
        if verdict.skipped:
            sys.stderr.write(f"note: {verdict.path} was not checked: {verdict.program} is {verdict.reason}\n")
    if plan.steps:
        typer.echo("Steps: " + ", ".join(step.lower() for step in plan.steps))
    if plan.risky:
        typer.echo("This changes network or access, and may cut you off.")


def progress(step: "Step") -> None:
    """Show a step that has ended, one a line: what a serial console and a log can show."""
    if word := step.state.word:
        typer.echo(f"{word:{WIDTH}}  {step.title}" + (f": {step.detail}" if step.detail else ""))
        if step.remedy:
            typer.echo(f"{'':{WIDTH}}  -> {step.remedy}")


def history(store: "Generations") -> Iterator[str]:
    """Yield a line for each generation, newest first: which it is, when, what became of it, how it came."""
    current, waiting = store.current(), store.unconfirmed()
    for number in reversed(store.numbers()):
        manifest, outcome = store.manifest(number), store.outcome(number)
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.created))
        if waiting and waiting.new == number:
            state = "waiting for confirmation"
        elif number == 0:
            state = ""
        elif outcome is None:
            state = "not known"
        else:
            state = _OUTCOMES[outcome.state] + (f": {outcome.reason}" if outcome.reason else "")
        yield f"{'*' if number == current else ' '} {number:4}  {when}  {manifest.comment:16}  {state}".rstrip()
