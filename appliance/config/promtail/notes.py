"""What became of a setting: a note with its line, and the draft that collects notes and settings."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from appliance.config.promtail.tree import Tree

UNRESOLVED = re.compile(r"\$\{[A-Za-z_]\w*[^}]*\}")
"""A variable of -config.expand-env that nobody gave a value for; groups of expressions are numbers."""


class Fate(StrEnum):
    """What became of a setting, in the order of a report."""

    ACTION = "to do"
    UNSUPPORTED = "not supported"
    CHANGED = "changed meaning"
    TAKEN = "taken over"


@dataclass(frozen=True, slots=True)
class Note:
    """What became of one setting; `line` is that of the file it stands in, `source` that file's name."""

    line: int
    path: str
    text: str
    fate: Fate = Fate.UNSUPPORTED
    source: str = ""

    def __str__(self) -> str:
        return f"line {self.line}: {self.path}: {self.text}" if self.path else f"line {self.line}: {self.text}"


@dataclass(slots=True)
class Draft:
    """A configuration in the making: settings by their path, and notes."""

    made: dict[str, Any] = field(default_factory=lambda: {"loki": {}, "labels": {}, "relay": {}})
    notes: list[Note] = field(default_factory=list)

    def note(self, tree: Tree, text: str, fate: Fate = Fate.UNSUPPORTED) -> None:
        """Say what became of a setting; everything below it has then been seen."""
        tree.mark_read()
        self.remark(tree, text, fate)

    def remark(self, tree: Tree, text: str, fate: Fate = Fate.UNSUPPORTED, key: str = "") -> None:
        """Say something about a setting, or about a key that it lacks, without having dealt with what is in it."""
        path = f"{tree.path}.{key}" if key else tree.path
        self.notes.append(Note(tree.line, path, text, fate, tree.source))

    def put(self, path: str, value: object, tree: Tree) -> None:
        """Take a setting over, unless a variable in it has no value."""
        if isinstance(value, str) and UNRESOLVED.search(value):
            self.unresolved(tree, value)
            return
        if self.has(path) and (set_already := self._get(path)) != value:
            self.note(tree, f"not carried over: {path} is {set_already} already, by another setting")
            return
        self.set(path, value)
        self.note(tree, f"is {path}", Fate.TAKEN)

    def set(self, path: str, value: object) -> None:
        """Set a value at a dotted path."""
        *sections, key = path.split(".")
        place = self.made
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value

    def has(self, path: str) -> bool:
        """Return whether something is set at a dotted path."""
        return self._get(path) is not None

    def _get(self, path: str) -> Any:
        place: Any = self.made
        for key in path.split("."):
            if not isinstance(place, dict) or key not in place:
                return None
            place = place[key]
        return place

    def unresolved(self, tree: Tree, value: str) -> None:
        """Say that a setting was left out for want of a variable's value."""
        name = (UNRESOLVED.search(value) or [""])[0].strip("${}").partition(":")[0]
        text = f"left out: -config.expand-env took {name} from the environment; say --env {name}=VALUE"
        self.note(tree, text, Fate.ACTION)
