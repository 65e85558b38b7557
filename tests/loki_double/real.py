"""A real Loki behind the same face: `LOKI_BIN=/path/to/loki` makes the tests run against it.

Started single binary on a temporary directory with chunks flushed fast; faults come from the same
`front`, which forwards what it does not break. Counts are read through Loki's own query API, the
lines by paging.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.loki_double.api import NUMBERED, Tally
from tests.loki_double.front import PUSH_PATH, Front, Request, Response
from tests.loki_double.limits import MB, Limits

_CONFIG = """\
auth_enabled: false
analytics: {{reporting_enabled: false}}
server:
  http_listen_address: 127.0.0.1
  http_listen_port: {port}
  grpc_listen_address: 127.0.0.1
  grpc_listen_port: {grpc_port}
  grpc_server_max_recv_msg_size: {limits.max_message:.0f}
  log_level: error
common:
  instance_addr: 127.0.0.1
  path_prefix: {directory}
  replication_factor: 1
  ring: {{kvstore: {{store: inmemory}}}}
  storage: {{filesystem: {{chunks_directory: {directory}/chunks, rules_directory: {directory}/rules}}}}
schema_config:
  configs:
  - {{from: 2024-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {{prefix: i_, period: 24h}}}}
ingester:
  lifecycler: {{min_ready_duration: 0s}}
  max_chunk_age: {limits.max_chunk_age:.0f}s
  chunk_idle_period: 1m
# Entries of any age are still in the ingester when a test asks for them.
querier: {{query_ingesters_within: 0s}}
query_range: {{cache_results: false}}
limits_config:
  ingestion_rate_mb: {ingestion_rate}
  ingestion_burst_size_mb: {ingestion_burst}
  per_stream_rate_limit: {limits.per_stream_rate:.0f}B
  per_stream_rate_limit_burst: {limits.per_stream_burst:.0f}B
  max_global_streams_per_user: {limits.max_streams}
  max_line_size: {limits.max_line_size}B
  max_label_names_per_series: {limits.max_label_names}
  max_label_name_length: {limits.max_label_name_length}
  max_label_value_length: {limits.max_label_value_length}
  max_structured_metadata_size: {limits.max_metadata_size}B
  max_structured_metadata_entries_count: {limits.max_metadata_count}
  reject_old_samples_max_age: {limits.max_age:.0f}s
  creation_grace_period: {limits.max_ahead:.0f}s
  max_entries_limit_per_query: {page}
  max_query_series: 100000
"""
_PER_LINE = 1024
"""Bytes for a line of an answer: a querier hands that on by gRPC, which takes `max_message` bytes."""
_FLUSHING = 2.0
"""Seconds from the answer to a flush, which comes at once, until the store has the entries."""
_START = 90.0
"""Seconds that Loki may take until it is ready."""


def real_loki_binary() -> str | None:
    """The path in LOKI_BIN, when tests are to run against a real Loki."""
    return os.environ.get("LOKI_BIN") or None


class Upstream:
    """Backend of `front` that forwards to an HTTP server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def handle(self, request: Request) -> Response:
        headers = {name: value for name, value in request.headers.items() if name not in ("host", "connection")}
        target = self.url + request.path + (f"?{request.query}" if request.query else "")
        forwarded = urllib.request.Request(
            target, request.body if request.method == "POST" else None, headers, method=request.method
        )
        try:
            with urllib.request.urlopen(forwarded, timeout=60) as answer:
                return Response(answer.status, answer.read(), _kept(answer.headers))
        except urllib.error.HTTPError as error:
            return Response(error.code, error.read(), _kept(error.headers))


def _kept(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() in ("content-type", "retry-after")}


