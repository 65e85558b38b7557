"""A Loki that answers 204 at once and keeps what came, to be counted when the clock has stopped.

python -m bench.sink [PORT]              prints the port it listens on, by default any
"""

import asyncio
import contextlib
import gzip
import json
import re
import sys
import time

import cramjam

from appliance.relay import hot

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_GZIP = b"\x1f\x8b"
_DONE = b"HTTP/1.1 204 No Content\r\n\r\n"


class Sink(asyncio.Protocol):
    """One keep-alive connection; as little work as possible."""

    bodies: list[bytes]
    times: list[float]

    def __init__(self, bodies: list[bytes], times: list[float]) -> None:
        self.bodies, self.times = bodies, times
        self._data = bytearray()
        self._need = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while len(self._data) >= self._need:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._data[:end])
            length = _LENGTH.search(head)
            self._need = end + 4 + (int(length[1]) if length else 0)
            if len(self._data) < self._need:
                if b"100-continue" in head:
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            body = bytes(self._data[end + 4 : self._need])
            del self._data[: self._need]
            self._need = 0
            if head.startswith(b"POST"):
                self.bodies.append(body)
                self.times.append(time.time())
                self._transport.write(_DONE)
            else:
                answer = json.dumps(self._report(b"count" in head.split(b" ", 2)[1])).encode()
                self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))

    def _report(self, count: bool) -> dict[str, float]:
        report: dict[str, float] = {
            "pushes": len(self.bodies),
            "bytes": sum(map(len, self.bodies)),
            "last": self.times[-1] if self.times else 0,
        }
        if count:
            report["entries"] = sum(map(_entries, self.bodies))
        return report


def _entries(body: bytes) -> int:
    """Entries of a push: protobuf with snappy, lines with snappy (the floor's), or JSON, which may be gzipped."""
    if body.startswith(_GZIP):
        body = gzip.decompress(body)
    with contextlib.suppress(cramjam.DecompressionError):
        plain = bytes(cramjam.snappy.decompress_raw(body))
        parts = hot.scan_push(plain)
        return plain.count(b"\n") if parts is None else sum(part[3] for part in parts)
    return sum(len(stream["values"]) for stream in json.loads(body)["streams"])


async def _main() -> None:
    bodies: list[bytes] = []
    times: list[float] = []
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    server = await asyncio.get_running_loop().create_server(lambda: Sink(bodies, times), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
    sys.exit(0)
