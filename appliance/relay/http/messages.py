"""What passes between the HTTP server and its handlers: requests, responses, routes, limits and counters.

Values only; reading and writing them is `connection.py`, listening `server.py`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

PLAIN = "text/plain; charset=utf-8"


@dataclass(slots=True)
class Request:
    """`path` without query; `headers` by lower-case name, the first of several, as Go's Header.Get."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes | bytearray
    peer: str
    local: bool = False
    """It comes from this machine itself."""
    certificate_names: tuple[str, ...] = ()
    """Names in the client's verified certificate."""
    caller: object = None
    """Whom a route's `check` found the client to be."""

    def take_body(self) -> bytes | bytearray:
        """Return the body, which the request then forgets: its memory is free as soon as the caller lets go."""
        body, self.body = self.body, b""
        return body


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = PLAIN
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def text(cls, status: int, text: str, **headers: str) -> "Response":
        """Return a line of text, ended by a newline as Go's http.Error does; `Retry_After="5"` is a header."""
        names = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return cls(status, text.encode(errors="replace") + b"\n", headers=names)


Handler = Callable[[Request], Awaitable[Response]]
Check = Callable[[Request], Response | None]


@dataclass(frozen=True, slots=True)
class Route:
    """`max_body` is the bytes of a body as it travels; a longer one is answered 413.

    `check` sees the request before its body is read; what it returns is the answer.
    """

    handler: Handler
    max_body: int = 0
    check: Check | None = None


Routes = Mapping[str, Mapping[str, Route]]  # path -> method -> route


@dataclass(frozen=True, slots=True)
class HttpLimits:
    connections: int = 200
    connections_per_peer: int = 0  # of one address; 0 for no bound of its own
    header_size: int = 8 * 1024  # bytes
    header_timeout: float = 10.0  # seconds, from the first byte of a request
    idle_timeout: float = 600.0  # seconds between requests
    body_timeout: float = 30.0  # seconds, prolonged by what has arrived at body_rate
    body_rate: float = 10_000.0  # bytes a second that a body must come at, on average
    write_timeout: float = 30.0  # seconds for a client to take its response
    buffered_bodies: int = 64 * 1024 * 1024  # bytes of all bodies being received or handled
    buffered_per_peer: int = 0  # of those of one address; 0 for no bound of its own


@dataclass(slots=True)
class HttpStats:
    """Counters since the start; one event loop writes them."""

    connections: int = 0
    connections_total: int = 0
    refused: int = 0  # connections over the limit
    refused_per_peer: int = 0  # of these, over the limit of their address
    handshakes_failed: int = 0
    requests: dict[str, int] = field(default_factory=dict)  # by status
    timeouts: int = 0
