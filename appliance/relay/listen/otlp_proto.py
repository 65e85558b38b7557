"""ExportLogsServiceRequest in protobuf to records, one after the other, without a protobuf library.

Bounded: fields are counted, values nested so deep and no deeper, no record outlives its turn.
Source: opentelemetry-proto v1; protobuf.dev/programming-guides/encoding.
"""

import struct
from collections.abc import Iterator

from appliance.relay.listen.otlp_records import DEEPEST, LARGEST, Record, ResourceLogs, Scope, ScopeLogs, TooDeep, Value

_FIELDS = 2_000_000  # of one request
_RESOURCES, _SCOPES = 10_000, 50_000  # of one request


class MalformedOtlp(ValueError):
    """The bytes are not an ExportLogsServiceRequest; the message says why."""


class TooManyFields(ValueError):
    """More fields than are looked at in one request."""


Field = tuple[int, int, int, int]
"""Number, wire type, and where the content begins and ends; of a varint its value stands for the beginning."""


class Decoder:
    """Walks one request."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._left = _FIELDS
        self._values_left = LARGEST
        self._resources = self._scopes_seen = 0

    def resources(self) -> Iterator[ResourceLogs]:
        """Yield everything in the request. Raise MalformedOtlp or TooManyFields on the way."""
        for number, wire, start, stop in self._fields(0, len(self._body)):
            if number == 1 and wire == 2:
                self._resources += 1
                if self._resources > _RESOURCES:
                    raise TooManyFields(f"more than {_RESOURCES} resources in one request")
                self._values_left = LARGEST
                attributes: list[tuple[str, Value]] = []
                for inner, kind, first, last in self._fields(start, stop):
                    if inner == 1 and kind == 2:
                        attributes += self._attributes(first, last, 1)
                yield ResourceLogs(attributes, self._scopes(start, stop))

    def _scopes(self, start: int, stop: int) -> Iterator[ScopeLogs]:
        for number, wire, first, last in self._fields(start, stop):
            if number == 2 and wire == 2:
                self._scopes_seen += 1
                if self._scopes_seen > _SCOPES:
                    raise TooManyFields(f"more than {_SCOPES} scopes in one request")
                self._values_left = LARGEST
                scope = Scope()
                for inner, kind, begin, end in self._fields(first, last):
                    if inner == 1 and kind == 2:
                        self._read_scope(scope, begin, end)
                yield ScopeLogs(scope, self._records(first, last))

    def _read_scope(self, scope: Scope, start: int, stop: int) -> None:
        for number, wire, first, last in self._fields(start, stop):
            if number == 1 and wire == 2:
                scope.name = self._text(first, last)
            elif number == 2 and wire == 2:
                scope.version = self._text(first, last)
            elif number == 3 and wire == 2:
                scope.attributes.append(self._pair(first, last, 0))
            elif number == 4 and wire == 0:
                scope.dropped_attributes = first & 0xFFFFFFFF

    def _records(self, start: int, stop: int) -> Iterator[Record | None]:
        for number, wire, first, last in self._fields(start, stop):
            if number == 2 and wire == 2:
                self._values_left = LARGEST
                try:
                    yield self._record(first, last)
                except TooDeep:
                    yield None

    def _record(self, start: int, stop: int) -> Record:
        record = Record()
        body = self._body
        for number, wire, first, last in self._fields(start, stop):
            if wire == 2:
                if number == 6:
                    record.attributes.append(self._pair(first, last, 0))
                elif number == 5:
                    record.body = self._value(first, last, 0)
                elif number == 3:
                    record.severity_text = self._text(first, last)
                elif number == 9:
                    record.trace_id = body[first:last]
                elif number == 10:
                    record.span_id = body[first:last]
                elif number == 12:
                    record.event_name = self._text(first, last)
            elif wire == 1 and number == 1:
                record.time_ns = int.from_bytes(body[first:last], "little")
            elif wire == 1 and number == 11:
                record.observed_ns = int.from_bytes(body[first:last], "little")
            elif wire == 0 and number == 2:
                record.severity = first & 0xFFFFFFFF
            elif wire == 0 and number == 7:
                record.dropped_attributes = first & 0xFFFFFFFF
            elif wire == 5 and number == 8:
                record.flags = int.from_bytes(body[first:last], "little")
        return record

    def _attributes(self, start: int, stop: int, number_of_pairs: int) -> Iterator[tuple[str, Value]]:
        for number, wire, first, last in self._fields(start, stop):
            if number == number_of_pairs and wire == 2:
                try:
                    yield self._pair(first, last, 0)
                except TooDeep:
                    raise MalformedOtlp("attributes of a resource are nested too deep, or too many") from None

    def _pair(self, start: int, stop: int, depth: int) -> tuple[str, Value]:
        self._values_left -= 1
        if self._values_left < 0:
            raise TooDeep
        key, value = "", None
        for number, wire, first, last in self._fields(start, stop):
            if number == 1 and wire == 2:
                key = self._text(first, last)
            elif number == 2 and wire == 2:
                value = self._value(first, last, depth)
        return key, value

    def _value(self, start: int, stop: int, depth: int) -> Value:
        self._values_left -= 1
        if depth > DEEPEST or self._values_left < 0:
            raise TooDeep
        value: Value = None
        for number, wire, first, last in self._fields(start, stop):
            if number == 1 and wire == 2:
                value = self._text(first, last)
            elif number == 2 and wire == 0:
                value = bool(first)
            elif number == 3 and wire == 0:
                value = first - 2**64 if first >> 63 else first
            elif number == 4 and wire == 1:
                (value,) = struct.unpack_from("<d", self._body, first)
            elif number == 5 and wire == 2:
                value = [
                    self._value(begin, end, depth + 1)
                    for inner, kind, begin, end in self._fields(first, last)
                    if inner == 1 and kind == 2
                ]
            elif number == 6 and wire == 2:
                value = tuple(
                    self._pair(begin, end, depth + 1)
                    for inner, kind, begin, end in self._fields(first, last)
                    if inner == 1 and kind == 2
                )
            elif number == 7 and wire == 2:
                value = self._body[first:last]
        return value

    def _text(self, start: int, stop: int) -> str:
        return self._body[start:stop].decode("utf-8", "replace")

    def _fields(self, at: int, end: int) -> Iterator[Field]:
        body = self._body
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise TooManyFields(f"more than {_FIELDS} fields in one request")
            tag = body[at]
            at += 1
            if tag >= 0x80:
                tag, at = self._varint(at - 1, end)
            wire, number = tag & 7, tag >> 3
            if wire == 2:
                size, at = self._varint(at, end)
                if size > end - at:
                    raise MalformedOtlp("proto: a field is longer than what holds it")
                yield number, 2, at, at + size
                at += size
            elif wire == 0:
                value, at = self._varint(at, end)
                yield number, 0, value, at
            elif wire in (1, 5):
                size = 8 if wire == 1 else 4
                if size > end - at:
                    raise MalformedOtlp("proto: a field is longer than what holds it")
                yield number, wire, at, at + size
                at += size
            else:
                raise MalformedOtlp("proto: no known kind of field")
            if not 0 < number < 2**29:
                raise MalformedOtlp("proto: no field has such a number")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 64:
            byte = self._body[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & (2**64 - 1), at
            shift += 7
        raise MalformedOtlp("proto: a number does not end")
