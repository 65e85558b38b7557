"""Label sets as Loki reads and writes them; written apart from the project's own parser.

Only the forms that clients send are read: `{name="value", …}` with double or back quotes.
"""

import json
import re
from collections.abc import Mapping

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`')
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_SINGLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"', "'": "'"}

# Order in which Loki looks for the service's name (limits_config.discover_service_name).
_SERVICE = (
    "service", "app", "application", "app_name", "name", "app_kubernetes_io_name", "container", "container_name",
    "k8s_container_name", "component", "workload", "job", "k8s_job_name",
)  # fmt: skip


class ParseError(ValueError):
    """The message is as Loki's parser says it."""


def parse(text: str) -> dict[str, str]:
    """Labels of a stream, in the order given. Raise ParseError."""
    labels: dict[str, str] = {}
    at = _blank(text, 0)
    if text[at : at + 1] != "{":
        raise ParseError(f"1:{at + 1}: parse error: syntax error: unexpected IDENTIFIER, expecting {{")
    at = _blank(text, at + 1)
    while text[at : at + 1] != "}":
        name = _NAME.match(text, at)
        if not name:
            raise _unexpected(text, at)
        at = _blank(text, name.end())
        if text[at : at + 1] != "=":
            raise _unexpected(text, at)
        at = _blank(text, at + 1)
        value = _STRING.match(text, at)
        if not value:
            raise ParseError(f"1:{at + 1}: parse error: unterminated quoted string")
        labels[name[0]] = unquote(value[0])
        at = _blank(text, value.end())
        if text[at : at + 1] == ",":
            at = _blank(text, at + 1)
        elif text[at : at + 1] != "}":
            raise _unexpected(text, at)
    if _blank(text, at + 1) != len(text):
        raise _unexpected(text, at + 1)
    return {name: value for name, value in labels.items() if value}


def _blank(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\n") and at < len(text):
        at += 1
    return at


def _unexpected(text: str, at: int) -> ParseError:
    if at >= len(text):
        return ParseError(f"1:{at + 1}: parse error: unexpected end of input inside braces")
    return ParseError(f"1:{at + 1}: parse error: unexpected character inside braces: '{text[at]}'")


def unquote(quoted: str) -> str:
    """A Go string literal's value; \\x escapes are bytes of UTF-8."""
    if quoted[0] == "`":
        return quoted[1:-1]
    if "\\" not in quoted:
        return quoted[1:-1]
    out = bytearray()
    at = 1
    for match in _ESCAPE.finditer(quoted, 1, len(quoted) - 1):
        out += quoted[at : match.start()].encode()
        code = match[1]
        if code[0] == "x":
            out.append(int(code[1:], 16))
        elif code[0] in "uU":
            out += chr(int(code[1:], 16)).encode()
        elif code[0] in "01234567" and len(code) == 3:
            out.append(int(code, 8))
        elif code in _SINGLE:
            out += _SINGLE[code].encode()
        else:
            raise ParseError("1:1: parse error: unknown escape sequence")
        at = match.end()
    out += quoted[at:-1].encode()
    return out.decode(errors="replace")


def show(labels: Mapping[str, str]) -> str:
    """As Loki names a stream in its answers: sorted, quoted."""
    return "{" + ", ".join(f"{name}={json.dumps(labels[name], ensure_ascii=False)}" for name in sorted(labels)) + "}"


def with_service_name(labels: dict[str, str]) -> dict[str, str]:
    """Loki adds `service_name` to every stream that has none."""
    if "service_name" in labels:
        return labels
    found = next((labels[name] for name in _SERVICE if name in labels), "unknown_service")
    return {**labels, "service_name": found}
