"""Processor time of the hot path alone: bytes in memory to batches in memory, nothing else running.

    python -m bench.hot_path [--messages N] [--rounds N]

The least of all rounds counts, so that a busy machine disturbs little.
"""

import argparse
import time
from collections.abc import Callable, Iterator

from appliance.config import model
from appliance.relay import hot
from appliance.relay.inputs import index
from appliance.relay.labels.cardinality import Guard
from appliance.relay.labels.resolver import Resolver
from appliance.relay.parse.time_policy import TimePolicy
from bench import load

READ = 256 * 1024


def packer() -> hot.Packer:
    """Return a packer with the default labels."""
    labels = model.Labels()
    guard = Guard(labels.guard, model.LokiLimits(), on_prune=lambda: None)
    resolver = Resolver(labels, TimePolicy(model.TimeSettings()), guard)
    made = hot.Packer(resolver, batch_size=1 << 20, max_message=65536)
    resolver.attach(made)
    return made


def in_reads(
    data: bytes, feed: Callable[[bytearray, int, int], int], full: Callable[[], object], conn: hot.Conn
) -> None:
    """Feed `data` as reads of a socket bring it, what is left of one in front of the next."""
    buffer = bytearray(2 * READ)
    rest = b""
    for first in range(0, len(data), READ):
        piece = rest + data[first : first + READ]
        buffer[: len(piece)] = piece
        start = 0
        while feed(buffer, start, len(piece)) == hot.BATCH_FULL:
            full()
            start = conn.consumed
        rest = piece[conn.consumed :]


def cost(messages: int, rounds: int, once: Callable[[], None]) -> float:
    """Microseconds of processor time for a message."""
    least = 1e9
    for _ in range(rounds):
        begun = time.process_time()
        once()
        least = min(least, time.process_time() - begun)
    return least / messages * 1e6


def lines(records: Iterator[bytes], prefix: bytes = b"") -> bytes:
    return b"".join(b"%b%b\n" % (prefix, record) for record in records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    shape = load.Shape(messages=options.messages)
    prefix = b"%d.123456 127.0.0.1 tcp " % time.time()
    new, old = load.Shape(options.messages), load.Shape(options.messages, spread=6 * 3600)
    rows = {
        "RFC 5424, octet-counted": ("feed_syslog", b"".join(load.octet_counted(load.messages(new)))),
        "RFC 5424, octet-counted, 6 h old": ("feed_syslog", b"".join(load.octet_counted(load.messages(old)))),
        "RFC 3164, LF": ("feed_syslog", lines(load.messages(new, form=load.rfc3164))),
        "RFC 3164 with ISO time, LF": ("feed_syslog", lines(load.messages(new, form=load.rfc3164_iso))),
        "RFC 5424, handed over": ("feed_handover", lines(load.messages(new), prefix)),
        "RFC 3164, handed over": ("feed_handover", lines(load.messages(new, form=load.rfc3164), prefix)),
        "RFC 3164 left to the parser, LF": (
            "feed_syslog",
            lines(record.replace(b" program", b"  program", 1) for record in load.messages(new, form=load.rfc3164)),
        ),
    }
    for name, (feed, data) in rows.items():

        def pack(feed: str = feed, data: bytes = data) -> None:
            one = packer()
            conn = hot.Conn(index("tcp"), b"127.0.0.1")
            one.now_ns = time.time_ns()
            method = getattr(one, feed)
            in_reads(
                data,
                lambda buffer, start, end: method(conn, buffer, start, end),
                lambda: one.reuse(one.close()[0]),
                conn,
            )
            assert sum(one.messages) == shape.messages

        print(f"{name:34} {cost(shape.messages, options.rounds, pack):6.3f} µs", flush=True)

    data = lines(load.messages(new))

    def write() -> None:
        writer = hot.RecordWriter(65536)
        conn = hot.Conn(index("tcp"), b"127.0.0.1")
        writer.now_ns = time.time_ns()
        in_reads(data, lambda buffer, start, end: writer.feed_syslog(conn, buffer, start, end), writer.take, conn)
        assert sum(writer.messages) == shape.messages

    print(f"{'receiver: LF to hand-over lines':34} {cost(shape.messages, options.rounds, write):6.3f} µs")


if __name__ == "__main__":
    main()
