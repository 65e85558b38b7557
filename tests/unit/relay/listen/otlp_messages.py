"""OTLP's logs as messages of Google's protobuf library, from descriptors built in code."""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_F = descriptor_pb2.FieldDescriptorProto
_SCHEMA: dict[str, list[tuple[str, int, int, bool, str]]] = {
    # message: (field, number, type, repeated, message type)
    "ArrayValue": [("values", 1, _F.TYPE_MESSAGE, True, "AnyValue")],
    "KeyValueList": [("values", 1, _F.TYPE_MESSAGE, True, "KeyValue")],
    "AnyValue": [
        ("string_value", 1, _F.TYPE_STRING, False, ""),
        ("bool_value", 2, _F.TYPE_BOOL, False, ""),
        ("int_value", 3, _F.TYPE_INT64, False, ""),
        ("double_value", 4, _F.TYPE_DOUBLE, False, ""),
        ("array_value", 5, _F.TYPE_MESSAGE, False, "ArrayValue"),
        ("kvlist_value", 6, _F.TYPE_MESSAGE, False, "KeyValueList"),
        ("bytes_value", 7, _F.TYPE_BYTES, False, ""),
    ],
    "KeyValue": [("key", 1, _F.TYPE_STRING, False, ""), ("value", 2, _F.TYPE_MESSAGE, False, "AnyValue")],
    "Resource": [("attributes", 1, _F.TYPE_MESSAGE, True, "KeyValue")],
    "Scope": [
        ("name", 1, _F.TYPE_STRING, False, ""),
        ("version", 2, _F.TYPE_STRING, False, ""),
        ("attributes", 3, _F.TYPE_MESSAGE, True, "KeyValue"),
        ("dropped_attributes_count", 4, _F.TYPE_UINT32, False, ""),
    ],
    "LogRecord": [
        ("time_unix_nano", 1, _F.TYPE_FIXED64, False, ""),
        ("severity_number", 2, _F.TYPE_INT32, False, ""),
        ("severity_text", 3, _F.TYPE_STRING, False, ""),
        ("body", 5, _F.TYPE_MESSAGE, False, "AnyValue"),
        ("attributes", 6, _F.TYPE_MESSAGE, True, "KeyValue"),
        ("dropped_attributes_count", 7, _F.TYPE_UINT32, False, ""),
        ("flags", 8, _F.TYPE_FIXED32, False, ""),
        ("trace_id", 9, _F.TYPE_BYTES, False, ""),
        ("span_id", 10, _F.TYPE_BYTES, False, ""),
        ("observed_time_unix_nano", 11, _F.TYPE_FIXED64, False, ""),
        ("event_name", 12, _F.TYPE_STRING, False, ""),
    ],
    "ScopeLogs": [
        ("scope", 1, _F.TYPE_MESSAGE, False, "Scope"),
        ("log_records", 2, _F.TYPE_MESSAGE, True, "LogRecord"),
        ("schema_url", 3, _F.TYPE_STRING, False, ""),
    ],
    "ResourceLogs": [
        ("resource", 1, _F.TYPE_MESSAGE, False, "Resource"),
        ("scope_logs", 2, _F.TYPE_MESSAGE, True, "ScopeLogs"),
        ("schema_url", 3, _F.TYPE_STRING, False, ""),
    ],
    "Request": [("resource_logs", 1, _F.TYPE_MESSAGE, True, "ResourceLogs")],
    "PartialSuccess": [
        ("rejected_log_records", 1, _F.TYPE_INT64, False, ""),
        ("error_message", 2, _F.TYPE_STRING, False, ""),
    ],
    "Response": [("partial_success", 1, _F.TYPE_MESSAGE, False, "PartialSuccess")],
    "Status": [("code", 1, _F.TYPE_INT32, False, ""), ("message", 2, _F.TYPE_STRING, False, "")],
}
_ONE_OF = "AnyValue"


def _build() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="otlp_test.proto", package="otlp_test", syntax="proto3")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        if name == _ONE_OF:
            message.oneof_decl.add(name="value")
        for field, number, kind, repeated, type_name in fields:
            added = message.field.add(name=field, number=number, type=kind, label=3 if repeated else 1)  # type: ignore[arg-type]
            if type_name:
                added.type_name = f".otlp_test.{type_name}"
            if name == _ONE_OF:
                added.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"otlp_test.{name}")) for name in _SCHEMA}


_CLASSES = _build()
Request: Any = _CLASSES["Request"]
AnyValue: Any = _CLASSES["AnyValue"]
KeyValue: Any = _CLASSES["KeyValue"]
ResponseMessage: Any = _CLASSES["Response"]
Status: Any = _CLASSES["Status"]


def any_value(value: object) -> Any:
    """An AnyValue of a Python value; dictionaries and lists nest."""
    made = AnyValue()
    fill(made, value)
    return made


def fill(made: Any, value: object) -> None:
    match value:
        case None:
            pass
        case bool():
            made.bool_value = value
        case str():
            made.string_value = value
        case int():
            made.int_value = value
        case float():
            made.double_value = value
        case bytes():
            made.bytes_value = value
        case list():
            made.array_value.SetInParent()
            for item in value:
                fill(made.array_value.values.add(), item)
        case dict():
            made.kvlist_value.SetInParent()
            for key, item in value.items():
                pair = made.kvlist_value.values.add(key=key)
                pair.value.SetInParent()
                fill(pair.value, item)


def put(attributes: Any, pairs: dict[str, object]) -> None:
    for key, value in pairs.items():
        fill(attributes.add(key=key).value, value)
