"""Loki's push API, its older paths, and OTLP's logs: answered once what was pushed is on disk; and /ready.

Decoding is push_decode's, keeping the intake's and the spool's; here are tenants, status codes and
what is counted. Never 429: a forwarder that can store has no reason to, and one that cannot says 503;
and never 204 for what held nothing that could be stored.
Source: loki/pkg/distributor/http.go, grafana/dskit tenant/tenant.go.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from appliance.config import model
from appliance.config.units import Endpoint
from appliance.relay.http.messages import HttpLimits, Request, Response, Route, Routes
from appliance.relay.http.server import HttpServer
from appliance.relay.http.tls import ServerContext
from appliance.relay.listen.push_clients import Caller, PushClients
from appliance.relay.listen.push_compression import Body, expected_size
from appliance.relay.listen.push_decode import decode_push, decode_raw
from appliance.relay.listen.push_proto import PushedStream
from appliance.relay.listen.push_refused import PushRefused
from appliance.relay.listen.push_store import TooManyTenants
from appliance.relay.listen.push_thread import off_the_loop
from appliance.relay.listen.push_turns import Turns
from appliance.relay.report.senders import Sources
from appliance.relay.spool.spool import SpoolFull

_TENANT_CHARACTERS = re.compile(r"[a-zA-Z0-9!\-_.*'()]*")
_TENANT_LONGEST = 150
_RETRY_FULL = "10"  # seconds
_AT_ONCE = 4 * 2**20  # bytes of decoded pushes on their way to the disk at which the next one waits its turn
_TURN = 20.0  # seconds to wait for one's turn
_RAW_LABELS = '{job="raw"}'
_BODIES = 32 * 2**20  # bytes of bodies held at the same time, or two of the longest


class Intake(Protocol):
    async def push(self, tenant: str, streams: list[PushedStream]) -> None:
        """Return when durable; raise SpoolFull or TooManyTenants."""


@dataclass(slots=True)
class PushStats:
    """Counters since the start; the event loop writes them."""

    accepted: int = 0
    refused: dict[str, int] = field(default_factory=dict)  # requests, by reason


def check_tenant(tenant: str) -> str:
    """Return the tenant as it goes to Loki. Raise PushRefused for what Loki would not take."""
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
        self,
        intake: Intake,
        relay: model.Relay,
        *,
        sources: Sources,
        not_ready: Callable[[], str] = lambda: "",
        own_tenant: str | None = None,
    ) -> None:
        self._intake = intake
        self._sources = sources
        self._not_ready = not_ready
        self._turns = Turns(_AT_ONCE)
        self._limit = 0
        self.stats = PushStats()
        self._server = HttpServer("push", *self._configured(relay, own_tenant))
        self._server.tls = ServerContext(relay.push.tls) if relay.push.tls else None

    async def start(self, listen: Endpoint) -> None:
        """Listen. Raise ApplianceError when the address is not available."""
        await self._server.start(listen)

    async def stop(self, grace: float = 2.0) -> None:
        """Accept no more; pushes in flight are answered within `grace` seconds."""
        await self._server.stop(grace)

    @staticmethod
    def try_out(relay: model.Relay) -> None:
        """Raise ApplianceError if `reload` could not take this."""
        if relay.listen.push is not None and relay.push.tls is not None:
            ServerContext(relay.push.tls)()

    def reload(self, relay: model.Relay, own_tenant: str | None = None) -> None:
        """New limits, clients and certificate, without dropping a connection."""
        self._server.reload(*self._configured(relay, own_tenant))
        tls = self._server.tls
        if not isinstance(tls, ServerContext) or tls.settings != relay.push.tls:
            self._server.tls = ServerContext(relay.push.tls) if relay.push.tls else None

    @property
    def endpoint(self) -> Endpoint | None:
        """Return where it listens, with the real port; None while it does not."""
        return self._server.endpoint

    @property
    def server(self) -> HttpServer:
        return self._server

    def _configured(self, relay: model.Relay, own_tenant: str | None) -> tuple[Routes, HttpLimits]:
        self._limit = int(relay.connections.max_push)
        self._clients = PushClients(relay.push, own_tenant)
        push, raw = ({"POST": Route(handler, self._limit, self._check)} for handler in (self._push, self._raw))
        logs = {"POST": Route(self._otlp, self._limit, self._check_otlp)}
        routes = {
            "/otlp/v1/logs": logs,
            "/v1/logs": logs,
            "/loki/api/v1/push": push,
            "/api/prom/push": push,
            "/loki/api/v1/raw": raw,
            "/promtail/api/v1/raw": raw,
            "/ready": {"GET": Route(self._ready)},
        }
        bodies = max(_BODIES, 2 * self._limit)
        limits = HttpLimits(
            connections=relay.connections.max,
            connections_per_peer=min(relay.connections.per_sender, relay.connections.max),
            idle_timeout=float(relay.connections.idle_timeout),
            buffered_bodies=bodies,
            buffered_per_peer=bodies * 3 // 4,
        )
        return routes, limits

    def _check(self, request: Request) -> Response | None:
        refusal = self._clients.check(request)
        if refusal is not None:
            self._count_refused("unknown_client")
        return refusal

    def _check_otlp(self, request: Request) -> Response | None:
        from appliance.relay.listen.otlp import failure

        refusal = self._check(request)
        return refusal and failure(request.headers.get("content-type", ""), refusal)

    async def _otlp(self, request: Request) -> Response:
        from appliance.relay.listen.otlp import Logs, decode_otlp, failure, success  # a mebibyte that few need

        content_type = request.headers.get("content-type", "")
        found = Logs([], 0, "")

        def decode(body: Body, encoding: str) -> list[PushedStream]:
            nonlocal found
            found = decode_otlp(body, content_type, encoding, self._limit, time.time_ns())
            if found.rejected and not found.streams:
                raise PushRefused(400, f"no record could be taken: {found.why}", "otlp")
            return found.streams

        response = await self._take(request, decode, empty=True)
        if response.status != 204:
            return failure(content_type, response)
        return success(content_type, found.rejected, found.why)

    async def _push(self, request: Request) -> Response:
        content_type = request.headers.get("content-type", "")
        return await self._take(request, lambda body, encoding: decode_push(body, content_type, encoding, self._limit))

    async def _raw(self, request: Request) -> Response:
        def decode(body: Body, encoding: str) -> list[PushedStream]:
            streams = decode_raw(body, encoding, self._limit, time.time_ns())
            return [stream._replace(labels=_RAW_LABELS) for stream in streams]

        return await self._take(request, decode)

    async def _take(
        self, request: Request, decode: Callable[[Body, str], list[PushedStream]], *, empty: bool = False
    ) -> Response:
        """Decode what was pushed, when it is its turn, and answer when it is durable.

        A push without entries is refused, unless it may be `empty`.
        """
        body, encoding = request.take_body(), request.headers.get("content-encoding", "")
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        under_way = 0
        caller = request.caller
        assert isinstance(caller, Caller)
        try:
            tenant = caller.tenant(check_tenant(request.headers.get("x-scope-orgid", "")))
            expected = expected_size(body, media_type, encoding, self._limit)
            # Before decoding: what waits here is only as large as it came.
            await self._turns.take(request.peer, expected, _TURN)
            under_way = expected
            box = [body]
            del body
            streams = await off_the_loop(expected, lambda: decode(box.pop(), encoding))
            size = sum(len(stream.entries) for stream in streams)
            self._turns.give_back(under_way - size)
            under_way = size
            if not streams and not empty:
                return self._refuse(400, "no entries in this push", "no_entries")
            if streams:
                await self._intake.push(tenant, caller.labeled(streams))
        except PushRefused as refused:
            return self._refuse(refused.status, refused.text, refused.reason)
        except TimeoutError:
            return self._refuse(503, "the disk is slow: too many pushes at once", "busy", Retry_After="1")
        except SpoolFull as full:
            return self._refuse(503, full.message, "spool_full", Retry_After=_RETRY_FULL)
        except TooManyTenants as error:
            return self._refuse(503, error.message, "tenants", Retry_After=_RETRY_FULL)
        finally:
            self._turns.give_back(under_way)
        self.stats.accepted += 1
        self._sources.record(request.peer, "push", sum(stream.count for stream in streams))
        return Response(204)

    async def _ready(self, request: Request) -> Response:
        reason = self._not_ready()
        return Response.text(503, reason) if reason else Response.text(200, "ready")

    def _refuse(self, status: int, text: str, reason: str, **headers: str) -> Response:
        self._count_refused(reason)
        return Response.text(status, text, **headers)

    def _count_refused(self, reason: str) -> None:
        self.stats.refused[reason] = self.stats.refused.get(reason, 0) + 1