class RealLoki:
    """See api.LokiUnderTest."""

    def __init__(self, binary: str, *, port: int = 0, limits: Limits | None = None, page: int = 0) -> None:
        self._binary = binary
        self._largest_page = page
        self.limits = limits or Limits()
        self._directory = Path(tempfile.mkdtemp(prefix="loki-"))
        self._upstream = Upstream("")
        self._process: subprocess.Popen[bytes] | None = None
        self._start()
        self.front = Front(self._upstream, port=port)

    @property
    def base_url(self) -> str:
        return self.front.base_url

    @property
    def push_url(self) -> str:
        return self.base_url + PUSH_PATH

    def fault(self, kind: str, times: int | None = None, **details: Any) -> None:
        self.front.fault(kind, times, **details)

    def clear(self) -> None:
        self.front.clear()

    def set_limits(self, **limits: Any) -> None:
        self.limits.update(**limits)
        self._stop()
        self._start()

    def count(self, selector: str = "{}") -> int:
        query = f"sum(count_over_time({_known(selector)}[8d]))"
        result = self._get("query", query=query, time=str(time.time_ns() + 900 * 10**9))["result"]
        return int(float(result[0]["value"][1])) if result else 0

    def lines(self, selector: str = "{}") -> list[bytes]:
        return [row[2].encode() for row in self.entries(selector)]

    def entries(self, selector: str = "{}") -> list[tuple[dict[str, str], int, str, dict[str, str]]]:
        """Labels and metadata cannot be told apart in a plain query; ask for them categorized."""
        rows: list[tuple[dict[str, str], int, str, dict[str, str]]] = []
        start, end, limit = time.time_ns() - 8 * 86400 * 10**9, time.time_ns() + 900 * 10**9, self._page
        while True:
            page = self._get(
                "query_range", query=_known(selector), start=str(start), end=str(end), limit=str(limit),
                direction="forward", headers={"X-Loki-Response-Encoding-Flags": "categorize-labels"},
            )["result"]  # fmt: skip
            found = [
                (
                    {k: v for k, v in stream["stream"].items() if k != "service_name"},
                    int(value[0]),
                    value[1],
                    {k: v for k, v in _metadata(value).items() if k != "detected_level"},
                )
                for stream in page
                for value in stream["values"]
            ]
            if len(found) < limit:
                return rows + found
            newest = max(row[1] for row in found)
            if newest == start:
                raise RuntimeError(f"{limit} entries or more of one timestamp cannot be paged")
            rows += [row for row in found if row[1] < newest]
            start = newest

    def streams(self) -> list[dict[str, str]]:
        start, end = time.time_ns() - 8 * 86400 * 10**9, time.time_ns() + 900 * 10**9
        data = self._get("series", None, **{"match[]": _known("{}")}, start=str(start), end=str(end))
        return [{k: v for k, v in labels.items() if k != "service_name"} for labels in data]

    def tally(self, expected: int, selector: str = "{}", pattern: str = NUMBERED) -> Tally:
        return Tally.of(self.lines(selector), expected, pattern)

    def flush(self) -> None:
        with urllib.request.urlopen(urllib.request.Request(f"{self._upstream.url}/flush", method="POST"), timeout=60):
            time.sleep(_FLUSHING)

    def stats(self) -> dict[str, Any]:
        return {
            "pushes": self.front.pushes,
            "statuses": {str(status): count for status, count in self.front.statuses.items()},
            "refused": {},
            "hidden": {},
        }

    @property
    def _page(self) -> int:
        """Lines to ask for at a time."""
        most = max(int(self.limits.max_message) // _PER_LINE, 1)
        return min(self._largest_page or most, most)

    def close(self) -> None:
        self.front.close()
        self._stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _get(self, what: str, headers: dict[str, str] | None = None, **parameters: str) -> Any:
        url = f"{self._upstream.url}/loki/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=120) as answer:
            return json.load(answer)["data"]

    def _start(self) -> None:
        from tests.harness.net import free_port

        port = free_port()
        limits = self.limits
        config = self._directory / "loki.yaml"
        config.write_text(
            _CONFIG.format(
                port=port,
                grpc_port=free_port(),
                directory=self._directory,
                limits=limits,
                ingestion_rate=(limits.ingestion_rate or 4096 * MB) / MB,
                ingestion_burst=limits.ingestion_burst / MB if limits.ingestion_rate else 4096,
                page=self._page,
            )
        )
        self._process = subprocess.Popen([self._binary, f"-config.file={config}"])
        self._upstream.url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(self._upstream.url + "/ready", timeout=5):
                    return
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
        status = self._process.poll()
        self._stop()
        shutil.rmtree(self._directory, ignore_errors=True)
        raise RuntimeError(f"Loki ended with {status}" if status is not None else f"Loki is not ready after {_START} s")

    def _stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(60)


def _known(selector: str) -> str:
    """Loki wants one matcher that is not empty-compatible."""
    return selector.replace("{}", '{service_name=~".+"}')


def _metadata(value: list[Any]) -> dict[str, str]:
    return dict(value[2].get("structuredMetadata", {})) if len(value) > 2 else {}
