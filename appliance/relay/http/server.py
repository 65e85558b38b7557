"""A small HTTP/1.1 server for the relay's own listeners: routes, limits, time-outs, graceful stop.

It parses with h11 and expects hostile clients: header and body sizes, time, connections and the
memory of all bodies together are bounded. It knows nothing of logs, metrics or Loki: handlers are
given a complete request and return a complete response.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import h11

from appliance.config.units import Endpoint
from appliance.relay.listen.bind import BACKLOG, open_listener

log = logging.getLogger(__name__)

_READ = 64 * 1024
_PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """`path` without query; `headers` by lower-case name, the first of several, as Go's Header.Get."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: str


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = _PLAIN
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def text(cls, status: int, text: str, **headers: str) -> "Response":
        """A line of text, ended by a newline as Go's http.Error does; `Retry_After="5"` is a header."""
        names = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return cls(status, text.encode(errors="replace") + b"\n", headers=names)


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """`max_body` is the bytes of a body as it travels; a longer one is answered 413."""

    handler: Handler
    max_body: int = 0


Routes = Mapping[str, Mapping[str, Route]]  # path -> method -> route


@dataclass(frozen=True, slots=True)
class HttpLimits:
    connections: int = 200
    header_size: int = 16 * 1024  # bytes
    header_timeout: float = 10.0  # seconds, from the first byte of a request
    idle_timeout: float = 600.0  # seconds between requests
    body_timeout: float = 30.0  # seconds, prolonged by what has arrived at body_rate
    body_rate: float = 10_000.0  # bytes a second that a body must come at, on average
    write_timeout: float = 30.0  # seconds for a client to take its response
    buffered_bodies: int = 64 * 1024 * 1024  # bytes of all bodies being received or handled


@dataclass(slots=True)
class HttpStats:
    """Counters since the start; one event loop writes them."""

    connections: int = 0
    connections_total: int = 0
    refused: int = 0  # connections over the limit
    requests: dict[str, int] = field(default_factory=dict)  # by status
    timeouts: int = 0


