"""OpenTelemetry's logs over HTTP: a request to streams as Loki would make of it, and the answers of the protocol.

Resource attributes of Loki's default list become labels, everything else structured metadata, names
made valid as Loki does. What all records of a resource share is put with each of them only as far as
that is a small multiple of the request. Sources: Loki's "Ingesting logs to Loki using OpenTelemetry
Collector", loki/pkg/loghttp/push/{otlp.go,otlplabels/}, prometheus/otlptranslator,
opentelemetry-specification protocol/otlp.md.
"""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from appliance.relay.hot import encode_pair, varint
from appliance.relay.http.messages import Response
from appliance.relay.listen import otlp_json
from appliance.relay.listen.otlp_proto import Decoder, MalformedOtlp, TooManyFields
from appliance.relay.listen.otlp_records import Record, ResourceLogs, Scope, TooDeep, Value, as_text
from appliance.relay.listen.push_compression import Body, decompress
from appliance.relay.listen.push_proto import PushedStream, encode_entry
from appliance.relay.listen.push_refused import PushRefused
from appliance.relay.loki.label_syntax import format_labels

LABELS = frozenset((
    "service.name", "service.namespace", "service.instance.id", "deployment.environment",
    "deployment.environment.name", "cloud.region", "cloud.availability_zone", "k8s.cluster.name",
    "k8s.namespace.name", "k8s.pod.name", "k8s.container.name", "container.name", "k8s.replicaset.name",
    "k8s.deployment.name", "k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name", "k8s.job.name",
))  # fmt: skip
"""Resource attributes that become labels: distributor.otlp.default_resource_attributes_as_index_labels."""
# Labels in whose place Loki looks for the name of a service, in its order (discover_service_name).
_SERVICE_FROM = ("container_name", "k8s_container_name", "k8s_job_name")
_UNKNOWN_SERVICE = "unknown_service"
_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")
_LEVEL_OF = {
    "trace": "trace", "debug": "debug", "info": "info", "information": "info", "informational": "info",
    "notice": "info", "warn": "warn", "warning": "warn", "err": "error", "error": "error", "critical": "critical",
    "fatal": "fatal", "emergency": "fatal",
}  # fmt: skip
_RECORDS = 200_000  # in one request
_STREAMS = 5_000  # in one request, which is what Loki takes of a tenant
_PAIRS, _ROOM = 110, 60_000  # pairs and bytes of metadata of an entry; Loki refuses more than 128 and 64 KB
_LONGEST_NAME = 1024
_LONGEST_LABELS = 64 * 1024
_LATEST = 2**63 - 1
# Bytes of metadata shared by records that are written, as a multiple of the request and in addition.
_SHARED_TIMES, _SHARED = 3, 256 * 1024
_NOT_VALID = re.compile(r"[^a-zA-Z0-9]+")


class Logs(NamedTuple):
    """What came of a request: `rejected` records could not be taken, for the reason `why`."""

    streams: list[PushedStream]
    rejected: int
    why: str


@dataclass(slots=True)
class _Stream:
    entries: bytearray
    count: int = 0
    oldest_ns: int = _LATEST
    newest_ns: int = 0


def decode_otlp(body: Body, content_type: str, content_encoding: str, limit: int, now_ns: int) -> Logs:
    """Return the streams of an ExportLogsServiceRequest. Raise PushRefused; `now_ns` is for records without a time."""
    body = decompress(body, content_encoding, limit)
    media_type = content_type.partition(";")[0].strip().lower()
    found: Iterable[ResourceLogs]
    if media_type in ("application/x-protobuf", "application/protobuf"):
        found = Decoder(bytes(body)).resources()
    elif media_type == "application/json":
        found = otlp_json.resources(body)
    else:
        raise PushRefused(400, f"content type: {content_type[:100]} is not supported", "content_type")
    try:
        return _Mapping(len(body), now_ns).take(found)
    except TooManyFields as error:
        raise PushRefused(413, str(error), "too_large") from None
    except (MalformedOtlp, TooDeep, ValueError) as error:
        raise PushRefused(400, str(error) or "nested too deep", "otlp") from None


