"""How the cost of a message grows with streams, senders, sizes and backlog."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import load
from bench.run import Result, Running, Start, measure


def growth(messages: int, wanted: Callable[[str], bool], relay: Callable[..., Start]) -> Iterator[Result]:
    """Yield one result for each point; each run is of at most `messages` messages, but of each label set once."""
    for hosts, programs in ((5, 2), (20, 5), (100, 10), (200, 20)):
        name = f"streams: {hosts * programs:,}"
        if wanted(name):
            yield _run(name, relay("syslog_tcp"), load.Shape(messages, hosts, programs, 1, in_turn=True))
    name = "label sets: 100,000 (guard)"
    if wanted(name):
        yield _run(name, relay("syslog_tcp"), load.Shape(max(messages, 100_000), 2000, 50, 1, in_turn=True))
    for senders in (1, 10, 100, 1000):
        name = f"senders: {senders:,}"
        if wanted(name):
            yield _run(name, relay("syslog_tcp"), load.Shape(messages), senders)
    for size in (100, 1000, 8000, 32000):
        name = f"message size: {size:,} B"
        if wanted(name):
            yield _run(name, relay("syslog_tcp"), load.Shape(min(messages, 400_000_000 // size), size=size))
    for backlog in (0, 100_000, 1_000_000):
        name = f"backlog: {backlog:,} entries"
        if wanted(name):
            yield _with_backlog(name, relay, min(messages, 200_000), backlog)


def _run(name: str, start: Start, shape: load.Shape, senders: int = 1) -> Result:
    shares = [
        load.octet_counted(load.messages(dataclasses.replace(shape, messages=count), seed=number))
        for number, count in enumerate(_shares(shape.messages, senders))
    ]

    def send(port: int) -> int:
        threads = [threading.Thread(target=load.send_tcp, args=(port, chunks)) for chunks in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return shape.messages

    return measure(name, start, send)


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (1 if number < total % parts else 0) for number in range(parts)]


def _with_backlog(name: str, relay: Callable[..., Start], messages: int, backlog: int) -> Result:
    """New messages while a spool filled beforehand drains; both count as sent."""
    old = load.octet_counted(load.messages(load.Shape(backlog, spread=300.0), seed=7)) if backlog else []
    new = load.octet_counted(load.messages(load.Shape(messages)))
    start_with_sink = relay("syslog_tcp")

    def start(directory: Path, sink: int) -> Running:
        if old:
            nobody = start_with_sink(directory, 9)  # Loki is not there: everything stays in the spool
            load.send_tcp(nobody.port, old)
            for process in nobody.processes.values():
                process.terminate()
                process.wait(30)
        return start_with_sink(directory, sink)

    def send(port: int) -> int:
        load.send_tcp(port, new)
        return messages + backlog

    # A backlog drains from the start on.
    return measure(name, start, send, settle=0.0)
