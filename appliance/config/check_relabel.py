"""Whether relabeling rules and label names make sense: Prometheus' own rules, said in words.

Source: prometheus/model/relabel, Config.Validate. Applying the rules is the relay's `relabel.py`.
"""

import re
from collections.abc import Iterator

from appliance.config.model_labels import RelabelRule
from appliance.config.problems import Problem, shown

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TARGET = re.compile(r"(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+", re.ASCII)
_NEED_TARGET = frozenset(("replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal"))
_LITERAL_TARGET = _NEED_TARGET - {"replace"}
_NEED_SOURCE = frozenset(("keep", "drop", "keepequal", "dropequal", "hashmod", "lowercase", "uppercase"))
_ONLY_REGEX = frozenset(("labeldrop", "labelkeep"))
_SYSLOG_NAMES = frozenset(
    (
        "__syslog_input",
        "__syslog_connection_ip_address",
        "__syslog_connection_hostname",
        "__syslog_message_severity",
        "__syslog_message_facility",
        "__syslog_message_hostname",
        "__syslog_message_app_name",
        "__syslog_message_proc_id",
        "__syslog_message_msg_id",
    )
)
_STRUCTURED_DATA = "__syslog_message_sd_"
_MAX_REGEX = 4096


def valid_label_name(name: str) -> bool:
    """Return whether Loki takes the name of a label."""
    return _LABEL_NAME.fullmatch(name) is not None


def check_rules(rules: list[RelabelRule], path: str) -> Iterator[Problem]:
    """Yield problems with the rules at `path`."""
    for index, rule in enumerate(rules):
        yield from _check_rule(rule, f"{path}[{index}]")


def _check_rule(rule: RelabelRule, path: str) -> Iterator[Problem]:
    action, default = rule.action, RelabelRule()
    for position, name in enumerate(rule.source_labels):
        where = f"{path}.source_labels[{position}]"
        if not valid_label_name(name):
            hint = "letters, digits and _, not starting with a digit"
            yield Problem(where, "not a label name", hint, shown(name))
        elif name.startswith("__syslog_") and name not in _SYSLOG_NAMES and not name.startswith(_STRUCTURED_DATA):
            hint = f"known: {', '.join(sorted(_SYSLOG_NAMES))}, {_STRUCTURED_DATA}<id>_<name>"
            yield Problem(where, "no such name, it is always empty", hint, shown(name), severity="warning")
        elif name == "__syslog_connection_hostname":
            hint = "__syslog_message_hostname is the name that the sender gives itself"
            message = "is the sender's address here: no name server is asked on a line's way"
            yield Problem(where, message, hint, severity="warning")
    yield from _check_regex(rule, path)
    yield from _check_target(rule, path)
    if action == "hashmod" and rule.modulus is None:
        yield Problem(f"{path}.modulus", "missing: hashmod divides by it")
    if action in _NEED_SOURCE and not rule.source_labels:
        yield Problem(f"{path}.source_labels", f"missing: {action} looks at them")
    unused = []
    if action in ("lowercase", "uppercase", *_ONLY_REGEX, "keepequal", "dropequal"):
        unused.append("replacement")
    if action in ("keepequal", "dropequal"):
        unused += ["regex", "separator", "modulus"]
    if action in _ONLY_REGEX:
        unused += ["source_labels", "separator", "modulus", "target_label"]
    for name in unused:
        if getattr(rule, name) != getattr(default, name):
            yield Problem(f"{path}.{name}", f"has no effect with action {action}", "remove it")


def _check_regex(rule: RelabelRule, path: str) -> Iterator[Problem]:
    where = f"{path}.regex"
    if len(rule.regex) > _MAX_REGEX:
        yield Problem(where, f"longer than {_MAX_REGEX} characters")
        return
    if rule.regex == RelabelRule().regex:
        return
    import re2  # loaded only when there are rules

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(f"^(?s:{rule.regex})$", options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        hint = "RE2 has no look-ahead, look-behind and back references; see github.com/google/re2/wiki/Syntax"
        yield Problem(where, f"not a valid RE2 expression: {shown(reason)}", hint, shown(rule.regex))


def _check_target(rule: RelabelRule, path: str) -> Iterator[Problem]:
    where, target, action = f"{path}.target_label", rule.target_label, rule.action
    if action in _NEED_TARGET and not target:
        yield Problem(where, f"missing: {action} writes or compares it")
    elif target and action in _LITERAL_TARGET and not valid_label_name(target):
        yield Problem(where, "not a label name", "letters, digits and _, not starting with a digit", shown(target))
    elif target and action == "replace" and not _TARGET.fullmatch(target):
        hint = "letters, digits and _, or groups of the expression such as ${1}"
        yield Problem(where, "not a label name", hint, shown(target))
    if action == "labelmap" and not _TARGET.fullmatch(rule.replacement):
        yield Problem(
            f"{path}.replacement", "labelmap uses it as a label name, which it is not", "", shown(rule.replacement)
        )
