"""The push listener: 204 only when durable, 503 when full, tenants kept, whatever comes answered."""

import asyncio
import gzip
import json
import random
from collections.abc import Awaitable, Callable

import cramjam
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.config import model
from appliance.config.units import Endpoint, Size
from appliance.relay.listen.intake import PushedStream
from appliance.relay.listen.push_api import PushApi
from appliance.relay.report.senders import Sources
from appliance.relay.spool.spool import SpoolFull

PUSH = json.dumps(
    {"streams": [{"stream": {"b": "2", "a": "1"}, "values": [["1795000000000000000", "hello"]]}]}
).encode()


class Recorder:
    """An intake that keeps what it is given, once the disk has it."""

    def __init__(self) -> None:
        self.pushed: list[tuple[str, list[PushedStream]]] = []
        self.durable = asyncio.Event()
        self.durable.set()
        self.full = False
        self.waiting = 0

    async def push(self, tenant: str, streams: list[PushedStream]) -> None:
        if self.full:
            raise SpoolFull("the spool is full: it holds 5 bytes of at most 5")
        self.waiting += 1
        await self.durable.wait()
        self.waiting -= 1
        self.pushed.append((tenant, streams))


class Relay:
    def __init__(self, api: PushApi, intake: Recorder, sources: Sources) -> None:
        self.api, self.intake, self.sources = api, intake, sources
        self.not_ready = ""

    async def post(
        self, body: bytes, *headers: str, path: str = "/loki/api/v1/push", method: str = "POST"
    ) -> tuple[int, str, str]:
        """Status, header block and body of the answer."""
        assert self.api.endpoint is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", self.api.endpoint.port)
        head = [
            f"{method} {path} HTTP/1.1",
            "Host: relay",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *headers,
        ]
        writer.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body)
        answer = (await asyncio.wait_for(reader.read(), 10)).decode()
        writer.close()
        head_text, _, body_text = answer.partition("\r\n\r\n")
        return int(head_text.split()[1]), head_text, body_text


def run(scenario: Callable[[Relay], Awaitable[None]], **connections: object) -> None:
    async def whole() -> None:
        intake, sources = Recorder(), Sources()
        settings = model.Relay(connections=msgspec.convert(connections, model.Connections))
        api = PushApi(intake, settings, sources=sources, not_ready=lambda: relay.not_ready)
        relay = Relay(api, intake, sources)
        await api.start(Endpoint("127.0.0.1:0"))
        try:
            await scenario(relay)
        finally:
            await api.stop(0.5)

    asyncio.run(asyncio.wait_for(whole(), 30))


JSON = "Content-Type: application/json"


def test_a_push_is_answered_204_only_when_it_is_durable() -> None:
    async def scenario(relay: Relay) -> None:
        relay.intake.durable.clear()
        answer = asyncio.create_task(relay.post(PUSH, JSON))
        await asyncio.sleep(0.1)
        assert not answer.done()
        relay.intake.durable.set()
        assert (await answer)[0] == 204
        ((tenant, (stream,)),) = relay.intake.pushed
        assert (tenant, stream.labels, stream.count) == ("", '{a="1", b="2"}', 1)
        assert relay.sources.latest(5)[0].sender == "127.0.0.1"
        assert relay.sources.latest(5)[0].input == "push"

    run(scenario)


def test_a_full_spool_is_503_with_a_time_to_come_back_and_never_429() -> None:
    async def scenario(relay: Relay) -> None:
        relay.intake.full = True
        status, head, body = await relay.post(PUSH, JSON)
        assert (status, body) == (503, "the spool is full: it holds 5 bytes of at most 5\n")
        assert "retry-after: 10" in head.lower()
        assert relay.api.stats.refused == {"spool_full": 1}
        relay.intake.full = False
        assert (await relay.post(PUSH, JSON))[0] == 204

    run(scenario)


@pytest.mark.parametrize("tenant", ["team-a", "a.b_c*d'e(f)!", "x" * 150, ""])
def test_the_tenant_is_kept(tenant: str) -> None:
    async def scenario(relay: Relay) -> None:
        assert (await relay.post(PUSH, JSON, f"X-Scope-OrgID: {tenant}"))[0] == 204
        assert relay.intake.pushed[0][0] == tenant

    run(scenario)


@pytest.mark.parametrize(
    ("tenant", "text"),
    [
        ("a/b", "tenant ID 'a/b' contains unsupported character '/'"),
        ("..", "tenant ID is '.' or '..'"),
        ("a|b", "multiple org IDs present"),
        ("é", "contains unsupported character"),
        ("x" * 151, "tenant ID is too long: max 150 characters"),
    ],
)
def test_a_tenant_loki_would_refuse_is_refused_here(tenant: str, text: str) -> None:
    async def scenario(relay: Relay) -> None:
        status, _, body = await relay.post(PUSH, JSON, f"X-Scope-OrgID: {tenant}")
        assert (status, text in body) == (400, True)
        assert not relay.intake.pushed

    run(scenario)


