"""The double as a backend of `front` (routes, decoding, query API) and as an object for tests."""

import gzip
import json
import ssl
import time
import urllib.parse
import zlib
from collections import Counter
from typing import Any

from tests.loki_double import proto
from tests.loki_double.api import NUMBERED, Tally
from tests.loki_double.distributor import Answer, Distributor
from tests.loki_double.front import PUSH_PATH, Front, Request, Response, json_response
from tests.loki_double.ingester import Ingester
from tests.loki_double.labels import show
from tests.loki_double.limits import Limits
from tests.loki_double.query import LogQuery, MetricQuery, QueryError, duration

_EVER = 2**63 - 1
_ENCODING_FLAGS = "x-loki-response-encoding-flags"
_CATEGORIZE = "categorize-labels"


class Double:
    """Routes requests to the two stages and to queries. `clock` is what Loki takes for the time."""

    def __init__(self, limits: Limits | None = None, *, multi_tenant: bool = False) -> None:
        self.limits = limits or Limits()
        self.multi_tenant = multi_tenant
        self.ready = True
        self.max_entries = 0  # max_entries_limit_per_query; 0: none
        self.distributor = Distributor(self.limits)
        self.ingester = Ingester(self.limits)
        self.clock = time.time_ns
        self.formats: Counter[str] = Counter()

    def handle(self, request: Request) -> Response:
        if request.path == PUSH_PATH and request.method == "POST":
            answer = self.push(request)
            # Go's http.Error ends every body with a newline.
            return Response(answer.status, f"{answer.body}\n".encode(errors="replace") if answer.body else b"")
        if request.path == "/ready":
            if self.ready:
                return Response(200, b"ready\n")
            return Response(503, b"Ingester not ready: waiting for 15s after being ready\n")
        if request.path == "/flush" and request.method == "POST":
            return Response(204)
        if request.path.startswith("/loki/api/v1/"):
            parameters = dict(urllib.parse.parse_qsl(request.query))
            if request.method == "POST":
                parameters |= dict(urllib.parse.parse_qsl(request.body.decode()))
            try:
                what, tenant = request.path.removeprefix("/loki/api/v1/"), self._tenant(request)
                return self._query(what, parameters, tenant, request.headers.get(_ENCODING_FLAGS, ""))
            except QueryError as error:
                return Response(400, f"{error}\n".encode())
        return Response(404, b"404 page not found\n")

    def push(self, request: Request) -> Answer:
        tenant = self._tenant(request)
        if tenant is None:
            return Answer(401, "no org id")
        try:
            decoded, size = self._decode(request)
            streams, refused = self.distributor.check(tenant, decoded, size, self.clock())
        except proto.BadPush as error:
            return Answer(400, str(error))
        ingested = self.ingester.push(tenant, streams) if streams else None
        return ingested or refused or Answer(204)

    def _tenant(self, request: Request) -> str | None:
        return request.headers.get("x-scope-orgid") if self.multi_tenant else "fake"

    def _decode(self, request: Request) -> tuple[Any, int]:
        """A PushRequest and its encoded size. Raise BadPush."""
        encoding = request.headers.get("content-encoding", "")
        body = request.body
        if encoding in ("gzip", "deflate"):
            try:
                body = gzip.decompress(body) if encoding == "gzip" else zlib.decompress(body, -15)
            except (OSError, EOFError, zlib.error):
                raise proto.BadPush("gzip: invalid header") from None
        elif encoding not in ("", "snappy"):
            raise proto.BadPush(f'Content-Encoding "{encoding}" not supported')
        content_type = request.headers.get("content-type", "").partition(";")[0].strip()
        if content_type == "application/json":
            self.formats["json"] += 1
            decoded = _from_json(body)
            return decoded, decoded.ByteSize()
        self.formats["protobuf"] += 1
        raw = proto.uncompress(body)
        return proto.decode_raw(raw), len(raw)

    def _query(self, what: str, parameters: dict[str, str], tenant: str | None, flags: str) -> Response:
        streams = self.ingester.streams(tenant)
        if what == "query":
            return self._instant(parameters, streams)
        if what == "query_range":
            return self._range(parameters, streams, flags)
        if what == "labels":
            return json_response({"status": "success", "data": sorted({name for s in streams for name in s.labels})})
        if what.startswith("label/") and what.endswith("/values"):
            name = what.split("/")[1]
            values = sorted({s.labels[name] for s in streams if name in s.labels})
            return json_response({"status": "success", "data": values})
        if what == "series":
            matching = LogQuery.parse(parameters.get("match[]", parameters.get("match", "{}"))).streams(streams)
            return json_response({"status": "success", "data": [s.labels for s in matching]})
        return Response(404, b"404 page not found\n")

    def _instant(self, parameters: dict[str, str], streams: list[Any]) -> Response:
        now = _time(parameters.get("time"), self.clock())
        metric = MetricQuery.parse(parameters.get("query", ""))
        if metric is None:
            raise QueryError(
                "log queries are not supported as an instant query type, please change your query to a range query type"
            )
        with self.ingester.lock:
            result = metric.evaluate(streams, now)
        vector = [{"metric": labels, "value": [now / 1e9, str(count)]} for labels, count in result]
        return json_response({"status": "success", "data": {"resultType": "vector", "result": vector, "stats": {}}})

    def _range(self, parameters: dict[str, str], streams: list[Any], flags: str) -> Response:
        now = self.clock()
        end = _time(parameters.get("end"), now)
        since = duration(parameters["since"]) if "since" in parameters else 3600 * 10**9
        start = _time(parameters.get("start"), end - since)
        metric = MetricQuery.parse(parameters.get("query", ""))
        with self.ingester.lock:
            if metric is not None:
                points = metric.evaluate(streams, end)
                matrix = [{"metric": labels, "values": [[end / 1e9, str(count)]]} for labels, count in points]
                return json_response(
                    {"status": "success", "data": {"resultType": "matrix", "result": matrix, "stats": {}}}
                )
            limit = int(parameters.get("limit", 100))
            if 0 < self.max_entries < limit:
                raise QueryError(
                    "max entries limit per query exceeded, "
                    f"limit > max_entries_limit_per_query ({limit} > {self.max_entries})"
                )
            rows = list(LogQuery.parse(parameters.get("query", "")).rows(streams, start, end))
        backward = parameters.get("direction", "backward").lower() != "forward"
        rows.sort(key=lambda row: row[1], reverse=backward)
        groups: dict[str, dict[str, Any]] = {}
        categorized = _CATEGORIZE in flags.split(",")
        for stream, ns, line, metadata in rows[:limit]:
            pairs = dict(map(proto.pair, metadata))
            # As Grafana sees it: structured metadata is shown as labels of the result's stream, unless
            # it is asked for apart.
            labels = stream.labels if categorized else stream.labels | pairs
            group = groups.setdefault(show(labels), {"stream": labels, "values": []})
            apart = [{"structuredMetadata": pairs} if pairs else {}] if categorized else []
            group["values"].append([str(ns), line.decode(errors="replace"), *apart])
        data: dict[str, Any] = {"resultType": "streams", "result": list(groups.values()), "stats": {}}
        if categorized:
            data["encodingFlags"] = [_CATEGORIZE]
        return json_response({"status": "success", "data": data})


