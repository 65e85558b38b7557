"""Reading `appliance.yaml`: text to a checked `Config`, or every problem it has at once.

Responsible for the file (size, encoding, YAML's own errors) and for putting decoding and checks
together. Nothing here looks at the network or at other files than the one that is read.
"""

from pathlib import Path
from typing import NamedTuple

import yaml

from appliance.config import checks
from appliance.config.decode import MAX_DEPTH, decode
from appliance.config.model import Config
from appliance.config.problems import ConfigError, Problem
from appliance.errors import UsageError

MAX_FILE = 512 * 1024
"""The largest file taken, in bytes."""

DEFAULT_PATH = Path("/etc/appliance/appliance.yaml")


class Checked(NamedTuple):
    """A configuration that can be used, and what is doubtful about it."""

    config: Config
    warnings: list[Problem]


def load(path: Path | str) -> Config:
    """Read and check a file. Raise ConfigError with all its problems, UsageError when it cannot be read."""
    return load_checked(path).config


def load_checked(path: Path | str) -> Checked:
    """As load(), with the warnings."""
    return parse(read(path), source=str(path))


def read(path: Path | str) -> str:
    """Return the text of a file. Raise UsageError when it cannot be read, ConfigError when it is not text."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise UsageError(f"there is no {path}", hint="name the file with --config FILE") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a directory", hint="name the file in it with --config FILE") from None
    except PermissionError:
        raise UsageError(f"{path} cannot be read by this user", hint="run the command as root") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if len(data) > MAX_FILE:
        raise ConfigError(
            [Problem("", f"larger than {MAX_FILE // 1024} KiB", "is it the right file?")], source=str(path)
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem("", "not UTF-8 text", "save the file as UTF-8", line=line)
        raise ConfigError([problem], source=str(path)) from None


def parse(text: str, *, source: str = "the configuration") -> Checked:
    """Check the text of a configuration. Raise ConfigError with all its problems, named after `source`."""
    try:
        node = compose(text)
    except yaml.YAMLError as error:
        raise ConfigError([yaml_problem(error, text)], source=source) from None
    decoded = decode(node, Config)
    wrong = [problem.path for problem in decoded.problems if problem.severity == "error"]
    problems = decoded.problems + [
        _with_line(problem, decoded.lines)
        for problem in checks.check(decoded.value)
        if not any(_overlap(problem.path, path) for path in wrong)
    ]
    problems.sort(key=lambda problem: (problem.severity != "error", problem.line))
    if any(problem.severity == "error" for problem in problems):
        raise ConfigError(problems, source=source)
    return Checked(decoded.value, problems)


# ---- YAML -----------------------------------------------------------------------------------


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Composes nodes only, and guesses no types: the model says what a scalar is."""

    yaml_implicit_resolvers: dict[str, object] = {}


class _TooDeep(yaml.YAMLError):
    """Nested further than any configuration is."""


def compose(text: str) -> yaml.Node | None:
    """Return the tree of the only document, None for an empty one. Raise YAMLError."""
    depth = 0
    # The parser works step by step, the composer calls itself: measure before composing.
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _TooDeep
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    return node


def yaml_problem(error: yaml.YAMLError, text: str) -> Problem:
    """Return why a text is not YAML, with line and column."""
    if isinstance(error, _TooDeep):
        return Problem("", "nested too deeply to be a configuration")
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        where = f"line {mark.line + 1}, column {mark.column + 1}"
        lines = text.splitlines()
        line = lines[mark.line] if mark.line < len(lines) else ""
        if "\t" in line[: len(line) - len(line.lstrip())]:
            return Problem(
                "", f"a tab indents in {where}", "indent with spaces; YAML takes no tabs", line=mark.line + 1
            )
        message = ", ".join(part for part in (error.context, error.problem) if part)
        hint = "check the indentation, quotes and colons there and just before"
        return Problem("", f"not valid YAML in {where}: {message}", hint, line=mark.line + 1)
    if isinstance(error, yaml.reader.ReaderError):
        line_number = text.count("\n", 0, error.position) + 1
        return Problem("", f"a character that YAML does not take in line {line_number}", "remove it", line=line_number)
    return Problem("", f"not valid YAML: {error}")


# ---- paths ----------------------------------------------------------------------------------


def _overlap(one: str, other: str) -> bool:
    """Return whether one path is, contains or lies within the other."""
    return one == other or any(a.startswith((f"{b}.", f"{b}[")) for a, b in ((one, other), (other, one)))


def _with_line(problem: Problem, lines: dict[str, int]) -> Problem:
    """Add the line of the nearest thing that is in the file."""
    path = problem.path
    while path and path not in lines:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    line = lines.get(path, 0) if path else 0
    return Problem(problem.path, problem.message, problem.hint, problem.value, line, problem.severity)
