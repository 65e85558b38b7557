"""One connection of an HTTP listener: requests read with h11 within their bounds, answered one after the other.

Source: RFC 9112.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import h11

from appliance.relay.http.messages import Request, Response
from appliance.relay.http.wire import Wire

if TYPE_CHECKING:
    from appliance.relay.http.server import HttpServer

log = logging.getLogger(__name__)

_READ = 64 * 1024
_READ_HEAD = 4 * 1024  # many may have sent half a head: each holds little


class _RequestRefused(Exception):
    """The request is answered with this before its body was read to its end."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Connection:
    """One client: requests one after the other; a pipelined one waits in the buffer for its turn."""

    def __init__(
        self, server: "HttpServer", wire: Wire, task: asyncio.Task[None], peer: str, names: tuple[str, ...]
    ) -> None:
        self._server = server
        self._wire = wire
        self._task = task
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=server.limits.header_size)
        self._peer = peer
        self._local = wire.local
        self._names = names
        self._reserved = 0
        self._method = ""

    async def run(self) -> None:
        while True:
            try:
                head = await self._head()
                if head is None:
                    return
                response = await self._answer(head)
            except _RequestRefused as refused:
                response = refused.response
            except h11.RemoteProtocolError as error:
                response = Response.text(error.error_status_hint, "the request is not HTTP/1.1: " + str(error))
            except TimeoutError:
                self._server.stats.timeouts += 1
                response = Response.text(408, "the request took too long to arrive")
            finally:
                self._server.release(self._peer, self._reserved)
                self._reserved = 0
            if not await self._send(response):
                return
            self._http.start_next_cycle()

    async def _receive(self, want: int) -> None:
        self._http.receive_data(await self._wire.read(want))

    async def _head(self) -> h11.Request | None:
        """Return the next request's head; None when the client has closed, or stayed idle too long."""
        server, limits = self._server, self._server.limits
        if not self._http.trailing_data[0]:
            if server.stopping:
                return None
            server.idle[self._task] = None
            try:
                async with asyncio.timeout(limits.idle_timeout):
                    await self._receive(_READ_HEAD)
            except TimeoutError:
                return None
            finally:
                server.idle.pop(self._task, None)
        async with asyncio.timeout(limits.header_timeout):
            while (event := self._http.next_event()) is h11.NEED_DATA:
                await self._receive(_READ_HEAD)
        return event if isinstance(event, h11.Request) else None

    async def _answer(self, head: h11.Request) -> Response:
        headers: dict[str, str] = {}
        for name, value in head.headers:
            headers.setdefault(name.decode("ascii"), value.decode("latin-1"))
        if "transfer-encoding" in headers and "content-length" in headers:
            # What lies in front of us may believe the one, we the other (RFC 9112, 6.3 and 11.2).
            raise _RequestRefused(Response.text(400, "Content-Length together with Transfer-Encoding"))
        path, query = _target(head.target.decode("latin-1"))
        self._method = method = head.method.decode("ascii")
        methods = self._server.routes.get(path, {})
        route = methods.get("GET" if method == "HEAD" else method)
        request = Request(method, path, query, headers, b"", self._peer, self._local, self._names)
        if route is not None and route.check is not None and (refusal := route.check(request)) is not None:
            await self._body(_READ, headers)  # a small one is passed over, so that the connection stays in step
            return refusal
        # A small body nobody wants is read all the same: the connection stays in step and open.
        request.body = await self._body(route.max_body if route else _READ, headers)
        if not methods:
            return Response.text(404, "404 page not found")
        if route is None:
            return Response(405, headers=(("Allow", ", ".join(sorted(methods))),))
        try:
            return await route.handler(request)
        except Exception:
            log.exception("a request could not be handled", extra={"listener": self._server.name, "path": path})
            return Response.text(500, "internal error, see the relay's log")

    async def _body(self, limit: int, headers: Mapping[str, str]) -> bytearray:
        announced = headers.get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            raise _too_large(limit)
        limits = self._server.limits
        loop = asyncio.get_running_loop()
        started = loop.time()
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._wire.write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                async with asyncio.timeout_at(started + limits.body_timeout + len(body) / limits.body_rate):
                    await self._receive(_READ)
            elif isinstance(event, h11.Data):
                if len(body) + len(event.data) > limit:
                    raise _too_large(limit)
                if not self._server.reserve(self._peer, len(event.data), len(body)):
                    raise _RequestRefused(Response.text(503, "too many bodies at once", Retry_After="1"))
                self._reserved += len(event.data)
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return body
            else:
                raise EOFError("the client closed within a body")

    async def _send(self, response: Response) -> bool:
        """Write the response; tell whether the connection can serve another request."""
        http, stats = self._http, self._server.stats
        status = str(response.status)
        stats.requests[status] = stats.requests.get(status, 0) + 1
        if not self._can_answer():
            return False
        # What is left of a body that was not wanted would be read as the next request.
        keep = http.their_state is h11.DONE and not self._server.stopping
        headers = [
            ("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())),
            *response.headers,
        ]
        if response.status != 204:
            headers += [("Content-Type", response.content_type), ("X-Content-Type-Options", "nosniff")]
            headers.append(("Content-Length", str(len(response.body))))
        if not keep:
            headers.append(("Connection", "close"))
        self._wire.write(http.send(h11.Response(status_code=response.status, headers=headers)) or b"")
        if response.body and self._method != "HEAD":
            self._wire.write(http.send(h11.Data(data=response.body)) or b"")
        self._wire.write(http.send(h11.EndOfMessage()) or b"")
        try:
            async with asyncio.timeout(self._server.limits.write_timeout):
                await self._wire.drain()
        except TimeoutError:
            self._server.stats.timeouts += 1
            self._wire.transport.abort()
            return False
        if http.our_state is h11.DONE and http.their_state is h11.DONE:
            return True
        if http.their_state in (h11.SEND_BODY, h11.ERROR):
            await self._linger()
        return False

    def _can_answer(self) -> bool:
        return self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE)

    async def _linger(self) -> None:
        """Read on for a moment, so that the client sees the answer and not a reset connection."""
        with contextlib.suppress(TimeoutError, OSError):
            if self._wire.transport.can_write_eof():
                self._wire.transport.write_eof()
            async with asyncio.timeout(2.0):
                while await self._wire.read(_READ):
                    pass


def _target(target: str) -> tuple[str, str]:
    """Return path and query of a request target in origin or absolute form (RFC 9112, 3.2)."""
    if not target.startswith("/") and "://" in target:
        rest = target.partition("://")[2]
        slash = rest.find("/")
        target = rest[slash:] if slash >= 0 else "/"
    path, _, query = target.partition("?")
    return path, query


def _too_large(limit: int) -> _RequestRefused:
    return _RequestRefused(Response.text(413, f"the body is larger than {limit} bytes"))
