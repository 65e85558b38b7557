"""What two configurations mean, compared key by key: order, comments and spelling are no difference. Pure."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from appliance.config.dump import to_plain
from appliance.config.model import Config

_PASSWORD_IN_URL = re.compile(r"(://[^/@:\s]*:)[^/@\s]*@")
_HEADERS = "loki.headers."
_LONGEST = 100  # characters of a value


@dataclass(frozen=True, slots=True)
class Difference:
    """One key whose meaning changes. `old` and `new` are for people; None where the key is not there at all."""

    path: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        if self.old is None:
            return f"+ {self.path}: {self.new}"
        if self.new is None:
            return f"- {self.path}: {self.old}"
        return f"~ {self.path}: {self.old} -> {self.new}"


def differences(old: Config | None, new: Config | None) -> tuple[Difference, ...]:
    """Return what differs, in the order of the configuration's keys; without one of them, all of the other."""
    before, after = _Side(old), _Side(new)
    paths = dict.fromkeys([*before.set, *after.set])
    found = (_difference(path, before, after) for path in paths)
    return tuple(one for one in found if one is not None)


class _Side:
    """A configuration as values by path: those that are `set`, and `full` with the defaults."""

    def __init__(self, config: Config | None) -> None:
        self.set = dict(_leaves(to_plain(config))) if config else {}
        self.full = dict(_leaves(to_plain(config, full=True))) if config else {}

    def shown(self, path: str, *, section: bool) -> str | None:
        """Return a value for people; None when the key, or the `section` that is switched on or off, is not there."""
        if path in self.set:
            return _shown(path, self.set[path])
        if section:
            return None
        return f"{_shown(path, self.full[path])} (default)" if path in self.full else None

    def has_below(self, path: str) -> bool:
        """Return whether something in this section is set, which says that it is on, too."""
        return any(one.startswith((f"{path}.", f"{path}[")) for one in self.set)


def _difference(path: str, before: _Side, after: _Side) -> Difference | None:
    for one, other in ((before, after), (after, before)):
        if one.set.get(path) in ({}, []) and other.has_below(path):
            return None
    if before.set.get(path, _MISSING) == after.set.get(path, _MISSING):
        return None
    section = {} in (before.set.get(path), after.set.get(path))
    return Difference(path, before.shown(path, section=section), after.shown(path, section=section))


_MISSING = object()


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with its dotted path; an empty section is a value: a listener is on by being there."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list) and any(isinstance(item, dict) for item in node):
        for index, item in enumerate(node):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, node


def _shown(path: str, value: Any) -> str:
    match value:
        case None:
            return "none"
        case {}:
            return "on"
        case bool():
            return "true" if value else "false"
        case list():
            text = ", ".join(map(str, value)) or "none"
        case str() if path.startswith(_HEADERS):
            return "(not shown)"
        case str():
            text = _PASSWORD_IN_URL.sub(r"\1...@", value) or '""'
        case _:
            text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