def test_gzip_json_is_taken_and_bad_pushes_have_lokis_status() -> None:
    async def scenario(relay: Relay) -> None:
        assert (await relay.post(gzip.compress(PUSH), JSON, "Content-Encoding: gzip"))[0] == 204
        assert (await relay.post(b'{"streams":[]}', JSON))[::2] == (
            422, "error at least one valid stream is required for ingestion\n",
        )  # fmt: skip
        assert (await relay.post(b"hello", "Content-Type: text/plain"))[::2] == (400, "snappy: corrupt input\n")
        assert (await relay.post(PUSH, JSON, path="/api/prom/pull"))[0] == 404
        assert (await relay.post(b"", method="GET"))[0] == 405
        assert relay.api.stats.refused == {"no_streams": 1, "compression": 1}
        assert relay.api.stats.accepted == 1

    run(scenario)


def test_bodies_over_the_limit_are_413_packed_or_unpacked_and_the_limit_can_be_reloaded() -> None:
    async def scenario(relay: Relay) -> None:
        proto = "Content-Type: application/x-protobuf"
        assert (await relay.post(b"x" * 2000, proto))[0] == 413
        assert (await relay.post(bytes(cramjam.snappy.compress_raw(b"\0" * 50_000)), proto))[0] == 413
        assert (await relay.post(gzip.compress(b" " * 50_000), JSON, "Content-Encoding: gzip"))[0] == 413
        relay.api.reload(model.Relay(connections=model.Connections(max_push=Size(100_000))))
        assert (await relay.post(gzip.compress(b" " * 50_000 + PUSH), JSON, "Content-Encoding: gzip"))[0] == 204

    run(scenario, max_push=Size(1000))


def test_many_large_pushes_take_turns_and_all_are_taken() -> None:
    line = "x" * 900_000
    body = json.dumps({"streams": [{"stream": {"a": "b"}, "values": [["1", line], ["2", line]]}]}).encode()

    async def scenario(relay: Relay) -> None:
        relay.intake.durable.clear()
        answers = [asyncio.create_task(relay.post(body, JSON)) for _ in range(12)]
        for _ in range(40):
            await asyncio.sleep(0.05)
            if relay.intake.waiting == 3:
                break
        await asyncio.sleep(0.2)
        assert relay.intake.waiting == 3  # three of 1.8 MB pass 4 MiB; the others wait, not yet decoded
        relay.intake.durable.set()
        assert [(await answer)[0] for answer in answers] == [204] * 12

    run(scenario)


def test_ready_says_why_not() -> None:
    async def scenario(relay: Relay) -> None:
        assert (await relay.post(b"", path="/ready", method="GET"))[::2] == (200, "ready\n")
        relay.not_ready = "the spool is full"
        assert (await relay.post(b"", path="/ready", method="GET"))[::2] == (503, "the spool is full\n")

    run(scenario)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 2**32),
    st.sampled_from([PUSH, bytes(cramjam.snappy.compress_raw(b"\x0a\x0b\x0a\x02{}\x12\x05\x12\x03abc"))]),
)
def test_damaged_pushes_are_never_500(seed: int, body: bytes) -> None:
    chance = random.Random(seed)

    async def scenario(relay: Relay) -> None:
        for _ in range(5):
            damaged = bytearray(body)
            for _ in range(chance.randint(0, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            if chance.random() < 0.3:
                damaged = bytearray(gzip.compress(damaged))
            content_type = chance.choice(["application/json", "application/x-protobuf", "", "x; y"])
            encoding = chance.choice(["", "gzip", "deflate", "snappy", "zstd"])
            status, _, text = await relay.post(
                bytes(damaged), f"Content-Type: {content_type}", f"Content-Encoding: {encoding}"
            )
            assert status in (204, 400, 413, 422), text

    run(scenario)


@pytest.mark.parametrize("path", ["/loki/api/v1/push", "/api/prom/push"])
def test_old_and_new_bodies_are_taken_on_old_and_new_paths(path: str) -> None:
    old = {"streams": [{"labels": '{job="x"}', "entries": [{"ts": "2026-11-27T06:30:01Z", "line": "l"}]}]}

    async def scenario(relay: Relay) -> None:
        assert (await relay.post(PUSH, JSON, path=path))[0] == 204
        assert (await relay.post(json.dumps(old).encode(), JSON, path=path))[0] == 204
        assert [stream.labels for _, [stream] in relay.intake.pushed] == ['{a="1", b="2"}', '{job="x"}']

    run(scenario)


@pytest.mark.parametrize("path", ["/loki/api/v1/raw", "/promtail/api/v1/raw"])
def test_plain_lines_are_taken(path: str) -> None:
    async def scenario(relay: Relay) -> None:
        assert (await relay.post(b"one\ntwo\n", path=path))[0] == 204
        ((_, (stream,)),) = relay.intake.pushed
        assert (stream.labels, stream.count) == ('{job="raw"}', 2)

    run(scenario)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"streams":[{"stream":{"a":"b"},"values":[]}]}', "/loki/api/v1/push"),
        (b'{"streams":[{"stream":{"a":"b"},"lines":[["1","x"]]}]}', "/loki/api/v1/push"),
        (b'{"streams":[{"labels":"{}","entries":[]}]}', "/api/prom/push"),
        (b"\n\n", "/loki/api/v1/raw"),
    ],
)
def test_it_is_never_204_when_nothing_is_stored(body: bytes, path: str) -> None:
    async def scenario(relay: Relay) -> None:
        status, _, text = await relay.post(body, JSON, path=path)
        assert status == 400 and text
        assert not relay.intake.pushed

    run(scenario)
