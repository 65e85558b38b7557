"""A spool, a sender and the Loki it sends to, in this process; and makers of what goes through them."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from appliance.config import model
from appliance.config.units import Duration, Size
from appliance.relay.loki.push_format import Entry, encode_stream, scan, scan_streams
from appliance.relay.send.request import compress
from appliance.relay.send.sender import Sender
from appliance.relay.spool.dead_letters import DeadLetters
from appliance.relay.spool.spool import NewSegment, Spool
from tests.loki_double import InProcessLoki, proto
from tests.loki_double.front import Request, Response

SECOND = 10**9
HOUR = 3600 * SECOND
Streams = Sequence[tuple[str, Sequence[Entry]]]


def stream(name: str) -> str:
    return f'{{host="{name}", job="test"}}'


def lines(prefix: str, count: int, at_ns: int | None = None, size: int = 0) -> list[Entry]:
    start = time.time_ns() if at_ns is None else at_ns
    return [Entry(start + number, f"{prefix} {number} ".encode().ljust(size, b"x")) for number in range(count)]


def segment(streams: Streams, tenant: str = "") -> NewSegment:
    body = b"".join(encode_stream(labels, entries) for labels, entries in streams)
    parts = tuple(scan(body))
    return NewSegment(
        compress(body), scan_streams(body), sum(part.entries for part in parts), len(body),
        min(part.oldest_ns for part in parts), max(part.newest_ns for part in parts), tenant,
    )  # fmt: skip


class Bench:
    """A spool, a sender and the Loki it sends to."""

    def __init__(self, path: Path, loki: InProcessLoki, **settings: Any) -> None:
        self.path, self.loki = path, loki
        self.spool = Spool(model.Spool(path=str(path / "spool"), min_free=Size(0)))
        self.settings = {
            "backoff": model.Backoff(min=Duration(0.02), max=Duration(0.2)),
            "timeout": Duration(3),
            **settings,
        }
        self.dead = DeadLetters(path / "dead", 10**6)
        self.sender: Sender | None = None

    def config(self, **settings: Any) -> model.Loki:
        return model.Loki(**{"url": self.loki.push_url, **self.settings, **settings})

    def put(self, *streams: tuple[str, Sequence[Entry]], tenant: str = "") -> None:
        self.spool.append([segment(streams, tenant)])

    def start(self) -> Sender:
        self.sender = Sender(self.config(), self.spool, dead_letters=self.dead)
        self.sender.start()
        return self.sender

    def stop(self) -> None:
        if self.sender is not None:
            self.sender.stop()
            self.sender = None

    def drained(self, timeout: float = 15.0) -> bool:
        return eventually(lambda: not len(self.spool), timeout)

    def dead_lines(self) -> list[str]:
        return [line for path in self.dead.files() for line in path.read_text().splitlines()]


def eventually(condition: Callable[[], bool], timeout: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def double() -> Iterator[InProcessLoki]:
    loki = InProcessLoki()
    yield loki
    loki.close()


@pytest.fixture
def bench(tmp_path: Path, double: InProcessLoki) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**settings: Any) -> Bench:
        made.append(Bench(tmp_path / f"bench{len(made)}", double, **settings))
        return made[-1]

    yield make
    for one in made:
        one.stop()


MakeBench = Callable[..., Bench]


def answering(b: Bench, word: bytes, status: int, body: bytes, tenant: str = "") -> None:
    """Loki answers so to each push with the word in it, or of the tenant."""
    handle = b.loki.double.handle

    def refuse(request: Request) -> Response:
        named = bool(tenant) and request.headers.get("x-scope-orgid") == tenant
        return Response(status, body) if named or word in proto.uncompress(request.body) else handle(request)

    b.loki.double.handle = refuse  # type: ignore[method-assign]


def app_streams(number: int) -> list[tuple[str, list[Entry]]]:
    labels = [f'{{application="a{app}", host="h{app % 10}", job="test"}}' for app in range(60)]
    return [(text, lines(f"{app} {number}", 2)) for app, text in enumerate(labels)]
