"""First stage: what Loki's distributor judges before anything is stored.

Verdicts about single entries and whole streams are all collected and answered 400 at the end,
wherever the stream stands in the push; what remains valid goes on. Then the tenant's rate, all or
nothing (429), then the size of the message to the ingester (500). Messages are those of Loki 3.7.6
(`pkg/validation/validate.go`, `pkg/distributor/validator.go`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.loki_double import labels as label_syntax
from tests.loki_double.limits import Bucket, Limits
from tests.loki_double.proto import BadPush, pair
from tests.loki_double.text import seconds_rfc3339

_VALID_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
SECOND = 10**9


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str = ""


@dataclass(slots=True)
class ValidStream:
    """What of one stream passes on to the ingester; metadata pairs still encoded."""

    name: str
    labels: dict[str, str]
    entries: list[tuple[int, bytes, tuple[bytes, ...]]]


class LabelCache:
    """Parsed label sets by their text; the same few come again and again."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[str, dict[str, str]]] = {}

    def resolve(self, raw: bytes) -> tuple[str, dict[str, str]]:
        """The stream's name as Loki shows it, and its labels with service_name. Raise BadPush."""
        known = self._known.get(raw)
        if known is None:
            try:
                labels = label_syntax.with_service_name(label_syntax.parse(raw.decode()))
            except UnicodeDecodeError:
                raise BadPush("couldn't parse labels: 1:1: parse error: invalid UTF-8 rune") from None
            except label_syntax.ParseError as error:
                raise BadPush(f"couldn't parse labels: {error}") from None
            if len(self._known) > 20000:
                self._known.clear()
            known = self._known[raw] = (label_syntax.show(labels), labels)
        return known


class Distributor:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buckets: dict[str, Bucket] = {}
        self.labels = LabelCache()

    def check(self, tenant: str, request: Any, size: int, now_ns: int) -> tuple[list[ValidStream], Answer | None]:
        """Streams for the ingester, and the answer of this stage when it has something to say.

        With an answer of 400 the streams are stored nevertheless; with another one the list is empty.
        Raise BadPush for label sets that cannot be parsed: Loki refuses such a push as a whole.
        """
        if not request.streams:
            return [], Answer(422, "error at least one valid stream is required for ingestion")
        verdicts = _Verdicts()
        resolved = [(self.labels.resolve(stream.labels), stream) for stream in request.streams]
        valid = [
            checked
            for (name, labels), stream in resolved
            if (checked := self._stream(name, labels, stream.entries, now_ns, verdicts)) is not None
        ]
        refused = Answer(400, verdicts.text()) if verdicts else None
        if not valid:
            return [], refused
        limits = self._limits
        if limits.ingestion_rate is not None:
            entries = sum(len(stream.entries) for stream in valid)
            total = sum(entry_size(line, metadata) for stream in valid for _, line, metadata in stream.entries)
            bucket = self._buckets.setdefault(tenant, Bucket(limits.ingestion_burst))
            if not bucket.allow(total, limits.ingestion_rate, limits.ingestion_burst):
                return [], Answer(
                    429,
                    f"ingestion rate limit exceeded for user {tenant} (limit: {int(limits.ingestion_rate)} bytes/sec) "
                    f"while attempting to ingest '{entries}' lines totaling '{total}' bytes, reduce log volume or "
                    "contact your Loki administrator to see if the limit can be increased",
                )
        if size > limits.max_message:
            return [], Answer(
                500,
                "rpc error: code = ResourceExhausted desc = grpc: received message larger than max "
                f"({size} vs. {limits.max_message})",
            )
        return valid, refused

    def _stream(
        self, name: str, labels: dict[str, str], entries: Iterable[Any], now_ns: int, verdicts: "_Verdicts"
    ) -> ValidStream | None:
        if refused := self._labels_refused(name, labels):
            verdicts.add(*refused)
            return None
        limits = self._limits
        oldest = now_ns - int(limits.max_age * SECOND)
        newest = now_ns + int(limits.max_ahead * SECOND)
        max_line, max_size, max_count = limits.max_line_size, limits.max_metadata_size, limits.max_metadata_count
        kept: list[tuple[int, bytes, tuple[bytes, ...]]] = []
        for entry in entries:
            timestamp = entry.timestamp
            ns = timestamp.seconds * SECOND + timestamp.nanos
            line = entry.line
            metadata = tuple(entry.metadata)
            if ns < oldest:
                verdicts.add(
                    "old",
                    f"entry for stream '{name}' has timestamp too old: {seconds_rfc3339(ns)}, "
                    f"oldest acceptable timestamp is: {seconds_rfc3339(oldest)}",
                )
            elif ns > newest:
                verdicts.add("new", f"entry for stream '{name}' has timestamp too new: {seconds_rfc3339(ns)}")
            elif len(line) > max_line:
                verdicts.add(
                    "long",
                    f"max entry size '{max_line}' bytes exceeded for stream '{name}' while adding an entry "
                    f"with length '{len(line)}' bytes",
                )
            elif metadata and (size := _metadata_size(metadata, max_size)) > max_size:
                verdicts.add(
                    "metadata size",
                    f"stream '{name}' has structured metadata too large: '{size}' bytes, limit: '{max_size}' bytes. "
                    "Please see `limits_config.max_structured_metadata_size` or contact your Loki administrator to "
                    "increase it.",
                )
            elif len(metadata) > max_count:
                verdicts.add(
                    "metadata count",
                    f"stream '{name}' has too many structured metadata labels: '{len(metadata)}', limit: "
                    f"'{max_count}'. Please see `limits_config.max_structured_metadata_entries_count` or contact "
                    "your Loki administrator to increase it.",
                )
            else:
                kept.append((ns, line, metadata))
        return ValidStream(name, labels, kept) if kept else None

    def _labels_refused(self, name: str, labels: dict[str, str]) -> tuple[str, str] | None:
        limits = self._limits
        # service_name, which Loki itself adds, is shown in the name and not counted (validate.go, validateLabels).
        counted = len(labels) - ("service_name" in labels)
        if counted > limits.max_label_names:
            return "label names", f"entry for stream '{name}' has {counted} label names; limit {limits.max_label_names}"
        for label, value in labels.items():
            if len(label.encode()) > limits.max_label_name_length:
                return "label name", f"stream '{name}' has label name too long: '{label}'"
            if len(value.encode()) > limits.max_label_value_length:
                return "label value", f"stream '{name}' has label value too long: '{value}'"
        return None


def entry_size(line: bytes, metadata: tuple[bytes, ...]) -> int:
    """Bytes that count towards rates: line, names and values of metadata."""
    return len(line) + _metadata_size(metadata)


def _metadata_size(metadata: tuple[bytes, ...], limit: int = 0) -> int:
    """Exact when short fields make it so or when it may pass `limit`: a pair has two two-byte heads."""
    size = sum(map(len, metadata)) - 4 * len(metadata)
    if limit and size <= limit:
        return size
    if any(len(raw) > 127 for raw in metadata):
        return sum(len(name.encode()) + len(value.encode()) for name, value in map(pair, metadata))
    return size


class _Verdicts:
    """Refusals grouped by kind, as Loki's util.GroupedErrors prints them."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, text: str) -> None:
        count, first = self._kinds.get(kind, (0, text))
        self._kinds[kind] = (count + 1, first)

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def text(self) -> str:
        groups = list(self._kinds.values())
        if len(groups) == 1 and groups[0][0] == 1:
            return groups[0][1]
        return "; ".join(f"{count} errors like: {first}" for count, first in groups)
