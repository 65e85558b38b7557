"""One connection of an HTTP listener as bytes: read on demand, written with back-pressure, TLS when asked for.

asyncio's streams read up to 256 KiB ahead of the reader, for each connection; two thousand
hostile ones would fill the memory. Here the socket is read only while somebody waits for it, and at
most one chunk is held. HTTP is not known here.
"""

import asyncio
import ssl
from collections.abc import Callable

CHUNK = 64 * 1024
"""Bytes read at once at most."""

_shared = memoryview(bytearray(CHUNK))  # all connections read into it, one after the other, within one loop
_HANDSHAKE = 10.0  # seconds that a TLS handshake may take
_TLS_AHEAD = 32 * 1024  # bytes of TLS records read ahead of the reader, for each connection


class Wire(asyncio.BufferedProtocol):
    """A connection. `made` is called once it is there, in the loop; it must not block."""

    def __init__(self, made: Callable[["Wire"], None], *, tls: bool) -> None:
        self._made = made
        self.tls = tls
        self._loop = asyncio.get_running_loop()
        self._chunk = b""
        self._want = CHUNK
        self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._full = False
        self.closed = False
        self.transport: asyncio.Transport

    # ---- what asyncio calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.tls:
            # The first bytes are the TLS layer's. Not at once: asyncio of Python 3.11.2 forgets a pause
            # that it is told when a connection is made.
            self._loop.call_soon(transport.pause_reading)
        self._made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _shared[: self._want]

    def buffer_updated(self, nbytes: int) -> None:
        self._chunk += bytes(_shared[:nbytes])
        self.transport.pause_reading()
        self._wake(self._reader)

    def eof_received(self) -> bool:
        self._ended = True
        self._wake(self._reader)
        return not self.tls  # a client may close its side and still read the answer

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = self._ended = True
        self._error = exc
        self._wake(self._reader)
        self._wake(self._writer)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._wake(self._writer)

    @staticmethod
    def _wake(waiter: asyncio.Future[None] | None) -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ---- what the server calls -----------------------------------------------------------------

    async def start_tls(self, context: ssl.SSLContext) -> ssl.SSLObject:
        """Shake hands as the server. Raise OSError (ssl.SSLError among them) when that fails."""
        await asyncio.sleep(0)  # let the pause happen
        transport = await self._loop.start_tls(
            self.transport, self, context, server_side=True, ssl_handshake_timeout=_HANDSHAKE
        )
        if transport is None or self.closed:
            raise ConnectionResetError("the client went away")
        self.transport = transport
        transport.set_read_buffer_limits(high=_TLS_AHEAD)  # type: ignore[attr-defined]  # of asyncio's TLS transport
        found: ssl.SSLObject = transport.get_extra_info("ssl_object")
        return found

    async def read(self, want: int = CHUNK) -> bytes:
        """At least one byte and at most about `want`; b"" at the end. Raise OSError when the connection broke."""
        if not self._chunk and not self._ended:
            self._want = want
            self._reader = self._loop.create_future()
            self.transport.resume_reading()
            try:
                await self._reader
            finally:
                self._reader = None
        if not self._chunk and self._error is not None:
            raise self._error
        chunk, self._chunk = self._chunk, b""
        return chunk

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written. Raise OSError when it went away."""
        if self._full and not self.closed:
            self._writer = self._loop.create_future()
            try:
                await self._writer
            finally:
                self._writer = None
        if self.closed:
            raise self._error if isinstance(self._error, OSError) else ConnectionResetError("the client went away")

    def close(self) -> None:
        """Close once what was written is sent; at once when the client does not take it."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    @property
    def peer(self) -> str:
        """Address of the client, IPv4 in its own form; empty when it is gone."""
        return self._address("peername")

    @property
    def local(self) -> bool:
        """Return whether the client is on this machine."""
        peer = self.peer
        return peer == "::1" or peer.startswith("127.") or (bool(peer) and peer == self._address("sockname"))

    def _address(self, name: str) -> str:
        found = self.transport.get_extra_info(name)
        return str(found[0]).removeprefix("::ffff:").partition("%")[0] if found else ""
