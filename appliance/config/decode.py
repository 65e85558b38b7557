"""From a YAML node tree to a typed value, with every problem of the tree, not only the first.

Responsible for what the types can say: known keys, kinds, choices, bounds, units. Scalars are read
by the type that is expected, not by YAML 1.1's guesses, so `method: off`, `min_version: 1.2` or
`rack: 07` mean what they say. Rules across keys are `checks.py`; reading the file is `load.py`.
"""

import difflib
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from msgspec import NODEFAULT, inspect

from appliance.config.problems import Problem, shown
from appliance.config.units import Duration, Endpoint, Rate, Size

MAX_NODES = 20_000
MAX_DEPTH = 40

_INVALID = object()
_EMPTY = yaml.MappingNode("tag:yaml.org,2002:map", [])
_STANDARD_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq"))
_TRUE = frozenset(("true", "yes", "on"))
_FALSE = frozenset(("false", "no", "off"))
_NULL = frozenset(("", "~", "null"))
_WHOLE_NUMBER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?[0-9]{1,18}(\.[0-9]{1,18})?")
_UNITS: dict[type, Callable[[object], object]] = {
    Size: Size.parse,
    Rate: Rate.parse,
    Duration: Duration.parse,
    Endpoint: Endpoint.parse,
}
_SECRET_KEYS = {
    "password": "basic_auth.password_file",
    "bearer_token": "bearer_token_file",
    "token": "bearer_token_file",
    "credentials": "bearer_token_file",
    "authorization": "bearer_token_file",
}
# Stands in for a required text that is missing or wrong, so that the other rules can still be checked.
_PLACEHOLDERS = {"url": "http://loki.invalid/loki/api/v1/push", "address": "192.0.2.0/24"}


@dataclass(slots=True)
class Decoded:
    """What came of a tree: a value that is fit for the other checks, and where things stand in the file."""

    value: Any = None
    problems: list[Problem] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)


def decode(node: yaml.Node | None, target: type) -> Decoded:
    """Decode a tree as `target`, a Section. Where the tree is wrong the value has the default instead."""
    decoder = _Decoder()
    expected = _described(target)
    assert isinstance(expected, inspect.StructType)
    result = decoder.any(_EMPTY if node is None or _is_null(node) else node, expected, "")
    if result is _INVALID:
        result = _Decoder().struct(_EMPTY, expected, "")
    return Decoded(result, decoder.problems, decoder.lines)


_described = functools.cache(inspect.type_info)


