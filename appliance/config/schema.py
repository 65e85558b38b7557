"""The JSON Schema of `appliance.yaml`: for editors that complete and check while one types.

Made from the model, so it knows every key, its meaning, its bounds and its default. Rules across keys
are not in it; `appliance config validate` knows them.
"""

from typing import Any

from msgspec import NODEFAULT, inspect

from appliance.config.dump import plain_value
from appliance.config.model import Config
from appliance.config.units import Duration, Endpoint, Rate, Size

_LEAVES: dict[type, dict[str, Any]] = {
    Size: {"type": ["string", "integer"], "minimum": 0, "examples": ["64KiB", "2GiB"]},
    Rate: {"type": ["string", "integer"], "minimum": 0, "examples": ["3MiB/s"]},
    Duration: {"type": ["string", "number"], "minimum": 0, "examples": ["500ms", "30s", "7d"]},
    Endpoint: {"type": "string", "examples": ["127.0.0.1:2514", "[::]:3500"]},
}


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12), defaults spelled as in the file."""
    definitions: dict[str, Any] = {}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "appliance.yaml",
        **_schema(inspect.type_info(Config), definitions),
        "$defs": definitions,
    }


def _schema(kind: inspect.Type, definitions: dict[str, Any]) -> dict[str, Any]:
    match kind:
        case inspect.Metadata():
            return {**(kind.extra_json_schema or {}), **_schema(kind.type, definitions)}
        case inspect.StructType():
            name = kind.cls.__name__
            if name not in definitions:
                definitions[name] = _struct(kind, definitions)
            return {"$ref": f"#/$defs/{name}"}
        case inspect.UnionType():
            return {"anyOf": [_schema(inner, definitions) for inner in kind.types]}
        case inspect.NoneType():
            return {"type": "null"}
        case inspect.ListType():
            return _given(type="array", items=_schema(kind.item_type, definitions), maxItems=kind.max_length)
        case inspect.DictType():
            return {"type": "object", "additionalProperties": _schema(kind.value_type, definitions)}
        case inspect.LiteralType():
            return {"enum": list(kind.values)}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.StrType():
            return _given(type="string", minLength=kind.min_length, maxLength=kind.max_length, pattern=kind.pattern)
        case inspect.IntType() | inspect.FloatType():
            number = "integer" if isinstance(kind, inspect.IntType) else "number"
            return _given(type=number, minimum=kind.ge, maximum=kind.le)
        case inspect.CustomType():
            return dict(_LEAVES[kind.cls])
    raise TypeError(f"the model uses a type that schema.py does not know: {kind!r}")


def _struct(kind: inspect.StructType, definitions: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for item in kind.fields:
        described = _schema(item.type, definitions)
        if item.default is not NODEFAULT:
            described["default"] = plain_value(item.default)
        elif item.default_factory is not NODEFAULT:
            described["default"] = plain_value(item.default_factory())
        else:
            required.append(item.encode_name)
        properties[item.encode_name] = described
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _given(**keywords: object) -> dict[str, Any]:
    return {name: value for name, value in keywords.items() if value is not None}
