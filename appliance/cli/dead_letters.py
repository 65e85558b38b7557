"""`appliance dead-letters …`: lines that Loki refused for good: list them, send them again, drop them."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from appliance.config.load import DEFAULT_PATH, load_checked
from appliance.errors import ApplianceError, UsageError
from appliance.host.layout import RELAY_CONFIG
from appliance.relay.spool.dead_letter_store import DeadLetterStore, KeptLetter
from appliance.relay.spool.dead_letters import DIRECTORY

T = TypeVar("T")

app = typer.Typer(help="Lines that could not be delivered.", add_completion=False, rich_markup_mode=None)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The relay's configuration; by default this machine's.", metavar="FILE"),
]
Ids = Annotated[list[str] | None, typer.Argument(help="As `list` shows them; the beginning is enough.", metavar="ID")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
Reason = Annotated[str | None, typer.Option("--reason", help="All that were refused for this reason.")]
_SHOWN = 100
"""Characters of a line in the list."""


@app.command("list", epilog="Example: appliance dead-letters list")
def list_letters(
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, whole.")] = False,
) -> None:
    """List lines that could not be delivered, the oldest first."""
    store = _store(config)
    number = 0
    for letter in _readable(lambda: list(store.list())):
        number += 1
        if as_json:
            typer.echo(json.dumps(_plain(letter)))
        else:
            text = _printable(letter.entry.line.decode("utf-8", "replace"))
            text = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
            typer.echo(f"{letter.id}  {_when(letter.kept_at)}  {letter.reason}  {_printable(letter.labels)}  {text}")
    if not as_json:
        typer.echo(_summary(store, number))


@app.command(epilog="Example: appliance dead-letters show 3f2a")
def show(identity: Annotated[str, typer.Argument(metavar="ID")], config: ConfigFile = None) -> None:
    """Show one line with all that is known about it, and what Loki said."""
    store = _store(config)
    chosen = _chosen(store, [identity], everything=False, reason=None)
    for letter in _readable(lambda: list(filter(chosen, store.list()))):
        for name, value in _plain(letter).items():
            if name == "metadata":
                for key, text in letter.entry.metadata:
                    typer.echo(f"{'':12}  {_printable(key)}={_printable(text)}")
            else:
                typer.echo(f"{name:12}  {_printable(str(value))}")


@app.command(epilog="Example: appliance dead-letters retry --reason too_old")
def retry(ids: Ids = None, everything: All = False, reason: Reason = None, config: ConfigFile = None) -> None:
    """Send lines to Loki again, after what it refused them for was fixed."""
    store = _store(config)
    chosen = _chosen(store, ids or [], everything=everything, reason=reason)
    number = _readable(lambda: store.retry(chosen))
    typer.echo(f"{_lines(number)} will be sent again within seconds, or when the relay starts")


@app.command(epilog="Example: appliance dead-letters drop --all --yes")
def drop(
    ids: Ids = None,
    everything: All = False,
    reason: Reason = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    config: ConfigFile = None,
) -> None:
    """Delete lines for good."""
    store = _store(config)
    chosen = _chosen(store, ids or [], everything=everything, reason=reason)
    number = sum(map(chosen, _readable(lambda: list(store.list()))))
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("no terminal to confirm on", hint="add --yes to drop without confirmation")
        if not typer.confirm(f"Delete {_lines(number)} for good?"):
            typer.echo("nothing was changed")
            raise typer.Exit(1)
    typer.echo(f"{_lines(_readable(lambda: store.drop(chosen)))} dropped")


def _store(config: Path | None) -> DeadLetterStore:
    if config is None:  # the appliance's own relay has a file of its own
        config = Path(RELAY_CONFIG) if Path(RELAY_CONFIG).exists() else DEFAULT_PATH
    loaded = load_checked(config).config
    return DeadLetterStore(Path(loaded.relay.spool.path) / DIRECTORY)


def _chosen(
    store: DeadLetterStore, ids: list[str], *, everything: bool, reason: str | None
) -> Callable[[KeptLetter], bool]:
    """Return what the arguments mean. Raise UsageError for none, ApplianceError for an id that there is not."""
    if sum((bool(ids), everything, reason is not None)) != 1:
        raise UsageError("which lines?", hint="name their IDs, or use --all or --reason; `list` shows them")
    if everything:
        return lambda letter: True
    if reason is not None:
        return lambda letter: letter.reason == reason
    known = {letter.id for letter in _readable(lambda: list(store.list()))}
    wanted: set[str] = set()
    for each in ids:
        matching = {identity for identity in known if identity.startswith(each)}
        if len(matching) != 1:
            problem = "there is no" if not matching else "there are several of this beginning:"
            raise ApplianceError(f"{problem} dead letter {each}", hint="see appliance dead-letters list")
        wanted |= matching
    return lambda letter: letter.id in wanted


def _readable(action: Callable[[], T]) -> T:
    try:
        return action()
    except PermissionError as error:
        raise ApplianceError("only root may read dead letters", hint="run the command with sudo") from error
    except OSError as error:
        raise ApplianceError(f"the dead letters cannot be used: {error.strerror}", hint="check the disk") from error


def _plain(letter: KeptLetter) -> dict[str, object]:
    entry = letter.entry
    return {
        "id": letter.id,
        "kept_at": _when(letter.kept_at),
        "reason": letter.reason,
        "answer": letter.answer,
        "tenant": letter.tenant,
        "labels": letter.labels,
        "timestamp_ns": str(entry.timestamp_ns),
        "line": entry.line.decode("utf-8", "backslashreplace"),
        "metadata": dict(entry.metadata),
    }


def _summary(store: DeadLetterStore, number: int) -> str:
    if not number:
        return "no line waits here: all could be delivered"
    return f"{_lines(number)} could not be delivered; kept in {store.directory}"


def _lines(number: int) -> str:
    return f"{number} line" if number == 1 else f"{number} lines"


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def _printable(text: str) -> str:
    """Return text with control characters escaped: senders must not control the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
