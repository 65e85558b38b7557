"""A foreign YAML file as a tree that knows its lines, for reading it setting by setting.

Scalars stay texts, so nothing is guessed. Depth and size are bounded as for our own file.
"""

from dataclasses import dataclass

import yaml

from appliance.config.load import compose, yaml_problem
from appliance.config.problems import ConfigError
from appliance.errors import UsageError


@dataclass(frozen=True, slots=True)
class Tree:
    """A node: what it holds, what it is called, and in which line it stands."""

    node: yaml.Node
    path: str
    line: int

    def items(self) -> list[tuple[str, "Tree"]]:
        """Return the keys and children of a mapping; nothing for anything else."""
        if not isinstance(self.node, yaml.MappingNode):
            return []
        return [
            (key.value, Tree(value, f"{self.path}.{key.value}" if self.path else key.value, _line(key)))
            for key, value in self.node.value
            if isinstance(key, yaml.ScalarNode)
        ]

    def keys(self) -> list[str]:
        """Return the keys of a mapping."""
        return [key for key, _ in self.items()]

    def __contains__(self, key: str) -> bool:
        return key in self.keys()

    def __getitem__(self, key: str) -> "Tree":
        return dict(self.items())[key]

    def list(self) -> "list[Tree]":
        """Return the items of a list; nothing for anything else."""
        if not isinstance(self.node, yaml.SequenceNode):
            return []
        return [Tree(item, f"{self.path}[{index}]", _line(item)) for index, item in enumerate(self.node.value)]

    def text(self) -> str:
        """Return a scalar's text. Raise UsageError for anything else."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise UsageError(f"{self.path} in line {self.line} has to be a single value")
        return str(self.node.value)

    def texts(self) -> dict[str, str]:
        """Return a mapping of texts."""
        return {key: child.text() for key, child in self.items()}

    def flag(self) -> bool:
        """Return whether a scalar says yes, in YAML 1.1's words."""
        return self.text().lower() in ("true", "yes", "on", "y")


def read_tree(text: str) -> Tree:
    """Return the tree of a text. Raise ConfigError when it is no YAML, UsageError when it is no mapping."""
    try:
        node = compose(text)
    except yaml.YAMLError as error:
        raise ConfigError([yaml_problem(error, text)], source="the file") from None
    if not isinstance(node, yaml.MappingNode):
        raise UsageError("this is not Promtail's configuration", hint="it is not even a mapping")
    return Tree(node, "", 1)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
