"""`appliance config …`: what the file says, whether it is valid, and its schema."""

import importlib
import importlib.util
import json
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from appliance.config.load import DEFAULT_PATH, load_checked
from appliance.config.problems import Problem

# A proxy's password stands in its URL.
_PASSWORD_IN_URL = re.compile(r"(://[^/@:\s]*:)[^/@\s]*@")

app = typer.Typer(help="Show, check and change the configuration.", add_completion=False, rich_markup_mode=None)

File = Annotated[
    Path | None,
    typer.Argument(help=f"The configuration; {DEFAULT_PATH} when absent.", metavar="[FILE]", show_default=False),
]
FileOption = Annotated[Path | None, typer.Option("--config", "-c", help="The same as FILE.", metavar="FILE")]


class Format(StrEnum):
    """How a configuration is written."""

    YAML = "yaml"
    JSON = "json"


@app.command(epilog="Example: appliance config validate appliance.yaml")
def validate(file: File = None, config: FileOption = None) -> None:
    """Check a configuration and report all problems. Nothing is changed."""
    from appliance.config.secret_files import check_secret_files

    path = file or config or DEFAULT_PATH
    checked = load_checked(path)
    warn([*checked.warnings, *check_secret_files(checked.config)])
    typer.echo(f"{path} is valid")


@app.command(epilog="Example: appliance config show --full appliance.yaml")
def show(
    file: File = None,
    config: FileOption = None,
    full: Annotated[bool, typer.Option("--full", help="Every key, including those at their defaults.")] = False,
    output: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.YAML,
) -> None:
    """Show a configuration as it is understood. Secrets are in separate files and not shown."""
    from appliance.config.dump import dump, to_plain

    settings = load_checked(file or config or DEFAULT_PATH).config
    if output is Format.JSON:
        text = json.dumps(to_plain(settings, full=full), indent=2, ensure_ascii=False) + "\n"
    else:
        text = dump(settings, full=full)
    typer.echo(_PASSWORD_IN_URL.sub(r"\1…@", text), nl=False)


@app.command(epilog="Example: appliance config schema > appliance.schema.json")
def schema() -> None:
    """Print the JSON Schema: every key with its meaning, type, bounds and default."""
    from appliance.config.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def warn(problems: list[Problem]) -> None:
    """Print warnings on stderr."""
    for problem in problems:
        sys.stderr.write(f"{problem}\n")


# What changes the running machine is a part of its own.
if importlib.util.find_spec("appliance.cli.config_apply"):
    app.add_typer(importlib.import_module("appliance.cli.config_apply").app)
