"""Prometheus relabeling: rules in, a function from labels to labels out.

Pure. Which labels there are to begin with (`__syslog_*` and defaults) and what becomes of the result
is `labels/resolver.py`'s; whether rules make sense was judged by `appliance.config.check_relabel`.
Source: prometheus/model/relabel/relabel.go, Go's regexp.Expand and strings.ToLower. One difference: a
label name that Loki would refuse is never made, by labelmap neither (Prometheus would take it).
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import re2

from appliance.config import model
from appliance.errors import ApplianceError

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# What regexp.Expand takes for a reference: $$, $name, ${name}; any other $ stands for itself.
_REFERENCE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})")
_Template = tuple[str | int, ...]  # text, or the number of a group
_Step = Callable[["_Labels"], bool]  # False: the entry is dropped


class _Labels:
    """A label set under change, in the order in which Prometheus' builder walks it.

    That order decides which of two labels wins when labelmap makes one name of both: those of the
    input that were not written, by name, then those written, by the time of their first writing.
    """

    __slots__ = ("_input", "_written")

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._input = {name: labels[name] for name in sorted(labels) if labels[name]}
        self._written: dict[str, str] = {}

    def get(self, name: str) -> str:
        """Return the label's value, empty when there is none."""
        return self._written.get(name) or self._input.get(name, "")

    def set(self, name: str, value: str) -> None:
        """Write a label; an empty value deletes it."""
        if value:
            self._written[name] = value
        else:
            self.delete(name)

    def delete(self, name: str) -> None:
        self._written.pop(name, None)
        self._input.pop(name, None)

    def items(self) -> list[tuple[str, str]]:
        left = [(name, value) for name, value in self._input.items() if name not in self._written]
        return left + list(self._written.items())


class Relabel:
    """Compiled rules. Thread-safe: it remembers nothing."""

    __slots__ = ("_steps", "sources")

    def __init__(self, steps: list[_Step], sources: frozenset[str] | None) -> None:
        self._steps = steps
        # Names of labels whose values the rules may read, None for any. Rules that only let labels of
        # the input through or remove them by name (labeldrop, labelkeep) read no value.
        self.sources = sources

    def apply(self, labels: Mapping[str, str]) -> dict[str, str] | None:
        """Return the labels after all rules, `__…` ones included; None when a rule drops the entry."""
        changed = _Labels(labels)
        for step in self._steps:
            if not step(changed):
                return None
        return dict(changed.items())


def compile_rules(rules: Sequence[model.RelabelRule]) -> Relabel:
    """Raise ApplianceError for an expression that RE2 refuses or a rule that lacks what it needs."""
    steps = [_step(rule, f"labels.relabel_configs[{number}]") for number, rule in enumerate(rules)]
    if any(rule.action == "labelmap" for rule in rules):
        return Relabel(steps, None)
    return Relabel(steps, frozenset(name for rule in rules for name in _read_by(rule)))


def _read_by(rule: model.RelabelRule) -> Iterator[str]:
    yield from rule.source_labels
    if rule.action in ("keepequal", "dropequal") and rule.target_label:
        yield rule.target_label


def _step(rule: model.RelabelRule, path: str) -> _Step:
    action = rule.action
    if action in ("keep", "drop"):
        return _filter(rule, _Expression(rule.regex, path))
    if action in ("labeldrop", "labelkeep"):
        return _remove(_Expression(rule.regex, path), matching=action == "labeldrop")
    if action == "labelmap":
        return _map(_Expression(rule.regex, path), rule.replacement)
    if not rule.target_label:
        raise ApplianceError(f"{path} has no target_label", hint=f"{action} writes or compares it")
    if action == "replace":
        return _replace(rule, _Expression(rule.regex, path), rule.target_label)
    if action in ("keepequal", "dropequal"):
        return _compare(rule, rule.target_label, equal=action == "keepequal")
    if action == "hashmod":
        if not rule.modulus:
            raise ApplianceError(f"{path} has no modulus", hint="hashmod divides by it")
        return _write(rule, rule.target_label, _hash(rule.modulus))
    return _write(rule, rule.target_label, go_lower if action == "lowercase" else go_upper)