def _time(text: str | None, otherwise: int) -> int:
    """Nanoseconds, or seconds with a fraction, as Loki reads both."""
    if not text:
        return otherwise
    try:
        if "." in text:
            return int(float(text) * 1e9)
        number = int(text)
    except ValueError:
        raise QueryError(f"could not parse {text!r} as time") from None
    return number if len(text) > 10 else number * 10**9


def _from_json(body: bytes) -> Any:
    """Raise BadPush as loghttp does for what is not `{"streams": [{"stream": {…}, "values": […]}]}`."""
    request = proto.PushRequest()
    try:
        pushed = json.loads(body.decode("utf-8", errors="surrogateescape"))
        for item in pushed["streams"]:
            stream = request.streams.add(labels=show(_strings(item["stream"])).encode(errors="surrogateescape"))
            for value in item["values"]:
                timestamp, line = value[0], value[1]
                if not isinstance(timestamp, str) or not isinstance(line, str):
                    raise TypeError("wrong type")
                entry = stream.entries.add(line=line.encode(errors="surrogateescape"))
                entry.timestamp.seconds, entry.timestamp.nanos = divmod(int(timestamp), 10**9)
                if len(value) > 2:
                    pairs = _strings(value[2])
                    entry.metadata.extend(proto.encode_pair(name, text) for name, text in pairs.items())
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise proto.BadPush(f"loghttp.PushRequest.Streams: {type(error).__name__}: {error}") from None
    return request


