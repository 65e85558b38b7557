"""The listener `relay.listen.http`: /metrics, /ready and /status, for Prometheus, probes and people.

What they say is put together in metrics.py and status.py; here they are served, and the counters
sampled every few seconds so that /status knows rates.
"""

import asyncio
import time

import msgspec

from appliance.config import model
from appliance.config.units import Endpoint
from appliance.relay.http.access import Readers
from appliance.relay.http.messages import HttpLimits, Request, Response, Route, Routes
from appliance.relay.http.server import HttpServer
from appliance.relay.report.metrics import Metrics
from appliance.relay.report.rates import RateMeter
from appliance.relay.report.status import Parts, build_status, first_troubles, totals, troubles

_SAMPLE = 2.0  # seconds
_RECENT = 15 * 60.0  # seconds
_SAMPLE_RECENT = 30.0  # seconds
_INDEX = "/metrics  for Prometheus\n/ready    200 when logs can be accepted, else 503 and why\n/status   JSON\n"


class HttpEndpoints:
    """Serves the state of the `parts`; it never changes them."""

    def __init__(self, parts: Parts, metrics: Metrics) -> None:
        self._parts = parts
        self._metrics = metrics
        self._meter = RateMeter()
        self._recent = RateMeter(_RECENT)
        self._recent.sample(time.monotonic(), first_troubles(parts))
        self._sampler: asyncio.Task[None] | None = None
        self._server = HttpServer("http", *self._configured(parts.config.relay))

    def _configured(self, relay: model.Relay) -> tuple[Routes, HttpLimits]:
        check = Readers(relay.http).check
        routes = {
            "/": {"GET": Route(self._index)},
            "/metrics": {"GET": Route(self._serve_metrics, check=check)},
            "/ready": {"GET": Route(self._ready)},
            "/status": {"GET": Route(self._status, check=check)},
        }
        return routes, HttpLimits(connections=64, connections_per_peer=32, idle_timeout=120.0)

    def reload(self, relay: model.Relay) -> None:
        """Let others read from now on, without dropping a connection."""
        self._server.reload(*self._configured(relay))

    async def start(self, listen: Endpoint) -> None:
        """Listen. Raise ApplianceError when the address is not available."""
        await self._server.start(listen)
        if self._sampler is None:
            self._sampler = asyncio.get_running_loop().create_task(self._sample())

    async def stop(self, grace: float = 1.0) -> None:
        if self._sampler is not None:
            self._sampler.cancel()
            self._sampler = None
        await self._server.stop(grace)

    @property
    def endpoint(self) -> Endpoint | None:
        """Return where it listens, with the real port; None while it does not."""
        return self._server.endpoint

    async def _sample(self) -> None:
        sampled = time.monotonic()
        while True:
            now = time.monotonic()
            self._meter.sample(now, totals(self._parts))
            if now - sampled >= _SAMPLE_RECENT:
                self._recent.sample(now, troubles(self._parts))
                sampled = now
            await asyncio.sleep(_SAMPLE)

    async def _index(self, request: Request) -> Response:
        return Response(200, _INDEX.encode())

    async def _serve_metrics(self, request: Request) -> Response:
        body, content_type = self._metrics.render(request.headers.get("accept", ""))
        return Response(200, body, content_type)

    async def _ready(self, request: Request) -> Response:
        reason = self._parts.not_ready()
        return Response.text(503, "Not ready: " + reason) if reason else Response.text(200, "Ready")

    async def _status(self, request: Request) -> Response:
        status = msgspec.json.encode(build_status(self._parts, self._meter, self._recent))
        return Response(200, msgspec.json.format(status, indent=2) + b"\n", "application/json")
