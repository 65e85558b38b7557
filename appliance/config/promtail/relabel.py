"""Promtail's `relabel_configs` as ours: the same rules, with what differs about their names said."""

from dataclasses import dataclass
from typing import Any

from appliance.config.model_labels import RelabelRule
from appliance.config.promtail.notes import UNRESOLVED, Draft, Fate
from appliance.config.promtail.tree import Tree

_KEYS = frozenset(RelabelRule.__struct_fields__)
_CONDITIONAL = frozenset(("replace", "drop", "lowercase", "uppercase", "hashmod"))


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as a mapping of our configuration, and where it stood."""

    made: dict[str, Any]
    tree: Tree


def read_rule(draft: Draft, rule: Tree) -> dict[str, Any]:
    """Return one rule as a mapping; a key that no rule has is noted."""
    made: dict[str, Any] = {}
    for key, child in rule.items():
        if key == "source_labels":
            made[key] = [item.text() for item in child.list()]
        elif key in _KEYS:
            made[key] = child.text().lower() if key == "action" else child.text()
        else:
            draft.note(child, "not carried over: not a key of a rule")
    return made


def read_rules(draft: Draft, tree: Tree) -> list[Rule]:
    """Return the rules of a list, each said to be taken over; one with a variable without value is left out."""
    rules = []
    for rule in tree.list():
        made = read_rule(draft, rule)
        unresolved = next((text for text in _texts(made) if UNRESOLVED.search(text)), None)
        if unresolved is not None and not _is_group(unresolved, made):
            draft.unresolved(rule, unresolved)
            continue
        draft.note(rule, "is a rule of labels.relabel_configs", Fate.TAKEN)
        if "__syslog_connection_hostname" in made.get("source_labels", ()):
            text = "__syslog_connection_hostname is the sender's address here: no name server is asked"
            draft.note(rule, text, Fate.CHANGED)
        rules.append(Rule(made, rule))
    return rules


def only_for(draft: Draft, rule: Rule, inputs: str) -> Rule | None:
    """Return a rule that counts for some inputs only (an expression over their names), None when it cannot."""
    action = rule.made.get("action", "replace")
    if action not in _CONDITIONAL:
        text = f"not carried over: {action} of one of several jobs would count for the lines of the others, too"
        draft.note(rule.tree, text)
        return None
    if action in ("lowercase", "uppercase", "hashmod"):
        draft.note(rule.tree, "counts for the lines of the other jobs, too", Fate.CHANGED)
        return rule
    separator = rule.made.get("separator", ";")
    made = {
        **rule.made,
        "source_labels": ["__syslog_input", *rule.made.get("source_labels", [])],
        "regex": f"(?:{inputs}){_quoted(separator)}(?:{rule.made.get('regex', '(.*)')})",
    }
    if not rule.made.get("source_labels"):
        made["regex"] = f"(?:{inputs})(?:{rule.made.get('regex', '(.*)')})"
    return Rule(made, rule.tree)


def label_for(name: str, value: str, inputs: str) -> dict[str, Any]:
    """Return a rule that sets a label for the lines of some inputs."""
    return {"source_labels": ["__syslog_input"], "regex": inputs, "target_label": name,
            "replacement": value.replace("$", "$$")}  # fmt: skip


def _texts(made: dict[str, Any]) -> list[str]:
    return [text for value in made.values() for text in (value if isinstance(value, list) else [value])]


def _is_group(text: str, made: dict[str, Any]) -> bool:
    """Return whether ${name} is a named group of the rule's own expression."""
    return all(f"<{match.strip('${}')}>" in str(made.get("regex", "")) for match in UNRESOLVED.findall(text))


def _quoted(text: str) -> str:
    return "".join(character if character.isalnum() or character in "_;,/ " else f"\\{character}" for character in text)