class _RequestRefused(Exception):
    """The request is answered with this before its body was read to its end."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class HttpServer:
    """Serves `routes` on one endpoint. `reload` takes effect for the next request of every connection."""

    def __init__(self, name: str, routes: Routes, limits: HttpLimits) -> None:
        self._name = name
        self._routes = routes
        self._limits = limits
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: dict[asyncio.Task[None], None] = {}  # in order of becoming idle
        self._buffered = 0
        self._stopping = False
        self.endpoint: Endpoint | None = None  # where it really listens, once started
        self.stats = HttpStats()

    def reload(self, routes: Routes, limits: HttpLimits) -> None:
        self._routes, self._limits = routes, limits

    async def start(self, listen: Endpoint) -> None:
        """Listen. Raise ApplianceError when the address cannot be had."""
        listener = open_listener(listen)
        listener.setblocking(False)
        self._stopping = False
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=_READ, backlog=BACKLOG)
        host, port = listener.getsockname()[:2]
        self.endpoint = Endpoint(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    async def stop(self, grace: float = 2.0) -> None:
        """Take no more; close idle connections at once, let requests in flight end within `grace` seconds."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
            self._server = None
        self.endpoint = None
        for task in list(self._idle):
            task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._tasks) >= self._limits.connections and not self._make_room():
            self.stats.refused += 1
            writer.transport.abort()
            return
        self._tasks.add(task)
        self.stats.connections_total += 1
        self.stats.connections = len(self._tasks)
        try:
            await _Connection(self, reader, writer, task).run()
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the client went away, or the server is stopping
        finally:
            self._tasks.discard(task)
            self._idle.pop(task, None)
            self.stats.connections = len(self._tasks)
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest, so that idle ones cannot lock others out."""
        for task in self._idle:
            del self._idle[task]
            task.cancel()
            self._tasks.discard(task)
            return True
        return False


class _Connection:
    """One client: requests one after the other; a pipelined one waits in the buffer for its turn."""

    def __init__(
        self, server: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[None]
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._task = task
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=server._limits.header_size)
        peer = writer.get_extra_info("peername")
        self._peer = str(peer[0]).removeprefix("::ffff:") if peer else ""
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
                self._server._buffered -= self._reserved
                self._reserved = 0
            if not await self._send(response):
                return
            self._http.start_next_cycle()

    async def _receive(self) -> None:
        data = await self._reader.read(_READ)
        self._http.receive_data(data)

    async def _head(self) -> h11.Request | None:
        """The next request's head; None when the client has closed, or stayed idle too long."""
        server, limits = self._server, self._server._limits
        if not self._http.trailing_data[0]:
            if server._stopping:
                return None
            server._idle[self._task] = None
            try:
                async with asyncio.timeout(limits.idle_timeout):
                    await self._receive()
            except TimeoutError:
                return None
            finally:
                server._idle.pop(self._task, None)
        async with asyncio.timeout(limits.header_timeout):
            while (event := self._http.next_event()) is h11.NEED_DATA:
                await self._receive()
        return event if isinstance(event, h11.Request) else None

    async def _answer(self, head: h11.Request) -> Response:
        headers: dict[str, str] = {}
        for name, value in head.headers:
            headers.setdefault(name.decode("ascii"), value.decode("latin-1"))
        path, query = _target(head.target.decode("latin-1"))
        self._method = method = head.method.decode("ascii")
        methods = self._server._routes.get(path, {})
        route = methods.get("GET" if method == "HEAD" else method)
        # A small body nobody wants is read all the same: the connection stays in step and open.
        body = await self._body(route.max_body if route else _READ, headers)
        if not methods:
            return Response.text(404, "404 page not found")
        if route is None:
            return Response(405, headers=(("Allow", ", ".join(sorted(methods))),))
        try:
            return await route.handler(Request(method, path, query, headers, body, self._peer))
        except Exception:
            log.exception("a request could not be handled", extra={"listener": self._server._name, "path": path})
            return Response.text(500, "internal error, see the relay's log")

    async def _body(self, limit: int, headers: Mapping[str, str]) -> bytes:
        announced = headers.get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            raise _too_large(limit)
        limits = self._server._limits
        loop = asyncio.get_running_loop()
        started = loop.time()
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._writer.write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                async with asyncio.timeout_at(started + limits.body_timeout + len(body) / limits.body_rate):
                    await self._receive()
            elif isinstance(event, h11.Data):
                if len(body) + len(event.data) > limit:
                    raise _too_large(limit)
                if self._server._buffered + len(event.data) > limits.buffered_bodies:
                    raise _RequestRefused(Response.text(503, "too many bodies at once", Retry_After="1"))
                self._server._buffered += len(event.data)
                self._reserved += len(event.data)
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return bytes(body)
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
        keep = http.their_state is h11.DONE and not self._server._stopping
        headers = [
            ("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())),
            *response.headers,
        ]
        if response.status != 204:
            headers += [("Content-Type", response.content_type), ("X-Content-Type-Options", "nosniff")]
            headers.append(("Content-Length", str(len(response.body))))
        if not keep:
            headers.append(("Connection", "close"))
        self._writer.write(http.send(h11.Response(status_code=response.status, headers=headers)) or b"")
        if response.body and self._method != "HEAD":
            self._writer.write(http.send(h11.Data(data=response.body)) or b"")
        self._writer.write(http.send(h11.EndOfMessage()) or b"")
        try:
            async with asyncio.timeout(self._server._limits.write_timeout):
                await self._writer.drain()
        except TimeoutError:
            self._server.stats.timeouts += 1
            self._writer.transport.abort()
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
            if self._writer.can_write_eof():
                self._writer.write_eof()
            async with asyncio.timeout(2.0):
                while await self._reader.read(_READ):
                    pass


def _target(target: str) -> tuple[str, str]:
    """Path and query of a request target in origin or absolute form (RFC 9112, 3.2)."""
    if not target.startswith("/") and "://" in target:
        rest = target.partition("://")[2]
        slash = rest.find("/")
        target = rest[slash:] if slash >= 0 else "/"
    path, _, query = target.partition("?")
    return path, query


def _too_large(limit: int) -> _RequestRefused:
    return _RequestRefused(Response.text(413, f"the body is larger than {limit} bytes"))