def _strings(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise TypeError("expected an object of strings")
    return value


class InProcessLoki:
    """The double in a thread of this process. See api.LokiUnderTest."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        multi_tenant: bool = False,
    ) -> None:
        self.double = Double(limits, multi_tenant=multi_tenant)
        self.front = Front(self.double, port=port, tls=tls)

    @property
    def limits(self) -> Limits:
        return self.double.limits

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

    def set_clock(self, seconds_ahead: float, *, date: bool = True) -> None:
        """Let Loki's clock, and the Date header that it sends, be ahead of the real one (negative: behind)."""
        self.double.clock = lambda: time.time_ns() + int(seconds_ahead * 1e9)
        self.front.now = (lambda: time.time() + seconds_ahead) if date else None

    def set_limits(self, **limits: Any) -> None:
        self.double.limits.update(**limits)

    def count(self, selector: str = "{}") -> int:
        if selector == "{}":
            return sum(len(stream.lines) for stream in self.double.ingester.streams())
        with self.double.ingester.lock:
            return sum(1 for _ in self._rows(selector))

    def lines(self, selector: str = "{}") -> list[bytes]:
        with self.double.ingester.lock:
            return [line for _, _, line, _ in self._rows(selector)]

    def entries(self, selector: str = "{}") -> list[tuple[dict[str, str], int, str, dict[str, str]]]:
        with self.double.ingester.lock:
            rows = list(self._rows(selector))
        return [
            (
                {name: value for name, value in stream.labels.items() if name != "service_name"},
                ns,
                line.decode(errors="backslashreplace"),
                dict(map(proto.pair, metadata)),
            )
            for stream, ns, line, metadata in rows
        ]

    def streams(self) -> list[dict[str, str]]:
        return [
            {name: value for name, value in stream.labels.items() if name != "service_name"}
            for stream in self.double.ingester.streams()
        ]

    def tally(self, expected: int, selector: str = "{}", pattern: str = NUMBERED) -> Tally:
        return Tally.of(self.lines(selector), expected, pattern)

    def duplicates(self, selector: str = "{}") -> int:
        """Entries beyond the first of the same stream, time, line and metadata."""
        with self.double.ingester.lock:
            counts = Counter((s.name, ns, line, metadata) for s, ns, line, metadata in self._rows(selector))
        return sum(counts.values()) - len(counts)

    def stats(self) -> dict[str, Any]:
        ingester = self.double.ingester
        return {
            "pushes": self.front.pushes,
            "statuses": {str(status): count for status, count in self.front.statuses.items()},
            "refused": dict(ingester.refused),
            "hidden": dict(ingester.hidden),
            "absorbed": sum(stream.absorbed for stream in ingester.streams()),
            "formats": dict(self.double.formats),
        }

    def flush(self) -> None:
        """Nothing: what is stored is found at any age."""

    def close(self) -> None:
        self.front.close()

    def _rows(self, selector: str) -> Any:
        return LogQuery.parse(selector).rows(self.double.ingester.streams(), -_EVER, _EVER)
