"""Variables of `-config.expand-env`, as Promtail put them in before it read its YAML.

Source: drone/envsubst, which Promtail used, and Loki's documentation of the flag: `${NAME}`,
`${NAME:-default}`, `$${` for a literal `${`, and two backslashes for one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_]\w*)(?::?[-=](?P<default>[^}\n]*))?\}")


@dataclass(frozen=True, slots=True)
class Expanded:
    """A text with its variables put in, and for each the line and what was put."""

    text: str
    notes: tuple[tuple[int, str], ...] = ()


def expand(text: str, environment: Mapping[str, str]) -> Expanded:
    """Return the text as Promtail read it; a text without variables comes back as it is.

    A variable without a value and without a default stays as it stands, for its setting to be left out.
    """
    if not _is_expanded(text):
        return Expanded(text)
    notes: list[tuple[int, str]] = []

    def value(match: re.Match[str]) -> str:
        line = text.count("\n", 0, match.start()) + 1
        name, default = match["name"], match["default"]
        if name is None:
            return "${"
        if name in environment:
            notes.append((line, f"${{{name}}} is the value given with --env"))
            return environment[name].replace("\n", " ")
        if default is not None:
            notes.append((line, f"${{{name}}} is its default, {default or 'nothing'}; --env {name}=VALUE for another"))
            return str(default)
        return match[0]

    expanded = _VARIABLE.sub(value, text)
    return Expanded(expanded.replace("\\\\", "\\"), tuple(notes))


def _is_expanded(text: str) -> bool:
    """Return whether the file was written for the flag: an escape, or a variable that is no group of a rule."""
    if "$${" in text:
        return True
    for match in _VARIABLE.finditer(text):
        if match["name"] and f"(?P<{match['name']}>" not in text and f"(?<{match['name']}>" not in text:
            return True
    return False