class _Decoder:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.lines: dict[str, int] = {}
        self._nodes_left = MAX_NODES
        self._active: set[int] = set()

    def fail(self, node: yaml.Node, path: str, message: str, hint: str = "", *, value: bool = True) -> object:
        text = shown(node.value) if value and isinstance(node, yaml.ScalarNode) else None
        self.problems.append(Problem(path, message, hint, text, _line(node)))
        return _INVALID

    def any(self, node: yaml.Node, expected: inspect.Type, path: str) -> object:
        """Decode one node; _INVALID when it is wrong, which has then been said."""
        self.lines.setdefault(path, _line(node))
        self._nodes_left -= 1
        if self._nodes_left < 0:
            if self._nodes_left == -1:
                self.fail(
                    node, path, "the file becomes too large through aliases", "write values out instead of *aliases"
                )
            return _INVALID
        if id(node) in self._active or len(self._active) > MAX_DEPTH:
            return self.fail(node, path, "an alias refers to what contains it", "write the value out", value=False)
        if node.tag not in _STANDARD_TAGS:
            return self.fail(node, path, f"tags such as {shown(node.tag)} are not supported", "write the plain value")
        self._active.add(id(node))
        try:
            return self._typed(node, expected, path)
        finally:
            self._active.discard(id(node))

    def _typed(self, node: yaml.Node, expected: inspect.Type, path: str) -> object:
        match expected:
            case inspect.Metadata():
                return self._typed(node, expected.type, path)
            case inspect.UnionType():
                inner = next(kind for kind in expected.types if not isinstance(kind, inspect.NoneType))
                if not _is_null(node):
                    return self._typed(node, inner, path)
                if isinstance(inner, inspect.StructType):
                    self.problems.append(
                        Problem(
                            path,
                            "empty, so it is off",
                            "write {} to turn it on with its defaults",
                            None,
                            _line(node),
                            "warning",
                        )
                    )
                return None
            case inspect.StructType():
                return self.struct(node, expected, path)
            case inspect.ListType():
                return self.items(node, expected, path)
            case inspect.DictType():
                return self.mapping(node, expected, path)
        if not isinstance(node, yaml.ScalarNode):
            kind = "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
            return self.fail(node, path, f"{_wanted(expected)} is expected here, not {kind}")
        return self.scalar(node, expected, path)

    def scalar(self, node: yaml.ScalarNode, expected: inspect.Type, path: str) -> object:
        text: str = node.value
        if _is_null(node):
            return self.fail(node, path, f"{_wanted(expected)} is expected here, but it is empty", value=False)
        match expected:
            case inspect.StrType():
                return self.text(node, expected, path)
            case inspect.BoolType():
                lowered = text.strip().lower()
                if lowered in _TRUE or lowered in _FALSE:
                    return lowered in _TRUE
                return self.fail(node, path, "not true or false", "write true or false")
            case inspect.IntType():
                if not _WHOLE_NUMBER.fullmatch(text):
                    return self.fail(node, path, "not a whole number")
                return self.bounded(node, expected, int(text), path)
            case inspect.FloatType():
                if not _NUMBER.fullmatch(text):
                    return self.fail(node, path, "not a number")
                return self.bounded(node, expected, float(text), path)
            case inspect.LiteralType():
                choices = [str(choice) for choice in expected.values]
                if text in choices:
                    return text
                near = difflib.get_close_matches(text.lower(), choices, 1)
                hint = f"did you mean {near[0]}? It is" if near else "it is"
                return self.fail(node, path, "not one of the choices", f"{hint} one of: {', '.join(sorted(choices))}")
            case inspect.CustomType():
                try:
                    return _UNITS[expected.cls](int(text) if _WHOLE_NUMBER.fullmatch(text) else text)
                except ValueError as error:
                    message, _, hint = str(error).partition(": ")
                    return self.fail(node, path, message, hint)
        raise TypeError(f"the model uses a type that decode.py does not know: {expected!r}")

    def text(self, node: yaml.ScalarNode, expected: inspect.StrType, path: str) -> object:
        text: str = node.value
        if len(text) < (expected.min_length or 0):
            return self.fail(node, path, "must not be empty", value=False)
        if expected.max_length is not None and len(text) > expected.max_length:
            return self.fail(node, path, f"longer than {expected.max_length} characters")
        if expected.pattern is not None and not re.search(expected.pattern, text):
            return self.fail(node, path, f"does not match {expected.pattern}")
        return text

    def bounded(
        self, node: yaml.Node, expected: inspect.IntType | inspect.FloatType, number: int | float, path: str
    ) -> object:
        low, high = expected.ge, expected.le
        if (low is not None and number < low) or (high is not None and number > high):
            between = f"between {low} and {high}" if low is not None and high is not None else ""
            wanted = between or (f"{low} or more" if low is not None else f"{high} or less")
            return self.fail(node, path, "out of range", f"it is {wanted}")
        return number

    def items(self, node: yaml.Node, expected: inspect.ListType, path: str) -> object:
        if _is_null(node):
            return []
        if not isinstance(node, yaml.SequenceNode):
            return self.fail(node, path, "a list is expected here", "write one item per line, each after '- '")
        if expected.max_length is not None and len(node.value) > expected.max_length:
            self.fail(node, path, f"more than {expected.max_length} items")
        values = [self.any(item, expected.item_type, f"{path}[{index}]") for index, item in enumerate(node.value)]
        # A wrong item keeps its place, so that the numbers in other problems stay right.
        return values if all(value is not _INVALID for value in values) else _INVALID

    def mapping(self, node: yaml.Node, expected: inspect.DictType, path: str) -> object:
        if _is_null(node):
            return {}
        pairs = self.pairs(node, path)
        if pairs is None:
            return _INVALID
        values = {key: self.any(item, expected.value_type, f"{path}.{key}") for key, item in pairs.items()}
        return {key: value for key, value in values.items() if value is not _INVALID}

    def pairs(self, node: yaml.Node, path: str) -> Mapping[str, yaml.Node] | None:
        """Return a mapping's keys and nodes; a duplicate or a key that is no text is a problem."""
        if not isinstance(node, yaml.MappingNode):
            self.fail(
                node, path, "a mapping is expected here", "write one 'key: value' per line, indented below the name"
            )
            return None
        pairs: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.fail(key, path, "a key must be a string", value=False)
            elif key.value in pairs:
                first = _line(pairs[key.value])
                self.problems.append(
                    Problem(_join(path, key.value), f"duplicate key, first in line {first}", line=_line(key))
                )
            else:
                pairs[key.value] = value
        return pairs

    def struct(self, node: yaml.Node, expected: inspect.StructType, path: str) -> object:
        pairs = {} if _is_null(node) else self.pairs(node, path)
        if pairs is None:
            return _INVALID
        fields = {item.encode_name: item for item in expected.fields}
        for key, child in pairs.items():
            if key not in fields:
                self.unknown(child, key, list(fields), path)
        values: dict[str, object] = {}
        for name, item in fields.items():
            where = _join(path, name)
            value = self.any(pairs[name], item.type, where) if name in pairs else _INVALID
            if value is not _INVALID:
                values[item.name] = value
            elif item.default is NODEFAULT and item.default_factory is NODEFAULT:
                if name not in pairs:
                    description = _description(item.type)
                    self.problems.append(Problem(where, "missing", description, line=_line(node)))
                values[item.name] = self.placeholder(item)
        return expected.cls(**values)

    def placeholder(self, item: inspect.Field) -> object:
        kind = item.type.type if isinstance(item.type, inspect.Metadata) else item.type
        if isinstance(kind, inspect.StructType):
            return _Decoder().struct(_EMPTY, kind, "")
        return _PLACEHOLDERS.get(item.encode_name, "placeholder")

    def unknown(self, node: yaml.Node, key: str, known: list[str], path: str) -> None:
        near = difflib.get_close_matches(key, known, 1, cutoff=0.6)
        if key == "<<":
            hint = "merge keys are not supported: write the values out"
        elif key in _SECRET_KEYS:
            hint = f"secrets belong in separate files: use {_SECRET_KEYS[key]}"
        elif near:
            hint = f"did you mean {near[0]}?"
        else:
            elsewhere = _places().get(key)
            hint = f"it belongs to {elsewhere}" if elsewhere else f"known here: {', '.join(known)}"
        where = path or "the top of the file"
        self.problems.append(Problem(_join(path, shown(key)), f"{where} has no such key", hint, line=_line(node)))


