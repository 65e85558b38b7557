"""All commands by name, each with its sentence and the module that does it, imported only when used."""

import importlib
import importlib.util
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup

from appliance import __version__
from appliance.errors import UsageError


class Entry(NamedTuple):
    """Where a command is, and the sentence that the list of commands shows."""

    module: str
    sentence: str


COMMANDS = {
    "status": Entry("appliance.cli.status", "Show the health of this forwarder, and what to do about problems."),
    "check": Entry("appliance.cli.check", "Test every part of this forwarder, with remedies."),
    "setup": Entry("appliance.cli.setup", "Set up this forwarder, question by question."),
    "console": Entry("appliance.cli.console", "The dashboard on the machine's console."),
    "config": Entry("appliance.cli.config", "Show, check and change the configuration."),
    "test": Entry("appliance.cli.test", "Send something and check that it arrives."),
    "sources": Entry("appliance.cli.sources", "The lines to paste into the devices that send logs."),
    "tls": Entry("appliance.cli.tls", "Certificates of this forwarder and its senders."),
    "dead-letters": Entry("appliance.cli.dead_letters", "Lines that could not be delivered: list, send again or drop."),
    "token": Entry("appliance.cli.token", "Tokens for clients that push."),
    "relay": Entry("appliance.cli.relay", "Run the relay, with or without the rest of the appliance."),
    "import-promtail": Entry(
        "appliance.cli.import_promtail", "Make an appliance.yaml from the files of a Promtail box."
    ),
    "support-bundle": Entry("appliance.cli.support_bundle", "Collect diagnostics for support, without secrets."),
    "factory-reset": Entry(
        "appliance.cli.factory_reset", "Remove all settings, accounts and secrets; --logs: logs too."
    ),
    "image": Entry("appliance.cli.image", "Make and check images for hypervisors."),
}


class LazyGroup(TyperGroup):
    """The commands of COMMANDS that are part of this installation."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order in which help shows them."""
        return [name for name, entry in COMMANDS.items() if importlib.util.find_spec(entry.module)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the module of a command and return the command, None when there is none of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(COMMANDS[cmd_name].module)
        if (app := getattr(module, "app", None)) is not None:
            command: Any = typer.main.get_group(app)
        else:
            app = typer.Typer(add_completion=False, rich_markup_mode=None)
            app.command(cmd_name, epilog=getattr(module, "EXAMPLE", None))(module.command)
            command = typer.main.get_command(app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].sentence) for name in self.list_commands(ctx)])


app = typer.Typer(cls=LazyGroup, add_completion=False, rich_markup_mode=None)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"appliance {__version__}")
        raise typer.Exit


@app.callback(epilog="Example: appliance config validate appliance.yaml")
def _top(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    """A log forwarder for Grafana Loki: takes syslog, loses nothing."""


def run(words: list[str]) -> int:
    """Run a command. Return its exit code; raise UsageError when it was asked for wrongly."""
    try:
        result = typer.main.get_command(app).main(args=words, prog_name="appliance", standalone_mode=False)
    except typer.Abort:
        return 130
    except typer.TyperException as error:
        message = error.format_message().rstrip(".").replace("\n", " ")
        raise UsageError(message[:1].lower() + message[1:], hint=_help_of(error)) from None
    return result if isinstance(result, int) else 0


def _help_of(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path if context else 'appliance'} --help"
