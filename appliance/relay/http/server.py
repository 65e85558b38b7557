"""A small HTTP/1.1 server for the relay's own listeners: routes, limits, time-outs, TLS, graceful stop.

It parses with h11 and expects hostile clients: header and body sizes, time, connections (in all and
of one address) and the memory of all bodies together are bounded. It knows nothing of logs, metrics
or Loki: handlers are given a complete request and return a complete response. Bytes and TLS are
wire.py's; who may ask is decided by a route's `check`, before a body is read.
"""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any

from appliance.config.units import Endpoint
from appliance.errors import ApplianceError
from appliance.relay.http.connection import Connection
from appliance.relay.http.messages import HttpLimits, HttpStats, Routes
from appliance.relay.http.wire import Wire
from appliance.relay.listen.bind import BACKLOG, open_listener

log = logging.getLogger(__name__)


_SMALL_BODY = 64 * 1024  # bytes


class HttpServer:
    """Serves `routes` on one endpoint. `reload` takes effect for the next request of every connection."""

    def __init__(self, name: str, routes: Routes, limits: HttpLimits) -> None:
        self.name = name
        self.routes = routes
        self.limits = limits
        self.tls: Callable[[], ssl.SSLContext] | None = None
        """Gives the context for the next connection; None for plain HTTP."""
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], str] = {}  # with the client's address
        self._of_peer: Counter[str] = Counter()  # connections
        self.idle: dict[asyncio.Task[None], None] = {}  # in order of becoming idle
        self._buffered = 0
        self._buffered_of: Counter[str] = Counter()
        self.stopping = False
        self.endpoint: Endpoint | None = None  # where it really listens, once started
        self.stats = HttpStats()

    def reload(self, routes: Routes, limits: HttpLimits) -> None:
        self.routes, self.limits = routes, limits

    async def start(self, listen: Endpoint) -> None:
        """Listen. Raise ApplianceError when the address or the certificate cannot be had."""
        if self.tls is not None:
            self.tls()
        listener = open_listener(listen)
        listener.setblocking(False)
        self.stopping = False
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Wire(self._made, tls=self.tls is not None), sock=listener, backlog=BACKLOG
        )
        host, port = listener.getsockname()[:2]
        self.endpoint = Endpoint(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    async def stop(self, grace: float = 2.0) -> None:
        """Accept no more; close idle connections at once, let requests in flight end within `grace` seconds."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
            self._server = None
        self.endpoint = None
        for task in list(self.idle):
            task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)

    def _made(self, wire: Wire) -> None:
        """Admit a connection, or not."""
        peer, limits = wire.peer, self.limits
        crowded = bool(limits.connections_per_peer) and self._of_peer[peer] >= limits.connections_per_peer
        if crowded and not self._make_room(peer):
            self.stats.refused_per_peer += 1
        elif len(self._tasks) < limits.connections or self._make_room(""):
            task = asyncio.get_running_loop().create_task(self._serve(wire, peer))
            self._tasks[task] = peer
            self._of_peer[peer] += 1
            self.stats.connections_total += 1
            self.stats.connections = len(self._tasks)
            task.add_done_callback(self._forget)
            return
        self.stats.refused += 1
        wire.transport.abort()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self.idle.pop(task, None)
        peer = self._tasks.pop(task, None)
        if peer is not None:
            self._of_peer[peer] -= 1
            if not self._of_peer[peer]:
                del self._of_peer[peer]
        self.stats.connections = len(self._tasks)

    async def _serve(self, wire: Wire, peer: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            names: tuple[str, ...] = ()
            if wire.tls and self.tls is not None:
                try:
                    names = certificate_names(await wire.start_tls(self.tls()))
                except (OSError, ApplianceError) as error:
                    self.stats.handshakes_failed += 1
                    log.info("a TLS handshake failed", extra={"listener": self.name, "peer": peer, "why": str(error)})
                    return
            await Connection(self, wire, task, peer, names).run()
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the client went away, or the server is stopping
        finally:
            wire.close()

    def _make_room(self, peer: str) -> bool:
        """Close the connection (of this address, if one is given) that has been idle longest.

        So that idle ones cannot lock others out.
        """
        for task in self.idle:
            if not peer or self._tasks[task] == peer:
                task.cancel()
                self._forget(task)
                return True
        return False

    # ---- the memory of bodies ------------------------------------------------------------------

    def reserve(self, peer: str, size: int, before: int) -> bool:
        """Account for more bytes of a body of which there were so many before; False when there is no room.

        The last quarter is for small bodies, so that a few that never end cannot keep everybody else out.
        """
        limits = self.limits
        room = limits.buffered_bodies if before + size <= _SMALL_BODY else limits.buffered_bodies * 3 // 4
        if self._buffered + size > room:
            return False
        if limits.buffered_per_peer and self._buffered_of[peer] + size > limits.buffered_per_peer:
            return False
        self._buffered += size
        self._buffered_of[peer] += size
        return True

    def release(self, peer: str, size: int) -> None:
        self._buffered -= size
        self._buffered_of[peer] -= size
        if self._buffered_of[peer] <= 0:
            del self._buffered_of[peer]


def certificate_names(tls: ssl.SSLObject) -> tuple[str, ...]:
    """Return the names in a client's verified certificate: DNS names and addresses, or else its common name."""
    found: dict[str, Any] = dict(tls.getpeercert() or {})
    names = [value for kind, value in found.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    if not names:
        names = [value for part in found.get("subject", ()) for kind, value in part if kind == "commonName"]
    return tuple(names)