@functools.cache
def _places() -> dict[str, str]:
    """Return where in the file each key stands whose name stands in only one place."""
    from appliance.config.model import Config

    found: dict[str, set[str]] = {}

    def walk(kind: inspect.Type, path: str) -> None:
        match kind:
            case inspect.Metadata():
                walk(kind.type, path)
            case inspect.UnionType():
                for inner in kind.types:
                    walk(inner, path)
            case inspect.StructType():
                for item in kind.fields:
                    found.setdefault(item.encode_name, set()).add(path or "the top of the file")
                    walk(item.type, _join(path, item.encode_name))

    walk(_described(Config), "")
    return {key: next(iter(places)) for key, places in found.items() if len(places) == 1}


def _wanted(expected: inspect.Type) -> str:
    match expected:
        case inspect.StrType():
            return "a text"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            return "a number"
        case inspect.CustomType():
            names = {Size: "a size", Rate: "a rate", Duration: "a duration", Endpoint: "a listening address"}
            return names[expected.cls]
        case inspect.LiteralType():
            return "one of " + ", ".join(str(value) for value in expected.values)
    return "a value"


def _description(kind: inspect.Type) -> str:
    extra = kind.extra_json_schema if isinstance(kind, inspect.Metadata) else None
    return str((extra or {}).get("description", ""))


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.style and node.value.lower() in _NULL


def _line(node: yaml.Node) -> int:
    mark = node.start_mark
    return mark.line + 1 if mark else 0


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
