"""Second stage: streams in memory, and the verdict of the last stream of a push that hides the others.

Source: Loki's `pkg/ingester/instance.go` (Push keeps only the last stream's error) and `stream.go`
(validateEntries, errorForFailedEntries).
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.loki_double.distributor import SECOND, Answer, ValidStream, entry_size
from tests.loki_double.limits import Bucket, Limits
from tests.loki_double.text import byte_size, go_time, seconds_rfc3339

_SHOWN_ERRORS = 10  # ingester.max_returned_stream_errors
Entry = tuple[int, bytes, tuple[bytes, ...]]


@dataclass(slots=True)
class Stream:
    """What one stream holds: three parallel lists, in order of arrival."""

    name: str
    labels: dict[str, str]
    bucket: Bucket
    times: list[int] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    metadata: list[tuple[bytes, ...]] = field(default_factory=list)
    newest: int = -1
    last: Entry | None = None
    absorbed: int = 0


class Ingester:
    """The store of all tenants. Thread-safe: one push at a time, as fast as one core stores."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.tenants: dict[str, dict[str, Stream]] = {}
        self.lock = threading.Lock()
        self.refused: dict[str, int] = {"stream_limit": 0, "stream_rate": 0, "too_far_behind": 0}
        self.hidden: dict[str, int] = {"stream_limit": 0, "stream_rate": 0, "too_far_behind": 0}

    def push(self, tenant: str, streams: list[ValidStream]) -> Answer | None:
        """Store what can be stored; the answer is the last stream's (None: it was stored)."""
        verdict: tuple[str, int, Answer] | None = None
        with self.lock:
            known = self.tenants.setdefault(tenant, {})
            for number, pushed in enumerate(streams, 1):
                verdict = self._push_stream(tenant, known, pushed)
                if verdict:
                    kind, entries, _ = verdict
                    self.refused[kind] += entries
                    if number < len(streams):
                        self.hidden[kind] += entries
        return verdict[2] if verdict else None

    def streams(self, tenant: str | None = None) -> list[Stream]:
        """All streams, or those of one tenant. Hold `lock` while reading lists that may grow."""
        tenants: Iterable[dict[str, Stream]] = (
            self.tenants.values() if tenant is None else [self.tenants.get(tenant, {})]
        )
        return [stream for streams in tenants for stream in streams.values()]

    def forget(self) -> None:
        """Start empty: no streams, no entries, full buckets."""
        with self.lock:
            self.tenants.clear()
            for counts in (self.refused, self.hidden):
                counts.update(dict.fromkeys(counts, 0))

    def _push_stream(
        self, tenant: str, known: dict[str, Stream], pushed: ValidStream
    ) -> tuple[str, int, Answer] | None:
        limits = self._limits
        stream = known.get(pushed.name)
        if stream is None:
            if len(known) >= limits.max_streams:
                return ("stream_limit", len(pushed.entries), self._no_room(tenant, pushed.name))
            stream = known[pushed.name] = Stream(pushed.name, pushed.labels, Bucket(limits.per_stream_burst))
        behind = int(limits.max_chunk_age * SECOND / 2)
        store: list[Entry] = []
        failed: list[tuple[int, str]] = []
        last, newest, absorbed = stream.last, stream.newest, 0
        for entry in pushed.entries:
            if entry == last:
                absorbed += 1
                continue
            if newest >= 0 and entry[0] < newest - behind:
                failed.append(
                    (
                        entry[0],
                        (
                            f"entry too far behind, entry timestamp is: {seconds_rfc3339(entry[0])}, "
                            f"oldest acceptable timestamp is: {seconds_rfc3339(newest - behind)}"
                        ),
                    )
                )
                continue
            last = entry
            if entry[0] > newest:
                newest = entry[0]
            store.append(entry)
        size = sum(entry_size(line, metadata) for _, line, metadata in store)
        if size and not stream.bucket.allow(size, limits.per_stream_rate, limits.per_stream_burst):
            rate = byte_size(limits.per_stream_rate)
            reasons = [
                (
                    ns,
                    (
                        f"Per stream rate limit exceeded (limit: {rate}/sec) while attempting to ingest for "
                        f"stream '{stream.name}' totaling {byte_size(entry_size(line, metadata))}, consider splitting "
                        "a stream via additional labels or contact your Loki administrator to see if the limit can be "
                        "increased"
                    ),
                )
                for ns, line, metadata in store[:_SHOWN_ERRORS]
            ]
            return (
                "stream_rate",
                len(pushed.entries) - absorbed,
                _failed(429, tenant, stream.name, reasons, len(store), len(pushed.entries)),
            )
        stream.last, stream.newest = last, newest
        stream.absorbed += absorbed
        for ns, line, metadata in store:
            stream.times.append(ns)
            stream.lines.append(line)
            stream.metadata.append(metadata)
        if failed:
            return (
                "too_far_behind",
                len(failed),
                _failed(400, tenant, stream.name, failed[:_SHOWN_ERRORS], len(failed), len(pushed.entries)),
            )
        return None

    def _no_room(self, tenant: str, name: str) -> Answer:
        """validation.StreamLimitErrorMsg of Loki 3.x, or of 2.9."""
        named = self._limits.names_streams
        return Answer(
            429,
            f"{'maximum' if named else 'Maximum'} active stream limit exceeded"
            f"{f' when trying to create stream {name}' if named else ''}, reduce the "
            "number of active streams (reduce labels or reduce label values), or contact your Loki "
            f"administrator to see if the limit can be increased, user: '{tenant}'",
        )


def _failed(status: int, tenant: str, name: str, shown: list[tuple[int, str]], failed: int, total: int) -> Answer:
    lines = [f"entry with timestamp {go_time(ns)} ignored, reason: '{reason}'," for ns, reason in shown]
    lines.append(f"user '{tenant}', total ignored: {failed} out of {total} for stream: {name}")
    return Answer(status, "\n".join(lines))
