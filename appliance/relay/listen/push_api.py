"""Loki's push API: answers POST /loki/api/v1/push once what was pushed is on disk, and /ready.

Decoding is push_decode's, keeping the intake's and the spool's; here are tenants, status codes and
what is counted. Never 429: a forwarder that can store has no reason to, and one that cannot says 503.
Source: loki/pkg/distributor/http.go, grafana/dskit tenant/tenant.go.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from appliance.config import model
from appliance.config.units import Endpoint
from appliance.relay.http.server import HttpLimits, HttpServer, Request, Response, Route, Routes
from appliance.relay.listen.intake import PushedStream
from appliance.relay.listen.push_decode import PushRefused, decode_push
from appliance.relay.report.senders import Sources
from appliance.relay.spool.spool import SpoolFull

_TENANT_CHARACTERS = re.compile(r"[a-zA-Z0-9!\-_.*'()]*")
_TENANT_LONGEST = 150
_RETRY_FULL = "10"  # seconds
_AT_ONCE = 4 * 2**20  # bytes of decoded pushes on their way to the disk at which the next one waits its turn
_TURN = 20.0  # seconds to wait for one's turn
_BODIES = 32 * 2**20  # bytes of bodies held at the same time, or two of the longest


class Intake(Protocol):
    async def push(self, tenant: str, streams: list[PushedStream]) -> None:
        """Returns when durable; raises SpoolFull."""


@dataclass(slots=True)
class PushStats:
    """Counters since the start; the event loop writes them."""

    accepted: int = 0
    refused: dict[str, int] = field(default_factory=dict)  # requests, by reason


def check_tenant(tenant: str) -> str:
    """The tenant as it goes to Loki. Raise PushRefused for what Loki would not take."""
    if tenant in (".", ".."):
        raise PushRefused(400, "tenant ID is '.' or '..'", "tenant")
    if "|" in tenant:
        raise PushRefused(400, "multiple org IDs present", "tenant")
    match = _TENANT_CHARACTERS.match(tenant)
    if match and match.end() < len(tenant):
        raise PushRefused(
            400, f"tenant ID '{tenant[:200]}' contains unsupported character '{tenant[match.end()]}'", "tenant"
        )
    if len(tenant) > _TENANT_LONGEST:
        raise PushRefused(400, f"tenant ID is too long: max {_TENANT_LONGEST} characters", "tenant")
    return tenant


class PushApi:
    """The listener `relay.listen.push`. `not_ready` says why the relay cannot take logs, "" when it can."""

    def __init__(
        self, intake: Intake, relay: model.Relay, *, sources: Sources, not_ready: Callable[[], str] = lambda: ""
    ) -> None:
        self._intake = intake
        self._sources = sources
        self._not_ready = not_ready
        self._at_once = 0
        self._turn = asyncio.Condition()
        self._limit = 0
        self.stats = PushStats()
        self._settings = relay
        self._server = HttpServer("push", *self._configured(relay))

    async def start(self, listen: Endpoint) -> None:
        """Listen. Raise ApplianceError when the address cannot be had."""
        await self._server.start(listen)

    async def stop(self, grace: float = 2.0) -> None:
        """Take no more; pushes in flight are answered within `grace` seconds."""
        await self._server.stop(grace)

    def reload(self, relay: model.Relay) -> None:
        """New limits, without dropping a connection."""
        self._server.reload(*self._configured(relay))

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it listens, with the real port; None while it does not."""
        return self._server.endpoint

    @property
    def server(self) -> HttpServer:
        return self._server

    def _configured(self, relay: model.Relay) -> tuple[Routes, HttpLimits]:
        self._limit = int(relay.connections.max_push)
        routes = {
            "/loki/api/v1/push": {"POST": Route(self._push, self._limit)},
            "/ready": {"GET": Route(self._ready)},
        }
        limits = HttpLimits(
            connections=relay.connections.max,
            idle_timeout=float(relay.connections.idle_timeout),
            buffered_bodies=max(_BODIES, 2 * self._limit),
        )
        return routes, limits

    async def _push(self, request: Request) -> Response:
        headers = request.headers
        try:
            tenant = check_tenant(headers.get("x-scope-orgid", ""))
            # Before decoding: what waits here is only as large as it came.
            await self._wait_turn()
            streams = decode_push(
                request.body, headers.get("content-type", ""), headers.get("content-encoding", ""), self._limit
            )
        except PushRefused as refused:
            return self._refuse(refused.status, refused.text, refused.reason)
        except TimeoutError:
            return self._refuse(503, "the disk is slow: too many pushes at once", "busy", Retry_After="1")
        size = sum(len(stream.entries) for stream in streams)
        self._at_once += size
        try:
            if streams:
                await self._intake.push(tenant, streams)
        except SpoolFull as full:
            return self._refuse(503, full.message, "spool_full", Retry_After=_RETRY_FULL)
        finally:
            self._at_once -= size
            async with self._turn:
                self._turn.notify_all()
        self.stats.accepted += 1
        self._sources.record(request.peer, "push", sum(stream.count for stream in streams))
        return Response(204)

    async def _wait_turn(self) -> None:
        if self._at_once < _AT_ONCE:
            return
        async with asyncio.timeout(_TURN), self._turn:
            await self._turn.wait_for(lambda: self._at_once < _AT_ONCE)

    async def _ready(self, request: Request) -> Response:
        reason = self._not_ready()
        return Response.text(503, reason) if reason else Response.text(200, "ready")

    def _refuse(self, status: int, text: str, reason: str, **headers: str) -> Response:
        self.stats.refused[reason] = self.stats.refused.get(reason, 0) + 1
        return Response.text(status, text, **headers)