class _Mapping:
    """One request being mapped."""

    def __init__(self, size: int, now_ns: int) -> None:
        self._now_ns = now_ns
        self._room = _SHARED + _SHARED_TIMES * size
        self._streams: dict[str, _Stream] = {}
        self._rejected = self._records = 0

    def take(self, resources: Iterable[ResourceLogs]) -> Logs:
        for resource in resources:
            labels, shared = _of_resource(resource.attributes)
            for logs in resource.scopes:
                pairs = _Metadata(shared.encoded, shared.count)
                pairs.add_all(_of_scope(logs.scope))
                self._take_records(labels, bytes(pairs.encoded), pairs.count, logs.records)
        streams = [
            PushedStream(labels, bytes(stream.entries), stream.count, stream.oldest_ns, stream.newest_ns)
            for labels, stream in self._streams.items()
        ]
        return Logs(
            streams, self._rejected, "nested too deep, too large, or not as OTLP says" if self._rejected else ""
        )

    def _take_records(self, labels: str, shared: bytes, count: int, records: Iterable[Record | None]) -> None:
        for record in records:
            self._records += 1
            if self._records > _RECORDS:
                raise PushRefused(413, f"more than {_RECORDS} records in one request", "too_large")
            if record is None:
                self._rejected += 1
                continue
            metadata = _Metadata()
            try:
                metadata.add_all(_of_record(record))
                line = as_text(record.body)
            except TooDeep:
                self._rejected += 1
                continue
            if len(shared) <= self._room:
                self._room -= len(shared)
                metadata.add_encoded(shared, count)
            else:
                metadata.left_out += count
            stamp = min(record.time_ns or record.observed_ns or self._now_ns, _LATEST)
            stamp = max(stamp, 0)
            stream = self._streams.get(labels)
            if stream is None:
                if len(self._streams) >= _STREAMS:
                    raise PushRefused(413, f"more than {_STREAMS} streams in one request", "too_large")
                stream = self._streams[labels] = _Stream(bytearray())
            stream.entries += encode_entry(stamp, line.encode(errors="replace"), metadata.finished())
            stream.count += 1
            stream.oldest_ns = min(stream.oldest_ns, stamp)
            stream.newest_ns = max(stream.newest_ns, stamp)


class _Metadata:
    """Pairs of one entry as they are encoded, within what Loki takes; what is over is cut or left out, and counted."""

    def __init__(self, encoded: bytes | bytearray = b"", count: int = 0) -> None:
        self.encoded = bytearray(encoded)
        self.count = count
        self.left_out = 0

    def add_all(self, pairs: Iterable[tuple[str, str]]) -> None:
        for name, value in pairs:
            if self.count >= _PAIRS:
                self.left_out += 1
                return  # however many more there are: each would cost its name
            text = value.encode(errors="replace")
            if len(text) > (left := _ROOM - len(self.encoded) - len(name) - 32):
                self.left_out += 1
                if left < 256:
                    continue
                text = text[:left].decode("utf-8", "ignore").encode()
            self.encoded += encode_pair(name.encode(), text)
            self.count += 1

    def add_encoded(self, pairs: bytes, count: int) -> None:
        if self.count + count > _PAIRS or len(self.encoded) + len(pairs) > _ROOM:
            self.left_out += count
        else:
            self.encoded += pairs
            self.count += count

    def finished(self) -> bytes:
        if self.left_out:
            return bytes(self.encoded) + encode_pair(b"attributes_left_out", b"%d" % self.left_out)
        return bytes(self.encoded)


# ---- attributes --------------------------------------------------------------------------------


def _of_resource(attributes: list[tuple[str, Value]]) -> tuple[str, _Metadata]:
    """Return the labels of a resource's stream, in their one spelling, and its other attributes."""
    labels: dict[str, str] = {}
    metadata = _Metadata()
    for key, value in attributes:
        pairs = _flat(key, value)
        if key in LABELS:
            labels.update(itertools.islice(pairs, _PAIRS))
        else:
            metadata.add_all(pairs)
    if not labels.get("service_name"):
        labels["service_name"] = next((labels[name] for name in _SERVICE_FROM if labels.get(name)), _UNKNOWN_SERVICE)
    text = format_labels({name: value for name, value in labels.items() if value})
    if len(text) > _LONGEST_LABELS:
        raise PushRefused(400, f"the labels of a stream are longer than {_LONGEST_LABELS} bytes", "labels")
    return text, metadata


