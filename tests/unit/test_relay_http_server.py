"""The relay's HTTP server against clients that are slow, greedy, confused or in a hurry."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.config.units import Endpoint
from appliance.errors import ApplianceError
from appliance.relay.http.messages import HttpLimits, Request, Response, Route
from appliance.relay.http.server import HttpServer

HAS_IPV6 = Path("/proc/net/if_inet6").exists() and bool(Path("/proc/net/if_inet6").read_text())
ANY_PORT = Endpoint("127.0.0.1:0")


async def echo(request: Request) -> Response:
    return Response(200, request.body or request.query.encode() or b"empty")


async def slow(request: Request) -> Response:
    await asyncio.sleep(0.3)
    return Response(200, b"done")


async def broken(request: Request) -> Response:
    raise RuntimeError("a handler's mistake")


ROUTES = {
    "/echo": {"GET": Route(echo), "POST": Route(echo, 1000)},
    "/slow": {"GET": Route(slow)},
    "/broken": {"GET": Route(broken)},
}


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def response(self, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        header = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode()
        status = int(header.split()[1])
        headers = dict(line.lower().split(": ", 1) for line in header.split("\r\n")[1:] if line)
        length = 0 if head else int(headers.get("content-length", "0"))
        return status, headers, await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """What comes until the server closes."""
        return await asyncio.wait_for(self.reader.read(), 5)


Connect = Callable[[], Awaitable[Client]]


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[tuple[HttpServer, Connect]]:
    server = HttpServer("test", ROUTES, HttpLimits(**limits))
    await server.start(ANY_PORT)
    clients: list[Client] = []

    async def connect() -> Client:
        assert server.endpoint is not None
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", server.endpoint.port)))
        return clients[-1]

    try:
        yield server, connect
    finally:
        for client in clients:
            client.writer.close()
        await server.stop(0.5)


def run(scenario: Callable[[HttpServer, Connect], Awaitable[None]], **limits: Any) -> None:
    async def whole() -> None:
        async with serving(**limits) as (server, connect):
            await scenario(server, connect)

    asyncio.run(asyncio.wait_for(whole(), 20))


def test_requests_follow_each_other_on_one_connection() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        client = await connect()
        for number in range(3):
            client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n%02d" % number)
            assert (await client.response())[2] == b"%02d" % number
        assert server.stats.requests == {"200": 3}
        assert server.stats.connections_total == 1

    run(scenario)


def test_pipelined_requests_are_answered_each_and_in_order() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        client = await connect()
        one = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n%d\r\n2\r\nab\r\n0\r\n\r\n"
        client.send(b"".join(one % number for number in range(5)) + b"GET /echo?last HTTP/1.1\r\nHost: a\r\n\r\n")
        assert [(await client.response())[2] for _ in range(6)] == [b"%dab" % n for n in range(5)] + [b"last"]

    run(scenario)


def test_a_client_that_asks_before_it_sends_is_told_to_go_on() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        client = await connect()
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert (await client.response())[0] == 100
        client.send(b"abc")
        assert (await client.response())[2] == b"abc"
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\nExpect: 100-continue\r\n\r\n")
        assert (await client.response())[0] == 413

    run(scenario)


def test_unknown_paths_methods_and_handlers_that_fail_have_their_status() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        client = await connect()
        client.send(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\nDELETE /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.response())[::2] == (404, b"404 page not found\n")
        status, headers, _ = await client.response()
        assert (status, headers["allow"]) == (405, "get, post")
        client.send(b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\nHEAD http://host/echo?xyz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.response())[0] == 500
        status, headers, _ = await client.response(head=True)
        assert (status, headers["content-length"]) == (200, "3")
        client.send(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.response())[2] == b"empty"

    run(scenario)


def test_http_1_0_and_connection_close_end_the_connection() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        for request in (b"GET /echo HTTP/1.0\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"):
            client = await connect()
            client.send(request)
            started = time.monotonic()
            assert (await client.rest()).endswith(b"empty")
            assert time.monotonic() - started < 1

    run(scenario)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /echo HTTP/1.1\r\n\r\n", 400),
        (b"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /echo HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 40_000, 431),
        (b"G" * 40_000, 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_what_is_not_http_is_answered_and_closed(request_bytes: bytes, status: int) -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        client = await connect()
        client.send(request_bytes)
        assert (await client.response())[0] == status
        assert await client.rest() == b""

    run(scenario)


def test_a_body_over_the_limit_is_413_and_the_client_gets_to_read_it() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        for head in (b"Content-Length: 3000000", b"Transfer-Encoding: chunked"):
            client = await connect()
            client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n")
            client.send((b"ffff\r\n" + b"x" * 65535 + b"\r\n") * 40)  # still sending when it is refused
            status, headers, _ = await client.response()
            assert (status, headers["connection"]) == (413, "close")

    run(scenario)


def test_slow_clients_are_timed_out_in_header_and_body_and_idle_ones_closed() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        header, body, idle = await connect(), await connect(), await connect()
        header.send(b"GET /echo HT")
        body.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        assert (await header.response())[0] == 408
        assert (await body.response())[0] == 408
        assert await idle.rest() == b""
        assert server.stats.timeouts == 2

    run(scenario, header_timeout=0.2, body_timeout=0.2, idle_timeout=0.3)


def test_a_dripping_body_does_not_outlive_its_time() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        client = await connect()
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n")
        reading = asyncio.create_task(client.response())
        started = time.monotonic()
        while not reading.done() and time.monotonic() - started < 5:
            client.send(b"x")
            await asyncio.sleep(0.02)
        assert (await reading)[0] == 408
        assert time.monotonic() - started < 2

    run(scenario, body_timeout=0.3)


def test_a_client_that_does_not_read_its_answer_is_dropped() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        client = await connect()
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
        for _ in range(4000):
            client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
        for _ in range(100):
            await asyncio.sleep(0.05)
            if not server.stats.connections:
                break
        assert server.stats.connections == 0

    run(scenario, write_timeout=0.3)


def test_connections_are_limited_and_an_idle_one_gives_way() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        idle = await connect()
        busy = await connect()
        busy.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.sleep(0.05)
        third = await connect()
        third.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await idle.rest() == b""  # gave way
        fourth = await connect()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            fourth.send(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
            await fourth.response()
        assert (await busy.response())[0] == (await third.response())[0] == 200
        assert server.stats.refused == 1

    run(scenario, connections=2)


def test_bodies_share_a_bounded_memory_and_it_is_given_back() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        holding = await connect()
        holding.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n" + b"x" * 800)
        await asyncio.sleep(0.05)
        other = await connect()
        whole = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n" + b"x" * 900
        other.send(whole)
        status, headers, _ = await other.response()
        assert (status, headers["retry-after"]) == (503, "1")
        holding.send(b"x" * 100)
        assert (await holding.response())[0] == 200
        again = await connect()
        again.send(whole)
        assert (await again.response())[0] == 200

    run(scenario, buffered_bodies=1000)


def test_a_body_in_very_many_chunks_costs_memory_by_its_bytes() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        client = await connect()
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n")
        assert (await client.response())[2] == b"x" * 1000

    run(scenario)


def test_stopping_finishes_requests_in_flight_and_closes_idle_connections() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        idle, busy = await connect(), await connect()
        busy.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.sleep(0.1)
        stopping = asyncio.create_task(server.stop(2.0))
        status, headers, body = await busy.response()
        assert (status, headers["connection"], body) == (200, "close", b"done")
        assert await idle.rest() == b""
        await asyncio.wait_for(stopping, 1)
        assert await busy.rest() == b""

    run(scenario)


def test_stopping_does_not_wait_for_ever() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        client = await connect()
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await server.stop(0.2)
        assert time.monotonic() - started < 1

    run(scenario)


def test_an_address_in_use_is_an_operators_error() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        assert server.endpoint is not None
        with pytest.raises(ApplianceError) as error:
            await HttpServer("second", ROUTES, HttpLimits()).start(server.endpoint)
        assert "Address already in use" in error.value.message
        assert error.value.hint

    run(scenario)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [
                    b"GET /echo HTTP/1.1\r\n",
                    b"POST /echo HTTP/1.1\r\n",
                    b"Host: a\r\n",
                    b"\r\n",
                    b"Content-Length: 5\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b"Expect: 100-continue\r\n",
                    b"Connection: upgrade\r\n",
                    b"5\r\nabcde\r\n",
                    b"0\r\n\r\n",
                    b"HTTP/1.1 200 OK\r\n",
                    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                    b"Host: a\r\n\r\n",
                ]
            ),
        ),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_whatever_is_sent_the_answer_is_never_500_and_the_server_lives(
    parts: list[bytes], chance: random.Random
) -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        client = await connect()
        data = b"".join(parts)
        while data:
            cut = chance.randint(1, len(data))
            client.send(data[:cut])
            data = data[cut:]
            await asyncio.sleep(0)
        client.writer.write_eof()
        try:
            answer = await client.rest()
        except ConnectionError:
            answer = b""
        assert b"HTTP/1.1 5" not in answer or b"HTTP/1.1 501" in answer
        after = await connect()
        after.send(b"GET /echo?alive HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await after.response())[2] == b"alive"

    run(scenario)


@pytest.mark.parametrize(
    ("listen", "connect_to"),
    [
        (":0", ["127.0.0.1", "::1"]),
        ("[::]:0", ["127.0.0.1", "::1"]),
        pytest.param("[::1]:0", ["::1"], marks=pytest.mark.skipif(not HAS_IPV6, reason="IPv6 is switched off")),
        ("localhost:0", ["localhost"]),
        ("0.0.0.0:0", ["127.0.0.1"]),
    ],
)
def test_addresses_are_listened_on_as_written(listen: str, connect_to: list[str]) -> None:
    async def scenario() -> None:
        server = HttpServer("test", ROUTES, HttpLimits())
        await server.start(Endpoint(listen))
        assert server.endpoint is not None
        for address in connect_to:
            if ":" in address and not HAS_IPV6:
                continue
            client = Client(*await asyncio.open_connection(address, server.endpoint.port))
            client.send(b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert (await client.response())[2] == b"empty"
            client.writer.close()
        await server.stop(0.2)

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_an_address_of_another_machine_is_an_operators_error() -> None:
    with pytest.raises(ApplianceError) as error:
        asyncio.run(HttpServer("test", ROUTES, HttpLimits()).start(Endpoint("192.0.2.1:0")))
    assert "cannot listen on 192.0.2.1:0: Cannot assign requested address" in error.value.message
