"""logproto.PushRequest decoded by Google's protobuf library from a descriptor built in code.

`line`, `labels` and the metadata pairs are declared as bytes where Loki has strings and messages:
the wire format is the same, invalid UTF-8 gets through as in Go, and a pair is decoded only when
somebody asks for it.
"""

from typing import Any

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_BYTES = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
_INT64 = descriptor_pb2.FieldDescriptorProto.TYPE_INT64
_INT32 = descriptor_pb2.FieldDescriptorProto.TYPE_INT32
_UINT64 = descriptor_pb2.FieldDescriptorProto.TYPE_UINT64
_MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE

_SCHEMA: dict[str, list[tuple[str, int, Any, bool, str]]] = {
    # message: (field, number, type, repeated, message type)
    "Timestamp": [("seconds", 1, _INT64, False, ""), ("nanos", 2, _INT32, False, "")],
    "LabelPair": [("name", 1, _BYTES, False, ""), ("value", 2, _BYTES, False, "")],
    "Entry": [
        ("timestamp", 1, _MESSAGE, False, "Timestamp"),
        ("line", 2, _BYTES, False, ""),
        ("metadata", 3, _BYTES, True, ""),
    ],
    "Stream": [
        ("labels", 1, _BYTES, False, ""),
        ("entries", 2, _MESSAGE, True, "Entry"),
        ("hash", 3, _UINT64, False, ""),
    ],
    "PushRequest": [("streams", 1, _MESSAGE, True, "Stream"), ("format", 2, _BYTES, False, "")],
}


def _build() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="loki_double.proto", package="loki_double", syntax="proto3")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated, type_name in fields:
            added = message.field.add(name=field, number=number, type=kind, label=3 if repeated else 1)
            if type_name:
                added.type_name = f".loki_double.{type_name}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"loki_double.{name}")) for name in _SCHEMA
    }


_CLASSES = _build()
PushRequest: Any = _CLASSES["PushRequest"]
LabelPair: Any = _CLASSES["LabelPair"]


class BadPush(ValueError):
    """A body that Loki answers with 400; the message is Loki's."""


def decode(body: bytes) -> Any:
    """A PushRequest from a snappy block. Raise BadPush."""
    return decode_raw(uncompress(body))


def uncompress(body: bytes) -> bytes:
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError:
        raise BadPush("snappy: corrupt input") from None


def decode_raw(raw: bytes) -> Any:
    try:
        return PushRequest.FromString(raw)
    except DecodeError:
        raise BadPush("proto: illegal wireType or unexpected EOF") from None


def pair(raw: bytes) -> tuple[str, str]:
    """One metadata pair as text; invalid UTF-8 is shown escaped."""
    decoded = LabelPair.FromString(raw)
    return decoded.name.decode(errors="backslashreplace"), decoded.value.decode(errors="backslashreplace")


def encode_push(streams: list[tuple[str, list[tuple[int, bytes, dict[str, str]]]]]) -> bytes:
    """A snappy block for tests of the double: (labels, [(nanoseconds, line, metadata)])."""
    request = PushRequest()
    for labels, entries in streams:
        stream = request.streams.add(labels=labels.encode(errors="surrogateescape"))
        for ns, line, metadata in entries:
            entry = stream.entries.add(line=line)
            entry.timestamp.seconds, entry.timestamp.nanos = divmod(ns, 10**9)
            entry.metadata.extend(encode_pair(name, value) for name, value in metadata.items())
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def encode_pair(name: str, value: str) -> bytes:
    encoded: bytes = LabelPair(name=name.encode(), value=value.encode()).SerializeToString()
    return encoded
