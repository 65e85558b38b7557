"""Log records of OpenTelemetry as values, whatever they came in: what the decoders make and the mapping takes.

Values of attributes and bodies are str, bool, int, float, bytes, a list of values, or Pairs; None is an
empty one. Source: opentelemetry-proto, opentelemetry/proto/{logs,common,resource}/v1.
"""

import base64
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

DEEPEST = 64
"""Values nested deeper than this are not taken."""

Value = object
Pairs = tuple[tuple[str, Value], ...]


LARGEST = 50_000
"""Values of one record, or of one resource, of which more are not taken."""


class TooDeep(ValueError):
    """A value is nested deeper than DEEPEST, or has more than LARGEST parts."""


@dataclass(slots=True)
class Record:
    """One log record; times in Unix nanoseconds, 0 for none."""

    time_ns: int = 0
    observed_ns: int = 0
    severity: int = 0
    severity_text: str = ""
    body: Value = None
    attributes: list[tuple[str, Value]] = field(default_factory=list)
    dropped_attributes: int = 0
    flags: int = 0
    trace_id: bytes = b""
    span_id: bytes = b""
    event_name: str = ""


@dataclass(slots=True)
class Scope:
    name: str = ""
    version: str = ""
    attributes: list[tuple[str, Value]] = field(default_factory=list)
    dropped_attributes: int = 0


@dataclass(slots=True)
class ScopeLogs:
    """Records of one scope; None stands for one that cannot be taken."""

    scope: Scope
    records: Iterator[Record | None]


@dataclass(slots=True)
class ResourceLogs:
    attributes: list[tuple[str, Value]]
    scopes: Iterator[ScopeLogs]


def as_text(value: Value) -> str:
    """Return a value as Loki writes it: pdata's AsString, which for what is nested is JSON. Raise TooDeep."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _number(value)
        case bytes():
            return base64.b64encode(value).decode()
    return "".join(_json(value, 0))


def _json(value: Value, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        raise TooDeep
    match value:
        case None:
            yield "null"
        case bool() | int() | float():
            yield as_text(value)
        case list():
            for number, item in enumerate(value):
                yield "," if number else "["
                yield from _json(item, depth + 1)
            yield "]" if value else "[]"
        case tuple():
            for number, (name, item) in enumerate(value):
                yield ("," if number else "{") + json.dumps(name, ensure_ascii=False) + ":"
                yield from _json(item, depth + 1)
            yield "}" if value else "{}"
        case _:
            yield json.dumps(as_text(value), ensure_ascii=False)


def _number(value: float) -> str:
    """Return a float as Go's encoding/json writes it."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if value == 0:
        return "0"
    if 1e-6 <= abs(value) < 1e21:
        from decimal import Decimal  # a mebibyte of memory that few need

        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa.removesuffix('.0')}e{exponent[0]}{exponent[1:].lstrip('0')}"
