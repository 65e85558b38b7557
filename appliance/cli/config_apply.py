"""`appliance config apply|diff|history|rollback|confirm|export|import|edit`: what changes the machine.

Talks to the operator; what is shown is `config_report.py`, the work is `appliance.host.apply`.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from appliance.cli import config_report as report
from appliance.config.load import read
from appliance.errors import ApplianceError, UsageError
from appliance.host.layout import Layout

if TYPE_CHECKING:
    from appliance.host.apply import Host, Plan, Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)

File = Annotated[
    Path | None,
    typer.Argument(help="The configuration, - for standard input; the machine's own by default.", metavar="[FILE]"),
]
Root = Annotated[Path, typer.Option("--root", help="Work on the files below this directory, and restart nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before changing anything.")]
Quiet = Annotated[bool, typer.Option("--non-interactive", help="Ask nothing; for scripts and the first boot.")]
Wait = Annotated[float, typer.Option("--wait", help="Seconds to wait for another change to end.", min=0)]
Within = Annotated[
    float | None,
    typer.Option(
        "--confirm-within",
        help="A change of network or access reverts after this many seconds unless confirmed; 0: never. "
        "60 when someone is asked, else 0.",
        min=0,
        show_default=False,
    ),
]
Files = Annotated[bool, typer.Option("--files", help="Also show the generated files that change, line by line.")]
SLASH = Path("/")


@app.command(epilog="Example: appliance config apply --dry-run new.yaml")
def apply(
    file: File = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    files: Files = False,
    yes: Yes = False,
    non_interactive: Quiet = False,
    confirm_within: Within = None,
    wait: Wait = 30,
    root: Root = SLASH,
) -> int:
    """Apply a configuration: checked first, switched as a whole, rolled back if it does not work."""
    from appliance.host.apply import host_at, make_plan

    host = host_at(root)
    plan = make_plan(_text(file, host.layout), host, comment="apply")
    ask = not (yes or non_interactive)
    return _carry_out(plan, host, dry_run=dry_run, ask=ask, within=confirm_within, wait=wait, files=files)


@app.command(epilog="Example: appliance config diff new.yaml")
def diff(
    file: File = None,
    to: Annotated[int | None, typer.Option("--generation", help="Compare with this generation instead.")] = None,
    files: Files = False,
    root: Root = SLASH,
) -> int:
    """Show what applying a file, or rolling back to a generation, would change. Exit code 1 if anything."""
    from appliance.host.apply import host_at, make_plan, roll_back_to

    host = host_at(root)
    plan = roll_back_to(to, host) if to is not None else make_plan(_text(file, host.layout), host)
    report.show(plan, files=files)
    return 0 if plan.changes_nothing else 1


@app.command(epilog="Example: appliance config history")
def history(root: Root = SLASH) -> None:
    """List the generations, newest first, and what became of each; * is the active one."""
    from appliance.host.apply.generations import Generations

    store = Generations(Layout(root.absolute()))
    if store.current() is None:
        typer.echo("nothing was applied yet")
    for line in report.history(store):
        typer.echo(line)


@app.command(epilog="Example: appliance config rollback 3")
def rollback(
    generation: Annotated[
        int | None, typer.Argument(help="The generation to roll back to; when absent the last that worked and differs.")
    ] = None,
    files: Files = False,
    yes: Yes = False,
    non_interactive: Quiet = False,
    confirm_within: Within = None,
    wait: Wait = 30,
    root: Root = SLASH,
) -> int:
    """Roll back to an earlier generation, after showing what changes.

    A change waiting to be confirmed is reverted at once.
    """
    from appliance.host.apply import host_at, revert_unconfirmed, roll_back_to
    from appliance.host.apply.generations import Generations

    host = host_at(root)
    store = Generations(host.layout)
    waiting = store.unconfirmed()
    if waiting and generation in (None, waiting.old):
        back = revert_unconfirmed(host, waiting.new, report.progress)
        typer.echo(f"generation {back} is active again")
        return 0
    if generation is None:
        generation = store.last_that_worked()
        if generation is None:
            hint = "`appliance config history` lists the generations; one is named by its number"
            raise ApplianceError("there is no earlier generation that worked and differs", hint=hint)
        typer.echo(f"rolling back to generation {generation}")
    plan = roll_back_to(generation, host)
    ask = not (yes or non_interactive)
    return _carry_out(plan, host, dry_run=False, ask=ask, within=confirm_within, wait=wait, files=files, show=True)


@app.command(epilog="Example: appliance config confirm")
def confirm(root: Root = SLASH) -> None:
    """Keep a change of network or access that would otherwise revert by itself."""
    from appliance.host.apply import confirm as keep
    from appliance.host.apply import host_at

    typer.echo(f"generation {keep(host_at(root))} is confirmed")


@app.command(epilog="Example: appliance config export > backup.yaml")
def export(
    generation: Annotated[
        int | None, typer.Option("--generation", help="This generation; by default the active one.")
    ] = None,
    root: Root = SLASH,
) -> None:
    """Print the configuration as it was written. Secrets are in separate files and not in it."""
    from appliance.host.apply.generations import Generations

    layout = Layout(root.absolute())
    text = read(layout.config) if generation is None else Generations(layout).config_text(generation)
    if text is None:
        raise ApplianceError(f"generation {generation} has no configuration", hint="it is the machine as installed")
    typer.echo(text, nl=False)


@app.command("import", epilog="Example: appliance config import backup.yaml")
def import_(
    file: Annotated[Path, typer.Argument(help="What `config export` printed; - for standard input.", metavar="FILE")],
    yes: Yes = False,
    non_interactive: Quiet = False,
    confirm_within: Within = None,
    wait: Wait = 30,
    root: Root = SLASH,
) -> int:
    """Apply a saved configuration, as `apply` does."""
    return apply(file, yes=yes, non_interactive=non_interactive, confirm_within=confirm_within, wait=wait, root=root)


@app.command(epilog="Example: appliance config edit")
def edit(confirm_within: Within = None, wait: Wait = 30, root: Root = SLASH) -> int:
    """Change the configuration in an editor, then apply it. Refused text is kept for another try."""
    from appliance.host.apply import host_at, make_plan

    host = host_at(root)
    before = read(host.layout.config) if host.layout.config.exists() else ""
    with tempfile.TemporaryDirectory(prefix="appliance-edit-") as directory:
        draft = Path(directory) / "appliance.yaml"
        draft.write_text(before)
        draft.chmod(0o600)
        while True:
            editor = _editor()
            try:
                code = subprocess.run([*editor, str(draft)], check=False).returncode
            except OSError as error:
                raise UsageError(f"the editor {editor[0]} cannot be run: {error.strerror}", hint="set EDITOR") from None
            if code:
                raise ApplianceError(f"the editor ended with exit code {code}", hint="nothing was changed")
            text = read(draft)
            if text == before:
                typer.echo("nothing was changed")
                return 0
            try:
                plan = make_plan(text, host, comment="edit")
                break
            except ApplianceError as error:
                sys.stderr.write(f"error: {error.message}\n")
                if not sys.stdin.isatty() or not typer.confirm("Edit again?", default=True, err=True):
                    raise
        return _carry_out(plan, host, dry_run=False, ask=True, within=confirm_within, wait=wait)


@app.command("revert-unconfirmed", hidden=True)
def revert(generation: int, root: Root = SLASH) -> None:
    """Revert a change that was not confirmed; run by the clock that apply starts."""
    from appliance.host.apply import host_at, revert_unconfirmed

    back = revert_unconfirmed(host_at(root), generation)
    if back is not None:
        sys.stderr.write(f"generation {generation} was not confirmed in time: generation {back} is active again\n")


@app.command(hidden=True)
def recover(root: Root = SLASH) -> None:
    """Repair what a power cut left behind; run early at boot, before anything reads its configuration."""
    from appliance.host.apply import host_at
    from appliance.host.apply import recover as repair

    done = repair(host_at(root))
    if done:
        typer.echo(done)


# ---- pieces ---------------------------------------------------------------------------------


def _text(file: Path | None, layout: Layout) -> str:
    if file is not None and str(file) == "-":
        return sys.stdin.read()
    return read(file or layout.config)


def _editor() -> list[str]:
    wanted = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if wanted:
        return shlex.split(wanted)
    return [next((name for name in ("sensible-editor", "nano", "vi") if shutil.which(name)), "vi")]


def _carry_out(
    plan: "Plan", host: "Host", *, dry_run: bool, ask: bool, within: float | None, wait: float,
    files: bool = False, show: bool = False,
) -> int:  # fmt: skip
    """Show the plan when somebody is asked, or `show` says so, then apply it. Return the exit code."""
    from appliance.host.apply import apply as put

    for warning in plan.warnings:
        sys.stderr.write(f"{warning}\n")
    if plan.changes_nothing:
        if dry_run:
            report.show(plan, files=files)
            return 0
        # The text is kept with its comments, and a secret that was exchanged is still handed over.
        result = put(plan, host, lock_wait=wait)
        if not result.ok:
            return _report(result, host, ask=ask)
        kept = f"; the text is kept as generation {result.generation}" if plan.changes else ""
        typer.echo(f"nothing changes{kept}")
        return 0
    if dry_run or ask or show:
        report.show(plan, files=files)
    if dry_run:
        return 0
    if ask:
        if not sys.stdin.isatty():
            raise UsageError(
                "no terminal to confirm on", hint="use --yes or --non-interactive, or --dry-run to preview"
            )
        typer.confirm("Apply this?", abort=True)
    if within is None:
        within = 60.0 if ask else 0.0
    result = put(plan, host, report.progress, confirm_within=within, lock_wait=wait)
    return _report(result, host, ask=ask)


def _report(result: "Result", host: "Host", *, ask: bool) -> int:
    if not result.ok:
        from appliance.host.apply.engine import REJECTED

        raise ApplianceError(
            f"the change failed and was rolled back: {result.reason}",
            hint=f"generation {result.generation} is active; what was tried is in {REJECTED}",
        )
    typer.echo(f"generation {result.generation} is active")
    if result.confirm_by is None:
        return 0
    seconds = max(0, round(result.confirm_by - time.time()))
    typer.echo(f"It reverts in {seconds} s unless confirmed: `appliance config confirm`")
    if ask and typer.confirm("Can you still reach this machine? Keep the change?", default=True):
        from appliance.host.apply import confirm as keep

        typer.echo(f"generation {keep(host)} is confirmed")
    return 0
