"""Promtail's pipeline stages: what the relay has means for is converted, the rest is noted one by one."""

from typing import Any

from appliance.config.promtail.notes import UNRESOLVED, Draft, Fate
from appliance.config.promtail.tree import Tree

_WHY = {
    "json": "reads the text; the text arrives as it is, and Grafana's `| json` reads it when it is looked at",
    "logfmt": "reads the text; the text arrives as it is, and Grafana's `| logfmt` reads it when it is looked at",
    "regex": "reads the text; the text arrives as it is, and Grafana's `| regexp` reads it when it is looked at",
    "replace": "changes the text, which the relay forwards as it is",
    "template": "makes values of the text, which the relay does not read",
    "output": "replaces the text, which the relay forwards as it is",
    "drop": "looks at the text, which the relay's rules do not; action: drop of labels.relabel_configs drops by header",
    "multiline": "joins lines; a syslog message is one frame, and stays whole",
    "labels": "makes labels of values read from the text, which the relay does not read",
    "structured_metadata": "of values read from the text; process, message id and structured data are metadata anyway",
    "timestamp": "reads the time from the text; the time of the message is relay.time.timestamp: message",
    "limit": "limits lines; the relay's bounds are labels.guard, and Loki's own limits make it wait, not drop",
    "sampling": "drops lines at random, which the relay does not do",
    "decolorize": "changes the text, which the relay forwards as it is",
    "metrics": "counts in Promtail; /metrics here counts lines by input and sender",
    "pack": "changes the text, which the relay forwards as it is",
    "geoip": "looks addresses up, which the relay does not do",
    "eventlogmessage": "is for Windows' event log",
}


def stages(draft: Draft, tree: Tree, labels: dict[str, str], rules: list[dict[str, Any]]) -> None:
    """Convert the stages of a syslog job: into `labels` (static ones), into `rules`, or into a note each."""
    for stage in tree.list():
        for name, child in stage.items():
            _stage(draft, name, child, labels, rules)


def _stage(draft: Draft, name: str, tree: Tree, labels: dict[str, str], rules: list[dict[str, Any]]) -> None:
    match name:
        case "static_labels":
            values = {key: child.text() for key, child in tree.items()}
            labels.update({key: value for key, value in values.items() if not UNRESOLVED.search(value)})
            draft.note(tree, "stage static_labels is labels.static", Fate.TAKEN)
        case "labeldrop":
            rules.append({"action": "labeldrop", "regex": _any_of(tree)})
            draft.note(tree, "stage labeldrop is a rule of labels.relabel_configs", Fate.TAKEN)
        case "labelallow":
            rules.append({"action": "labelkeep", "regex": _any_of(tree)})
            draft.note(tree, "stage labelallow is a rule of labels.relabel_configs", Fate.TAKEN)
        case "tenant" if "value" in tree:
            draft.put("loki.tenant", tree["value"].text(), tree)
        case "tenant":
            draft.note(tree, "not carried over: stage tenant chooses by line; the relay has one tenant, loki.tenant")
        case "match":
            _match(draft, tree)
        case "docker" | "cri":
            draft.note(tree, f"not needed: stage {name} is for files of containers", Fate.TAKEN)
        case _:
            why = _WHY.get(name, "no counterpart")
            draft.note(tree, f"not carried over: stage {name} {why}")


def _match(draft: Draft, tree: Tree) -> None:
    """A match is noted with what it matches, and each stage in it on its own line."""
    selector = tree["selector"].text() if "selector" in tree else "?"
    if "stages" in tree:
        for stage in tree["stages"].list():
            for name, child in stage.items():
                draft.note(child, f"not carried over: stage {name} within match {selector}")
    draft.note(tree, f"not carried over: stage match {selector} looks at labels and text of each line")


def _any_of(tree: Tree) -> str:
    return "|".join(item.text() for item in tree.list()) or tree.text()
