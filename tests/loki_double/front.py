"""The HTTP server of the double: connections, TLS, authentication, and faults on demand.

It answers with what a backend says (the double's own, or a real Loki by way of `real.Upstream`),
unless a fault is set. Faults concern pushes only, except `refuse`, which closes the listening
socket and every open connection.
"""

import json
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol, cast

PUSH_PATH = "/loki/api/v1/push"


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Backend(Protocol):
    def handle(self, request: Request) -> Response: ...


@dataclass(slots=True)
class Fault:
    """What happens to pushes.

    refuse   the port is closed
    hang     the push is read and never answered
    reset    the connection is reset; `stored=True`: after the backend took the push
    status   answered with `status`, `headers`, `body`, without reaching the backend
    garbage  answered with bytes that are not HTTP; `stored=True` as above
    cut      the answer ends in the middle of its status line; `stored=True` as above
    slow     answered as usual after `seconds`
    """

    kind: str
    times: int | None = None
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    seconds: float = 1.0
    stored: bool = False

    KINDS = ("refuse", "hang", "reset", "status", "garbage", "cut", "slow")


@dataclass(slots=True)
class Access:
    """What a client must show; None: nothing is asked."""

    basic: tuple[str, str] | None = None
    bearer: str | None = None
    tenant: str | None = None

    def refused(self, headers: Mapping[str, str]) -> Response | None:
        import base64

        expected: list[str] = []
        if self.basic:
            expected.append("Basic " + base64.b64encode(":".join(self.basic).encode()).decode())
        if self.bearer:
            expected.append("Bearer " + self.bearer)
        if expected and headers.get("authorization") not in expected:
            return Response(401, b"unauthorized\n")
        if self.tenant is not None and headers.get("x-scope-orgid") != self.tenant:
            return Response(401, b"no org id\n")
        return None


class Front:
    """Listens on loopback from construction to `close()`; the port stays the same through `refuse`."""

    def __init__(self, backend: Backend, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.backend = backend
        self.tls = tls
        self.access = Access()
        self.statuses: Counter[int] = Counter()
        self.pushes = 0
        self.last_headers: Mapping[str, str] = {}
        self.now: Callable[[], float] | None = time.time
        """What the Date header is made from; None: no such header."""
        self.arrivals: list[float] = []  # time.monotonic() of each push, for tests of pacing
        self._fault: Fault | None = None
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._server: _Server | None = None
        self.port = port
        self._open()

    @property
    def base_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def fault(self, kind: str, times: int | None = None, **details: Any) -> None:
        if kind not in Fault.KINDS:
            raise ValueError(f"no such fault: {kind}")
        fault = Fault(kind, times, **details)
        self.clear()
        with self._lock:
            self._fault = fault
        if kind == "refuse":
            self._close()

    def clear(self) -> None:
        """End the fault; pushes that hang are reset."""
        with self._lock:
            self._fault = None
            released, self._released = self._released, threading.Event()
        released.set()
        if self._server is None:
            self._open()

    def close(self) -> None:
        with self._lock:
            self._fault = None
        self._released.set()
        self._close()

    def drop_connections(self) -> None:
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the peer was first

    def take_fault(self) -> tuple[Fault | None, threading.Event]:
        """The fault for this push, counting it."""
        with self._lock:
            fault = self._fault
            if fault and fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self._fault = None
            return fault, self._released

    def entered(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)

    def left(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)

    def _open(self) -> None:
        server = _Server(("127.0.0.1", self.port), self)
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.02,), name="loki-front", daemon=True).start()

    def _close(self) -> None:
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()
        self.drop_connections()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], front: Front) -> None:
        self.front = front
        super().__init__(address, _Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """TLS is shaken in the connection's own thread, so that a silent client blocks nobody."""
        connection = cast(socket.socket, request)
        if self.front.tls:
            connection.settimeout(10)
            try:
                connection = self.front.tls.wrap_socket(connection, server_side=True)
            except OSError:  # includes ssl.SSLError: the client did not like us, or we not it
                connection.close()
                return
            connection.settimeout(None)
        self.front.entered(connection)
        try:
            super().process_request_thread(connection, client_address)
        finally:
            self.front.left(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 1 << 16
    wbufsize = -1
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read answers, not logs."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        front = self.server.front
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, query, headers, self._body(headers))
        if path != PUSH_PATH or self.command != "POST":
            self._answer(front.access.refused(headers) or front.backend.handle(request))
            return
        front.pushes += 1
        front.last_headers = headers
        front.arrivals.append(time.monotonic())
        fault, released = front.take_fault()
        if fault and self._broken(fault, request, released):
            return
        response = front.access.refused(headers) or front.backend.handle(request)
        front.statuses[response.status] += 1
        self._answer(response)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" not in headers.get("transfer-encoding", ""):
            return self.rfile.read(int(headers.get("content-length", 0)))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            continue  # trailers
        return bytes(body)

    def _broken(self, fault: Fault, request: Request, released: threading.Event) -> bool:
        """Do what the fault says; False when the push is to be handled after all."""
        front = self.server.front
        if fault.stored and fault.kind in ("reset", "garbage", "cut"):
            front.backend.handle(request)
        if fault.kind == "slow":
            released.wait(fault.seconds)
            return False
        self.close_connection = True
        if fault.kind == "status":
            front.statuses[fault.status] += 1
            self.close_connection = False
            self._answer(Response(fault.status, fault.body.encode(), dict(fault.headers)))
        elif fault.kind == "garbage":
            self.wfile.write(b"\x16\x03\x01 220 ready for SMTP\r\n\x00\xff" * 20)
            self.wfile.flush()
        elif fault.kind == "cut":
            self.wfile.write(b"HTTP/1.1 20")
            self.wfile.flush()
        else:
            if fault.kind == "hang":
                released.wait()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # socketserver shuts down before it closes, which would send FIN first: detach and close.
            if isinstance(self.connection, ssl.SSLSocket):
                self.connection.close()
            else:
                socket.socket(fileno=self.connection.detach()).close()
        return True

    def date_time_string(self, timestamp: float | None = None) -> str:
        now = self.server.front.now
        return super().date_time_string(now() if timestamp is None and now else timestamp)

    def _answer(self, response: Response) -> None:
        self.send_response_only(response.status)
        if self.server.front.now is not None:
            self.send_header("Date", self.date_time_string())
        headers = {"Content-Type": "text/plain; charset=utf-8", **response.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        if response.status != 204:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if response.status != 204:
            self.wfile.write(response.body)
        self.wfile.flush()


def json_response(value: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=UTF-8"})
