"""ExportLogsServiceRequest in OTLP's JSON to records.

Names are lowerCamelCase; 64-bit integers are text or numbers, trace_id and span_id hexadecimal, other
bytes base64. Source: opentelemetry-specification, protocol/otlp.md, "JSON Protobuf Encoding".
"""

import base64
import binascii
from collections.abc import Iterator

import msgspec

from appliance.relay.listen.otlp_proto import MalformedOtlp, TooManyFields
from appliance.relay.listen.otlp_records import DEEPEST, Record, ResourceLogs, Scope, ScopeLogs, TooDeep, Value

_OBJECTS = 500_000  # of one request, roughly: brackets within texts count as well

Integer = int | str


class _Any(msgspec.Struct, gc=False, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Integer | None = None
    double_value: float | str | None = None
    array_value: "_Array | None" = None
    kvlist_value: "_List | None" = None
    bytes_value: str | None = None


class _Pair(msgspec.Struct, gc=False):
    key: str = ""
    value: _Any | None = None


class _Array(msgspec.Struct, gc=False):
    values: list[_Any] | None = None


class _List(msgspec.Struct, gc=False):
    values: list[_Pair] | None = None


class _Record(msgspec.Struct, gc=False, rename="camel"):
    time_unix_nano: Integer | None = 0
    observed_time_unix_nano: Integer | None = 0
    severity_number: Integer | None = 0
    severity_text: str | None = ""
    body: _Any | None = None
    attributes: list[_Pair] | None = None
    dropped_attributes_count: int | None = 0
    flags: int | None = 0
    trace_id: str | None = ""
    span_id: str | None = ""
    event_name: str | None = ""


class _Scope(msgspec.Struct, gc=False, rename="camel"):
    name: str | None = ""
    version: str | None = ""
    attributes: list[_Pair] | None = None
    dropped_attributes_count: int | None = 0


class _ScopeLogs(msgspec.Struct, gc=False, rename="camel"):
    scope: _Scope | None = None
    log_records: list[_Record] | None = None


class _Resource(msgspec.Struct, gc=False):
    attributes: list[_Pair] | None = None


class _ResourceLogs(msgspec.Struct, gc=False, rename="camel"):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Request(msgspec.Struct, gc=False, rename="camel"):
    resource_logs: list[_ResourceLogs] | None = None


_json = msgspec.json.Decoder(_Request)


def resources(body: bytes | bytearray) -> Iterator[ResourceLogs]:
    """Yield everything in the request. Raise MalformedOtlp or TooManyFields."""
    if body.count(b"{") > _OBJECTS:
        raise TooManyFields(f"more than {_OBJECTS} objects in one request")
    try:
        request = _json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedOtlp(f"json: {error}") from None
    for one in request.resource_logs or ():
        try:
            attributes = _pairs(one.resource.attributes if one.resource else None, 0)
        except TooDeep:
            raise MalformedOtlp("an attribute of a resource is nested too deep") from None
        yield ResourceLogs(attributes, _scopes(one))


def _scopes(one: _ResourceLogs) -> Iterator[ScopeLogs]:
    for logs in one.scope_logs or ():
        given = logs.scope or _Scope()
        scope = Scope(
            given.name or "", given.version or "", _pairs(given.attributes, 0), given.dropped_attributes_count or 0
        )
        yield ScopeLogs(scope, _records(logs))


def _records(logs: _ScopeLogs) -> Iterator[Record | None]:
    for given in logs.log_records or ():
        try:
            yield Record(
                _integer(given.time_unix_nano),
                _integer(given.observed_time_unix_nano),
                _severity(given.severity_number),
                given.severity_text or "",
                _value(given.body, 0),
                _pairs(given.attributes, 0),
                given.dropped_attributes_count or 0,
                given.flags or 0,
                _hex(given.trace_id),
                _hex(given.span_id),
                given.event_name or "",
            )
        except (TooDeep, ValueError):
            yield None


def _integer(given: Integer | None) -> int:
    if isinstance(given, str) and (len(given) > 20 or not given.lstrip("-").isdigit()):
        raise ValueError("not a number")
    return int(given or 0)


_NAMES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


def _severity(given: Integer | None) -> int:
    """Return the number of a severity, which may also be written as its name, SEVERITY_NUMBER_WARN2."""
    if isinstance(given, str) and given.startswith("SEVERITY_NUMBER_"):
        name = given.removeprefix("SEVERITY_NUMBER_")
        step = int(name[-1]) - 1 if name[-1:] in ("2", "3", "4") else 0
        word = name.rstrip("234")
        return 4 * _NAMES.index(word) + 1 + step if word in _NAMES else 0
    return _integer(given)


def _hex(given: str | None) -> bytes:
    return bytes.fromhex(given or "")


def _pairs(given: list[_Pair] | None, depth: int) -> list[tuple[str, Value]]:
    return [(pair.key, _value(pair.value, depth)) for pair in given or ()]


def _value(given: _Any | None, depth: int) -> Value:
    if depth > DEEPEST:
        raise TooDeep
    if given is None:
        return None
    if given.string_value is not None:
        return given.string_value
    if given.bool_value is not None:
        return given.bool_value
    if given.int_value is not None:
        return _integer(given.int_value)
    if given.double_value is not None:
        return float(given.double_value)
    if given.array_value is not None:
        return [_value(item, depth + 1) for item in given.array_value.values or ()]
    if given.kvlist_value is not None:
        return tuple(_pairs(given.kvlist_value.values, depth + 1))
    if given.bytes_value is not None:
        try:
            return base64.b64decode(given.bytes_value)
        except binascii.Error as error:
            raise ValueError(str(error)) from None
    return None
