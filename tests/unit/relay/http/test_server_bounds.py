"""The HTTP listeners' bounds by sender and by bytes, and what no proxy may make of a request."""

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable

from appliance.config.units import Endpoint
from appliance.relay.http.messages import HttpLimits, Request, Response, Route
from appliance.relay.http.server import HttpServer


async def echo(request: Request) -> Response:
    return Response(200, bytes(request.body) or b"empty")


async def slow(request: Request) -> Response:
    await asyncio.sleep(0.5)
    return Response(200, b"done")


def closed(request: Request) -> Response | None:
    return None if request.headers.get("authorization") == "yes" else Response.text(401, "who are you?")


ROUTES = {
    "/echo": {"POST": Route(echo, 10**6), "GET": Route(echo)},
    "/slow": {"GET": Route(slow)},
    "/closed": {"POST": Route(echo, 10**6, closed)},
}


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def status(self) -> int:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        await self.reader.readexactly(length)
        return int(head.split()[1])

    async def ended(self) -> bool:
        try:
            return not await asyncio.wait_for(self.reader.read(), 5)
        except ConnectionError:
            return True


Connect = Callable[..., Awaitable[Client]]


def run(scenario: Callable[[HttpServer, Connect], Awaitable[None]], **limits: int) -> None:
    async def whole() -> None:
        server = HttpServer("test", ROUTES, HttpLimits(**limits))  # type: ignore[arg-type]
        await server.start(Endpoint("127.0.0.1:0"))
        clients: list[Client] = []

        async def connect(address: str = "127.0.0.1") -> Client:
            assert server.endpoint is not None
            made = await asyncio.open_connection("127.0.0.1", server.endpoint.port, local_addr=(address, 0))
            clients.append(Client(*made))
            return clients[-1]

        try:
            await scenario(server, connect)
        finally:
            for client in clients:
                client.writer.close()
            await server.stop(0.5)

    asyncio.run(asyncio.wait_for(whole(), 30))


def test_content_length_with_transfer_encoding_is_400_and_what_follows_is_no_request() -> None:
    """The body was taken as chunked before (finding 15): what stands in front of us may see another request."""

    async def scenario(server: HttpServer, connect: Connect) -> None:
        for both in (
            b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
            b"transfer-encoding: CHUNKED\r\ncontent-length: 0\r\n",
        ):
            client = await connect()
            client.writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\n" + both + b"\r\n0\r\n\r\n")
            client.writer.write(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await client.status() == 400
            assert await client.ended()
        assert server.stats.requests == {"400": 3}

    run(scenario)


def test_one_address_has_so_many_connections_and_others_go_on() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        busy = [await connect("127.0.0.2") for _ in range(3)]
        for client in busy:
            client.writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.sleep(0.1)
        assert await (await connect("127.0.0.2")).ended()
        other = await connect("127.0.0.3")
        other.writer.write(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await other.status() == 200
        assert [await client.status() for client in busy] == [200] * 3
        assert (server.stats.refused, server.stats.refused_per_peer) == (1, 1)
        # Its own idle ones give way, nobody else's.
        await connect("127.0.0.2")
        again = await connect("127.0.0.2")
        again.writer.write(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await again.status() == 200
        other.writer.write(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await other.status() == 200

    run(scenario, connections=10, connections_per_peer=3)


def test_bodies_of_one_address_leave_room_for_those_of_others() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n"
        loud = [await connect("127.0.0.2") for _ in range(2)]
        loud[0].writer.write(head + b"x" * 499)
        await asyncio.sleep(0.1)
        loud[1].writer.write(head + b"x" * 500)
        assert await loud[1].status() == 503
        other = await connect("127.0.0.3")
        other.writer.write(head + b"x" * 500)
        assert await other.status() == 200
        loud[0].writer.write(b"x")
        assert await loud[0].status() == 200
        assert server._buffered == 0
        assert not server._buffered_of

    run(scenario, buffered_bodies=1100, buffered_per_peer=600)


def test_who_may_not_ask_is_told_before_the_body_is_read() -> None:
    async def scenario(server: HttpServer, connect: Connect) -> None:
        client = await connect()
        client.writer.write(b"POST /closed HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        assert await client.status() == 401
        client.writer.write(b"POST /closed HTTP/1.1\r\nHost: a\r\nAuthorization: yes\r\nContent-Length: 3\r\n\r\nabc")
        assert await client.status() == 200
        large = await connect()
        large.writer.write(b"POST /closed HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
        assert await large.status() in (401, 413)

    run(scenario)


def test_what_many_clients_send_ahead_stays_in_their_sockets() -> None:
    """asyncio's streams took 256 KiB of each at once before."""

    async def scenario(server: HttpServer, connect: Connect) -> None:
        clients = [await connect() for _ in range(100)]
        await asyncio.sleep(0.1)
        tracemalloc.start()
        ahead = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /echo HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200_000
        for client in clients:
            client.writer.transport.get_extra_info("socket").setblocking(False)
            socket = client.writer.transport.get_extra_info("socket")
            socket._sock.send(ahead)
        await asyncio.sleep(0.3)
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert server.stats.connections == 100
        assert used < 100 * 40_000

    run(scenario, connections=1000)