class _Expression:
    """A regular expression of a rule, anchored as Prometheus anchors it.

    RE2 is given bytes: offsets are those of the encoded text, and nothing is decoded that is not used.
    """

    __slots__ = ("_pattern",)

    def __init__(self, regex: str, path: str) -> None:
        options = re2.Options()
        options.log_errors = False
        try:
            self._pattern = re2.compile(f"^(?s:{regex})$".encode(), options)
        except (re2.error, UnicodeEncodeError) as error:
            reason = error.args[0] if error.args else ""
            text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
            raise ApplianceError(
                f"{path}.regex is not a valid RE2 expression: {text}",
                hint="RE2 has no look-ahead, look-behind and back references",
            ) from None

    def matches(self, value: str) -> bool:
        return self._pattern.match(value.encode(errors="replace")) is not None

    def groups(self, value: str) -> list[str] | None:
        """Return the whole match and its groups, empty for those that took no part; None without a match."""
        match: Any = self._pattern.match(value.encode(errors="replace"))
        if match is None:
            return None
        whole = cast(bytes, match.group(0))
        return [part.decode(errors="replace") if part else "" for part in (whole, *match.groups())]

    def template(self, text: str) -> _Template:
        """Text with references to groups, ready for `_expand`; unknown groups are empty."""
        names: Mapping[str | bytes, int] = self._pattern.groupindex
        by_name = {name.decode() if isinstance(name, bytes) else name: number for name, number in names.items()}
        parts: list[str | int] = []
        at = 0
        for match in _REFERENCE.finditer(text):
            parts.append(text[at : match.start()])
            at = match.end()
            if match[1]:
                parts.append("$")
                continue
            name = match[2] or match[3]
            # As in Go, a number with a leading zero is a name, and one beyond the groups is empty.
            if name.isascii() and name.isdigit() and (name == "0" or name[0] != "0"):
                if len(name) < 9 and int(name) <= self._pattern.groups:
                    parts.append(int(name))
            elif name in by_name:
                parts.append(by_name[name])
        parts.append(text[at:])
        return tuple(part for part in parts if part != "")


def _expand(template: _Template, groups: Sequence[str]) -> str:
    return "".join([part if isinstance(part, str) else groups[part] for part in template])


def _joined(rule: model.RelabelRule) -> Callable[[_Labels], str]:
    """Return what the rule looks at: the values of its source labels, joined."""
    names, separator = tuple(rule.source_labels), rule.separator
    if len(names) == 1:
        return lambda labels: labels.get(names[0])
    return lambda labels: separator.join([labels.get(name) for name in names])


def _filter(rule: model.RelabelRule, expression: _Expression) -> _Step:
    joined, keep = _joined(rule), rule.action == "keep"
    return lambda labels: expression.matches(joined(labels)) is keep


def _compare(rule: model.RelabelRule, target: str, *, equal: bool) -> _Step:
    joined = _joined(rule)
    return lambda labels: (labels.get(target) == joined(labels)) is equal


def _write(rule: model.RelabelRule, target: str, change: Callable[[str], str]) -> _Step:
    joined = _joined(rule)

    def step(labels: _Labels) -> bool:
        labels.set(target, change(joined(labels)))
        return True

    return step


def _replace(rule: model.RelabelRule, expression: _Expression, target: str) -> _Step:
    joined = _joined(rule)
    name_template, value_template = expression.template(target), expression.template(rule.replacement)

    def step(labels: _Labels) -> bool:
        groups = expression.groups(joined(labels))
        if groups is not None:
            name = _expand(name_template, groups)
            if _LABEL_NAME.fullmatch(name):
                labels.set(name, _expand(value_template, groups))
        return True

    return step


def _map(expression: _Expression, replacement: str) -> _Step:
    template = expression.template(replacement)

    def step(labels: _Labels) -> bool:
        for name, value in labels.items():
            groups = expression.groups(name)
            if groups is not None:
                made = _expand(template, groups)
                if _LABEL_NAME.fullmatch(made):
                    labels.set(made, value)
        return True

    return step


def _remove(expression: _Expression, *, matching: bool) -> _Step:
    def step(labels: _Labels) -> bool:
        for name, _ in labels.items():
            if expression.matches(name) is matching:
                labels.delete(name)
        return True

    return step


def _hash(modulus: int) -> Callable[[str], str]:
    """Return the last eight bytes of the MD5 sum, as a big-endian number, modulo `modulus`."""

    def change(value: str) -> str:
        digest = hashlib.md5(value.encode(errors="replace"), usedforsecurity=False).digest()
        return str(int.from_bytes(digest[8:], "big") % modulus)

    return change


def go_lower(text: str) -> str:
    """As strings.ToLower: character by character, one for one, without regard to adjacent ones."""
    return text.lower() if text.isascii() else "".join([character.lower()[:1] for character in text])


def go_upper(text: str) -> str:
    """As strings.ToUpper: one character for one (`ß` has no single capital and stays)."""
    return text.upper() if text.isascii() else "".join(map(_upper, text))


def _upper(character: str) -> str:
    for candidate in (character.upper(), character.title()):
        if len(candidate) == 1:
            return candidate
    return character
