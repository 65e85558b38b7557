"""The floor: the least that any forwarder has to do, and nothing of what makes it one.

It receives, compresses with snappy in blocks of a mebibyte, writes, syncs and pushes: no message is looked
at. What a forwarder costs beyond this is what it costs to read and label messages.

python -m bench.floor PORT SINK DIRECTORY
"""

import os
import socket
import sys
from pathlib import Path

import cramjam

_BLOCK = 1 << 20
_QUIET = 0.5  # seconds after which what is there goes, too


class Floor:
    """Takes what one connection after the other sends."""

    def __init__(self, sink: int, directory: Path) -> None:
        self._sink = socket.create_connection(("127.0.0.1", sink))
        self._directory = os.open(directory, os.O_RDONLY)
        self._file = directory / "block"
        self._buffer = bytearray(_BLOCK)
        self._held = 0
        self._scratch = bytearray(cramjam.snappy.compress_raw_max_len(self._buffer))

    def serve(self, connection: socket.socket) -> None:
        connection.settimeout(_QUIET)
        view = memoryview(self._buffer)
        while True:
            try:
                received = connection.recv_into(view[self._held :])
            except TimeoutError:
                self._pass_on()
                continue
            if not received:
                break
            self._held += received
            if self._held == _BLOCK:
                self._pass_on()
        self._pass_on()

    def _pass_on(self) -> None:
        """Make what is held durable, and push it; a line that is not whole yet stays."""
        end = self._buffer.rfind(b"\n", 0, self._held) + 1
        if not end:
            return
        written = cramjam.snappy.compress_raw_into(memoryview(self._buffer)[:end], self._scratch)
        body = memoryview(self._scratch)[:written]
        with self._file.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.rename(self._file, self._file.with_suffix(".done"))
        os.fsync(self._directory)
        head = b"POST /loki/api/v1/push HTTP/1.1\r\nHost: sink\r\nContent-Length: %d\r\n\r\n" % written
        self._sink.sendmsg([head])
        self._sink.sendall(body)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self._sink.recv(4096)
        self._buffer[: self._held - end] = self._buffer[end : self._held]
        self._held -= end


def main() -> None:
    port, sink, directory = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    listener = socket.create_server(("127.0.0.1", port))
    floor = Floor(sink, directory)
    while True:
        with listener.accept()[0] as connection:
            floor.serve(connection)


if __name__ == "__main__":
    main()