def _of_scope(scope: Scope) -> Iterable[tuple[str, str]]:
    for key, value in scope.attributes:
        yield from _flat(key, value)
    if scope.name:
        yield "scope_name", scope.name
    if scope.version:
        yield "scope_version", scope.version
    if scope.dropped_attributes:
        yield "scope_dropped_attributes_count", str(scope.dropped_attributes)


def _of_record(record: Record) -> Iterable[tuple[str, str]]:
    if record.time_ns and record.observed_ns:
        yield "observed_timestamp", str(record.observed_ns)
    if record.severity:
        yield "severity_number", str(record.severity)
    if record.severity_text:
        yield "severity_text", record.severity_text
    if (level := _level(record)) and all(key != "level" for key, _ in record.attributes):
        yield "level", level
    if record.dropped_attributes:
        yield "dropped_attributes_count", str(record.dropped_attributes)
    if record.flags:
        yield "flags", str(record.flags)
    if any(record.trace_id):
        yield "trace_id", record.trace_id.hex()
    if any(record.span_id):
        yield "span_id", record.span_id.hex()
    if record.event_name:
        yield "event_name", record.event_name
    for key, value in record.attributes:
        if key != "event_name" or not record.event_name:  # the field of that name counts
            yield from _flat(key, value)


def _level(record: Record) -> str:
    if 1 <= record.severity <= 24:
        return _LEVELS[(record.severity - 1) // 4]
    return _LEVEL_OF.get(record.severity_text[:20].lower(), "")


def _flat(key: str, value: Value, prefix: str = "", depth: int = 0) -> Iterable[tuple[str, str]]:
    """Pairs of names and texts of one attribute; of one that is a map, a pair for each of its leaves."""
    name = valid_name(f"{prefix}_{key}" if prefix else key)
    if not name.strip("_"):
        return  # Loki refuses the whole request for such a name
    if isinstance(value, tuple):
        for inner, item in value:
            yield from _flat(inner, item, name, depth + 1)
    else:
        yield name, as_text(value)


def valid_name(name: str) -> str:
    """Return a label name as otlptranslator's LabelNamer makes it of an attribute's."""
    name = name[:_LONGEST_NAME]
    reserved = len(name) >= 4 and name.startswith("__") and name.endswith("__")
    made = _NOT_VALID.sub("_", name[2:-2] if reserved else name)
    if reserved:
        return f"__{made}__"
    return f"key_{made}" if made[:1].isdigit() else made


# ---- answers -------------------------------------------------------------------------------------


def success(content_type: str, rejected: int, why: str) -> Response:
    """ExportLogsServiceResponse; not all taken: partial_success {rejected_log_records = 1, error_message = 2}."""
    if _is_json(content_type):
        partial = {"rejectedLogRecords": str(rejected), "errorMessage": why} if rejected else {}
        return Response(200, msgspec.json.encode({"partialSuccess": partial}), "application/json")
    body = b""
    if rejected:
        text = why.encode()
        inner = b"\x08" + varint(rejected) + b"\x12" + varint(len(text)) + text
        body = b"\x0a" + varint(len(inner)) + inner
    return Response(200, body, "application/x-protobuf")


def failure(content_type: str, response: Response) -> Response:
    """Return the refusal with google.rpc.Status {message = 2} for its body, as the protocol wants it."""
    text = response.body.rstrip(b"\n")
    if _is_json(content_type):
        message = msgspec.json.encode({"message": text.decode("utf-8", "replace")})
        return Response(response.status, message, "application/json", response.headers)
    return Response(response.status, b"\x12" + varint(len(text)) + text, "application/x-protobuf", response.headers)


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"
