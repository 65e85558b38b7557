"""The configuration reference as Markdown, generated from the model for `docs/configuration.md`.

Only what the model knows: keys, meanings, types, bounds and defaults. Rules across keys are checked by
`appliance config validate`. Run `python -m appliance.config.reference > docs/configuration.md` after a
change of the model; a test compares the two.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from appliance.config.schema import json_schema

_SPELLED = {"64KiB": "size", "3MiB/s": "rate", "500ms": "duration", "127.0.0.1:2514": "address:port"}

_HEAD = """<!-- Generated from the model by `python -m appliance.config.reference`; change the model, not this file. -->
# Configuration reference

Every key of `/etc/appliance/appliance.yaml`. Only `loki.url` has no default. Sizes are written as `64KiB` or
`2GiB`, durations as `500ms`, `30s` or `7d`, rates as `3MiB/s`, addresses as `127.0.0.1:3500` or `[::]:3500`.
A section whose default is *off* is not used until it appears; `{}` turns it on with its defaults.

`appliance config validate FILE` reports all problems of a file at once. `appliance config schema` prints the
same as this page as JSON Schema, for editors that complete while you type.
"""


def reference() -> str:
    """Return the whole page."""
    schema = json_schema()
    definitions: dict[str, Any] = schema["$defs"]
    parts = [_HEAD]
    for section, described in definitions["Config"]["properties"].items():
        parts.append(f"## {section}\n")
        if text := described.get("description"):
            parts.append(f"{text}\n")
        parts.append(_table(list(_rows(section, described, definitions))))
    return "\n".join(parts)


def _rows(path: str, described: dict[str, Any], definitions: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield (key, type, default, meaning) of everything below `path`, in the model's order."""
    struct = _struct(described, definitions)
    if struct is None:
        return
    for name, item in struct["properties"].items():
        key = f"{path}.{name}"
        inner = _struct(item, definitions)
        default = _default(item, inner, required=name in struct["required"])
        yield key, _type(item, definitions), default, item.get("description", "")
        if inner is not None:
            yield from _rows(key + ("[]" if _is_list(item) else ""), item, definitions)


def _alternatives(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in item.get("anyOf", [item]) if one.get("type") != "null"]


def _is_list(item: dict[str, Any]) -> bool:
    return any(one.get("type") == "array" for one in _alternatives(item))


def _struct(item: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any] | None:
    """Return the definition that an item, or the elements of a list, refers to."""
    for one in _alternatives(item):
        inner = one.get("items", one)
        if "$ref" in inner:
            found: dict[str, Any] = definitions[inner["$ref"].rpartition("/")[2]]
            return found
    return None


def _type(item: dict[str, Any], definitions: dict[str, Any]) -> str:
    return " or ".join(dict.fromkeys(_type_of(one, definitions) for one in _alternatives(item)))


def _type_of(one: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in one:
        return "section"
    if "enum" in one:
        return " \\| ".join(f"`{value}`" for value in one["enum"])
    if one.get("type") == "array":
        return f"list of {_type_of(one['items'], definitions)}"
    if one.get("type") == "object":
        return "map"
    if "examples" in one:
        return _SPELLED[one["examples"][0]]
    kind = {"string": "text", "integer": "number", "number": "number", "boolean": "true or false"}[one["type"]]
    low, high = one.get("minimum"), one.get("maximum")
    if low is not None and high is not None:
        return f"{kind}, {low} to {high}"
    return kind if low is None else f"{kind}, at least {low}"


def _default(item: dict[str, Any], inner: dict[str, Any] | None, *, required: bool) -> str:
    if required:
        return "**required**"
    default = item.get("default")
    if default is None:
        return "*off*" if inner is not None else "*none*"
    if isinstance(default, dict | list):
        if inner is not None and not _is_list(item):
            return ""  # its keys have their own
        text = json.dumps(default)
        return f"`{text}`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{key}` | {kind} | {default} | {_cell(meaning)} |" for key, kind, default, meaning in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.stdout.write(reference())
