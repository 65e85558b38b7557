"""A foreign YAML file as a tree that knows its lines, and which of its settings have been read.

Scalars stay texts, so nothing is guessed. Merge keys are resolved as YAML 1.1 says. Depth and size
are bounded as for our own file.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from appliance.config.load import compose, yaml_problem
from appliance.config.problems import ConfigError
from appliance.errors import UsageError


@dataclass(frozen=True, slots=True)
class Tree:
    """A node: what it holds, what it is called, and in which line of which file it stands."""

    node: yaml.Node
    path: str
    line: int
    source: str = ""
    offset: int = 0
    read: set[int] = field(default_factory=set, repr=False, compare=False)

    def items(self) -> "list[tuple[str, Tree]]":
        """Return the keys and children of a mapping, merged ones included; nothing for anything else."""
        return [
            (name, self._child(value, f"{self.path}.{name}" if self.path else name, key))
            for name, (key, value) in _pairs(self.node, frozenset()).items()
        ]

    def keys(self) -> list[str]:
        """Return the keys of a mapping."""
        return list(_pairs(self.node, frozenset()))

    def __contains__(self, key: str) -> bool:
        return key in self.keys()

    def __getitem__(self, key: str) -> "Tree":
        return dict(self.items())[key]

    def list(self) -> "list[Tree]":
        """Return the items of a list; nothing for anything else."""
        if not isinstance(self.node, yaml.SequenceNode):
            return []
        return [self._child(item, f"{self.path}[{index}]", item) for index, item in enumerate(self.node.value)]

    def text(self) -> str:
        """Return a scalar's text. Raise UsageError for anything else."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise UsageError(f"{self.path} in line {self.line} must be a single value")
        self.read.add(id(self.node))
        return str(self.node.value)

    def texts(self) -> dict[str, str]:
        """Return a mapping of texts."""
        return {key: child.text() for key, child in self.items()}

    def flag(self) -> bool:
        """Return whether a scalar says yes, in YAML 1.1's words."""
        return self.text().lower() in ("true", "yes", "on", "y")

    def mark_read(self) -> None:
        """Note that this and everything below it has been dealt with."""
        self.read.update(id(tree.node) for tree in self.leaves())

    def unread(self) -> "Iterator[Tree]":
        """Yield the single values that nobody has asked for yet."""
        return (tree for tree in self.leaves() if id(tree.node) not in self.read)

    def leaves(self) -> "Iterator[Tree]":
        """Yield what has nothing below it, each node once, however often an alias names it."""
        visited: set[int] = set()
        waiting = [self]
        while waiting:
            tree = waiting.pop()
            if id(tree.node) in visited:
                continue
            visited.add(id(tree.node))
            below = [child for _, child in tree.items()] or tree.list()
            waiting += reversed(below)
            if not below:
                yield tree

    def _child(self, node: yaml.Node, path: str, at: yaml.Node) -> "Tree":
        return Tree(node, path, _line(at) + self.offset, self.source, self.offset, self.read)


def read_tree(text: str, source: str = "", offset: int = 0) -> Tree:
    """Return the tree of a text. Raise ConfigError when it is not YAML, UsageError when it is no mapping."""
    try:
        node = compose(text)
    except yaml.YAMLError as error:
        raise ConfigError([yaml_problem(error, text)], source=source or "the file") from None
    if not isinstance(node, yaml.MappingNode):
        raise UsageError("this is not Promtail's configuration", hint="it is not even a mapping")
    return Tree(node, "", 1 + offset, source, offset)


def _pairs(node: yaml.Node, within: frozenset[int]) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """Return a mapping's keys and values; what is written there wins over what is merged in."""
    if not isinstance(node, yaml.MappingNode) or id(node) in within:
        return {}
    own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value == "<<" and isinstance(value, yaml.MappingNode | yaml.SequenceNode):
            parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for part in parts:
                merged = {**_pairs(part, within | {id(node)}), **merged}
        else:
            own[key.value] = (key, value)
    return {**merged, **own}


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
