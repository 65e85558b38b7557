"""Processor time of the sender per message: spool to a sink that answers 204, nothing else running.

    python -m bench.sender_cost [--messages N] [--streams N] [--cold] [--per-segment N]

`--cold` reads segments from disk, as after an outage; otherwise they are fresh, as in live traffic.
The sink is a process of its own; only the sender's process is counted.
"""

import argparse
import multiprocessing
import socket
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from appliance.config import model
from appliance.config.units import Rate, Size
from appliance.relay.loki.push_format import Entry, encode_stream, scan_streams
from appliance.relay.send.request import compress
from appliance.relay.send.sender import Sender
from appliance.relay.spool.dead_letters import DeadLetters
from appliance.relay.spool.spool import NewSegment, Spool


def sink(port: Connection) -> None:
    """Read requests by their Content-Length, answer 204."""
    import threading

    def serve(connection: socket.socket) -> None:
        data = b""
        while chunk := connection.recv(1 << 18):
            data += chunk
            while (end := data.find(b"\r\n\r\n")) >= 0:
                head = data[:end].lower()
                size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                missing = end + 4 + size - len(data)
                while missing > 0:
                    chunk = connection.recv(min(missing, 1 << 20))
                    missing -= len(chunk)
                    data += chunk
                data = data[end + 4 + size :]
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port.send(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def segment(number: int, streams: int, messages: int, size: int) -> NewSegment:
    now = time.time_ns()
    per_stream = [messages // streams + (index < messages % streams) for index in range(streams)]
    body = b"".join(
        encode_stream(
            f'{{application="app{index % 15}", host="host{index}", job="syslog", level="info"}}',
            [
                Entry(
                    now + number * 1000 + n,
                    (f"message {index * 7919 + n} of {number}: " + "session opened 17 " * (size // 18)).encode()[:size],
                )
                for n in range(count)
            ],
        )
        for index, count in enumerate(per_stream)
        if count
    )
    return NewSegment(compress(body), scan_streams(body), messages, len(body), now, now + 10**6, "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=500_000)
    parser.add_argument("--per-segment", type=int, default=8000)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--size", type=int, default=170)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--connections", type=int, default=4)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=sink, args=(theirs,), daemon=True)
    process.start()
    port = ours.recv()
    with tempfile.TemporaryDirectory() as directory:
        settings = model.Spool(path=str(Path(directory) / "spool"), min_free=Size(0))
        spool = Spool(settings)
        per_segment = min(options.per_segment, options.messages)
        batch = [segment(n, min(options.streams, per_segment), per_segment, options.size) for n in range(8)]
        rounds = max(options.messages // per_segment // 8, 1)
        limits = model.LokiLimits(stream_rate=Rate(10**10), stream_burst=Size(10**11))
        loki = model.Loki(
            url=f"http://127.0.0.1:{port}/loki/api/v1/push", limits=limits, connections=options.connections
        )
        total = rounds * 8 * per_segment
        if options.cold:
            for _ in range(rounds):
                spool.append(batch)
            spool.close()
            spool = Spool(settings)
            cpu, started = time.process_time(), time.monotonic()
            sender = Sender(loki, spool, dead_letters=DeadLetters(Path(directory) / "dead", 10**6))
            sender.start()
            while len(spool):
                time.sleep(0.005)
            cpu, seconds = time.process_time() - cpu, time.monotonic() - started
        else:
            sender = Sender(loki, spool, dead_letters=DeadLetters(Path(directory) / "dead", 10**6))
            sender.start()
            cpu = seconds = 0.0
            for _ in range(rounds):
                for one in batch:
                    spool.append([one])
                    before, started = time.process_time(), time.monotonic()
                    while len(spool):
                        time.sleep(0.001)
                    cpu += time.process_time() - before
                    seconds += time.monotonic() - started
        sender.stop()
        stats = sender.stats
    process.kill()
    print(
        f"{total} messages in {stats.pushes} pushes: {cpu / total * 1e6:.3f} µs CPU per message, "
        f"{total / seconds:,.0f} messages/s"
    )
    assert stats.pushed_entries == total, stats


if __name__ == "__main__":
    main()
