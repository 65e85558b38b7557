"""A `Config` back to YAML: only what differs from the defaults, or everything.

The text that comes out decodes to an equal value. Comments of a file are not kept.
"""

from typing import Any

import msgspec
import yaml

from appliance.config.section import Section
from appliance.config.units import Duration, Size


def dump(config: Section, *, full: bool = False) -> str:
    """Return the YAML text; with `full` every key, else those that are not as by default."""
    return yaml.safe_dump(to_plain(config, full=full), sort_keys=False, allow_unicode=True, width=110)


def to_plain(section: Section, *, full: bool = False) -> dict[str, Any]:
    """Return a section as dicts, lists and texts, units spelled as people write them."""
    plain: dict[str, Any] = {}
    for item in msgspec.structs.fields(section):
        value = getattr(section, item.name)
        required = item.default is msgspec.NODEFAULT and item.default_factory is msgspec.NODEFAULT
        if required or full:
            plain[item.encode_name] = plain_value(value, full=full)
            continue
        default = item.default if item.default_factory is msgspec.NODEFAULT else item.default_factory()
        if value != default:
            plain[item.encode_name] = plain_value(value, full=full)
    return plain


def plain_value(value: object, *, full: bool = False) -> object:
    """Return any value of the model as what YAML and JSON know. Raise TypeError for others."""
    match value:
        case Section():
            return to_plain(value, full=full)
        case Size() | Duration():
            return str(value)
        case bool() | int() | float() | None:
            return value
        case str():
            return str(value[:])
        case list() | tuple():
            return [plain_value(item, full=full) for item in value]
        case dict():
            return {str(key): plain_value(item, full=full) for key, item in value.items()}
    raise TypeError(f"the model uses a type that dump.py does not know: {type(value)!r}")
