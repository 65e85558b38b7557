"""Hostile senders: bodies that weigh little and cost much, and connections that say half of something."""

import gzip
import http.client
import itertools
import json
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import cramjam

PROTO, JSON = "application/x-protobuf", "application/json"
Body = tuple[str, str, str, bytes]
"""Path, Content-Type, Content-Encoding and the body itself."""


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def snappy(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


def stream(labels: str, entries: bytes, more: bytes = b"") -> bytes:
    return field(1, field(1, labels.encode()) + entries + more)


def hostile_bodies() -> list[Body]:
    """Pushes of every kind that cost, or may cost, much more than they weigh."""
    push = "/loki/api/v1/push"
    now = time.time_ns()
    long = "x" * 60_000
    labels = ", ".join(f'l{n:02}="{n}{"y" * 2000}"' for n in range(15))
    values = ",".join(f'["{now + n}","l",{{"a":{n}}}]' for n in range(150_000))
    old = ",".join('{"ts":"1","line":""}' for _ in range(100_000))
    records = field(2, b"\x12\x00" * 300_000)
    resource = field(1, b"".join(field(1, field(1, b"a%d" % n) + field(2, field(1, b"x" * 500))) for n in range(90)))
    return [
        (push, PROTO, "", snappy(stream(f'{{a="{long}"}}', b"\x12\x00" * 1500))),
        (push, PROTO, "", snappy(stream('{a="b"}', b"\x12\x00" * 400_000, b"\x18\x2a"))),
        (push, PROTO, "", snappy(stream('{a="b"}', b"\x12\x00" * 8_000_000))),
        (push, PROTO, "", snappy(stream('{a="b"}', b"\x12\x0d\x0a\x0b\x08" + b"\xff" * 9 + b"\x01") * 1000)),
        (push, PROTO, "", snappy(b"\x0a\x00" * 8_000_000)),
        (push, PROTO, "", snappy(b"".join(stream(f'{{a="{n}", {labels}}}', b"\x12\x00") for n in range(400)))),
        (push, PROTO, "", snappy(stream('{a="b"}', field(2, field(2, b"z" * 15_000_000))))),
        (push, JSON, "", f'{{"streams":[{{"stream":{{"a":"b"}},"values":[{values}]}}]}}'.encode()),
        (push, JSON, "", f'{{"streams":[{{"labels":"{{a=\\"b\\"}}","entries":[{old}]}}]}}'.encode()),
        (push, JSON, "", b'{"streams":[{"stream":{"a":"b"},"values":[["1","' + b"\xff" * 15_000_000 + b'"]]}]}'),
        (push, JSON, "", b'{"streams":' + b"[" * 15_000_000),
        (push, JSON, "gzip", gzip.compress(b'{"streams":[' + b"{}," * 5_000_000)),
        (push, JSON, "gzip", gzip.compress(b"") * 100_000),
        (push, PROTO, "", os.urandom(15_000_000)),
        ("/loki/api/v1/raw", "text/plain", "gzip", gzip.compress(b"x\n" * 150_000)),
        ("/otlp/v1/logs", PROTO, "", field(1, records)),
        ("/otlp/v1/logs", PROTO, "", field(1, resource + field(2, b"\x12\x00" * 150_000))),
        ("/otlp/v1/logs", JSON, "", b'{"resourceLogs":[' + b"{}," * 400_000 + b"{}]}"),
    ]


def flood(port: int, bodies: Iterator[Body], address: str, stop: threading.Event, answers: "Counter[int]") -> None:
    """Push one body after the other from one address until told to stop; each for a tenant of its own choice."""
    chance = random.Random(address)
    while not stop.is_set():
        path, kind, encoding, body = next(bodies)
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(address, 0))
        headers = {"Content-Type": kind, "X-Scope-OrgID": chance.choice(["", "", f"t{chance.randrange(400)}"])}
        if encoding:
            headers["Content-Encoding"] = encoding
        try:
            client.request("POST", path, body, headers)
            answers[client.getresponse().status] += 1
        except (OSError, http.client.HTTPException):
            answers[0] += 1
        finally:
            client.close()


def half_said(port: int, count: int, data: Callable[[int], bytes], addresses: list[str]) -> list[socket.socket]:
    """Connections that have each sent some bytes and keep silent, spread over the addresses."""
    made = []
    for number in range(count):
        sock = socket.create_connection(("127.0.0.1", port), 10, source_address=(addresses[number % len(addresses)], 0))
        sock.setblocking(False)
        try:
            sock.send(data(number))
        except OSError:
            pass
        made.append(sock)
    return made


def endless(bodies: list[Body], seed: int) -> Iterator[Body]:
    """The bodies over and over, from another one on for each seed."""
    return itertools.cycle(bodies[seed % len(bodies) :] + bodies[: seed % len(bodies)])


def json_push(line: str, **labels: str) -> bytes:
    return json.dumps({"streams": [{"stream": labels, "values": [[str(time.time_ns()), line]]}]}).encode()
