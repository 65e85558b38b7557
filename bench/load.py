"""The load: RFC 5424 messages made beforehand, and the clients that send them as fast as they are taken."""

import contextlib
import random
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_PRIORITIES = (30, 38, 86, 134, 30 - 4, 14, 11, 165, 28)
_CHUNK = 1 << 20
_CLOSES = 20.0  # seconds for the other side to close, too
# What machines say: fixed words around numbers that change, which is how well it can be compressed.
_TEXTS = (
    b"Accepted publickey for deploy from 10.20.%d.%d port %d ssh2: ED25519 SHA256:kq0vT9b1Zs session opened ",
    b"[UFW BLOCK] IN=eth0 OUT= SRC=203.0.%d.%d DST=10.0.0.5 LEN=44 TTL=242 ID=%d PROTO=TCP SPT=443 WINDOW=1024 SYN ",
    b"GET /api/v1/items/%d?page=%d HTTP/1.1 200 %d bytes in 12 ms upstream=10.0.3.4:8080 agent=curl/7.88.1 ",
    b"pool-%d worker-%d finished job %d: 200 rows read, 0 rows written, cache hit ratio 0.97, next run in 60 s ",
    b"DHCPACK on 192.168.%d.%d to 52:54:00:ab:cd:ef (host-%d) via bond0.120 lease time 43200 renewed ",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the messages look like. The defaults: 50 hosts, 15 programs, 9 priorities, about 200 bytes."""

    messages: int = 1_000_000
    hosts: int = 50
    programs: int = 15
    priorities: int = 9
    size: int = 200
    spread: float = 30.0
    """Seconds before now over which the timestamps lie."""
    in_turn: bool = False
    """Hosts and programs take turns, so that each pair of them comes, instead of being drawn."""


Form = Callable[[int, datetime, int, int, int], str]
"""Makes a header of priority, time, host, program and process."""


def rfc5424(pri: int, moment: datetime, host: int, program: int, process: int) -> str:
    stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z"
    return f"<{pri}>1 {stamp} host{host:04d}.example.org program{program:02d} {process} - - "


def rfc3164(pri: int, moment: datetime, host: int, program: int, process: int) -> str:
    return f"<{pri}>{moment.astimezone():%b %e %H:%M:%S} host{host:04d} program{program:02d}[{process}]: "


def rfc3164_iso(pri: int, moment: datetime, host: int, program: int, process: int) -> str:
    stamp = moment.astimezone().isoformat(timespec="microseconds")
    return f"<{pri}>{stamp} host{host:04d} program{program:02d}[{process}]: "


def messages(shape: Shape, *, seed: int = 1, form: Form = rfc5424) -> Iterator[bytes]:
    """Yield the messages of a load, without framing; each ends with its number."""
    chance = random.Random(seed)
    start = time.time() - shape.spread
    for number in range(shape.messages):
        moment = datetime.fromtimestamp(start + shape.spread * number / shape.messages, UTC)
        key = chance.getrandbits(30)
        host, program = key % shape.hosts, (key >> 9) % shape.programs
        if shape.in_turn:
            program, host = divmod(number % (shape.hosts * shape.programs), shape.hosts)
        head = form(_PRIORITIES[key % shape.priorities], moment, host, program, key >> 15).encode()
        tail = b" n=%d" % number
        room = max(shape.size - len(head) - len(tail), 0)
        text = _TEXTS[key % len(_TEXTS)] % (key & 255, (key >> 8) & 255, key >> 14)
        text = text * (room // len(text) + 1) if len(text) < room else text
        yield head + text[:room] + tail


def octet_counted(records: Iterator[bytes]) -> list[bytes]:
    """Return the records in octet-counted frames, in chunks of about a mebibyte."""
    return _chunks(b"%d %b" % (len(record), record) for record in records)


def lines(records: Iterator[bytes]) -> list[bytes]:
    """Return the records as lines, in chunks of about a mebibyte."""
    return _chunks(record + b"\n" for record in records)


def relp_frames(records: Iterator[bytes]) -> list[bytes]:
    """Return the records as RELP `syslog` frames; transaction 1 is left for `open`."""
    return _chunks(b"%d syslog %d %b\n" % (number, len(record), record) for number, record in enumerate(records, 2))


def _chunks(frames: Iterator[bytes]) -> list[bytes]:
    chunks, chunk, size = [], [], 0
    for frame in frames:
        chunk.append(frame)
        size += len(frame)
        if size >= _CHUNK:
            chunks.append(b"".join(chunk))
            chunk, size = [], 0
    if chunk:
        chunks.append(b"".join(chunk))
    return chunks


def send_tcp(port: int, chunks: list[bytes]) -> None:
    """Send over one connection as fast as it is taken."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for chunk in chunks:
            connection.sendall(chunk)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(_CLOSES)
        with contextlib.suppress(TimeoutError):  # what has not closed by then took all, or it shows in the count
            while connection.recv(65536):
                pass


def send_relp(port: int, chunks: list[bytes], count: int, *, window: int = 20000) -> None:
    """Send over one RELP session, at most `window` messages ahead of the acknowledgements."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        offer = b"relp_version=0\nrelp_software=bench\ncommands=syslog"
        connection.sendall(b"1 open %d %b\n" % (len(offer), offer))
        greeting = b""
        while not greeting.endswith(b"commands=syslog\n"):
            greeting += connection.recv(4096)
        sent = acknowledged = 0
        for chunk in chunks:
            inside = chunk.count(b" syslog ")
            while sent - acknowledged > window:
                acknowledged += connection.recv(1 << 20).count(b"\n")
            connection.sendall(chunk)
            sent += inside
        while acknowledged < count:
            data = connection.recv(1 << 20)
            if not data:
                raise ConnectionError(f"closed after {acknowledged} of {count} acknowledgements")
            acknowledged += data.count(b"\n")


def send_udp(port: int, records: list[bytes], rate: int) -> None:
    """Send datagrams at `rate` a second, in bursts of a millisecond."""
    burst = max(rate // 1000, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        start = time.perf_counter()
        for first in range(0, len(records), burst):
            for record in records[first : first + burst]:
                sender.send(record)
            ahead = start + (first + burst) / rate - time.perf_counter()
            if ahead > 0:
                time.sleep(ahead)
