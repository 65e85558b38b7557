"""`python -m bench`: what a message costs, and how that grows. `--help` tells the choices.

python -m bench                          one million messages through each system
python -m bench growth                   streams, senders, sizes, backlog
python -m bench udp                      UDP through rsyslog at a given rate, counting losses
python -m bench --peer 'fluent-bit=fluent-bit -i syslog -p mode=tcp -p port={port} … -o loki -p port={sink}'
python -m bench --peer 'promtail:1514=promtail -config.file=promtail.yml' --sink-port 3100
python -m bench --replaced 'promtail:1514=promtail -config.file=promtail.yml' --sink-port 3100
"""

import argparse
import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import load
from bench.growth import growth
from bench.rsyslog import start_omfwd, start_rsyslog
from bench.run import (
    Result,
    Running,
    Start,
    free_port,
    measure,
    peer,
    relay_config,
    start_receiver,
    start_relay,
    wait_for,
)

OLD = 6 * 3600.0  # seconds before now, over which lines lie that a sender has kept through an outage


def relay(kind: str, labels: dict[str, object] | None = None) -> Start:
    """Starts our relay alone, listening by `relp` or `syslog_tcp`."""

    def start(directory: Path, sink: int) -> Running:
        port = free_port()
        config = relay_config(directory, sink, listen={kind: port}, labels=labels)
        return Running(port, {"relay": start_relay(directory, config, port)}, directory)

    return start


def rsyslog_and_relay(directory: Path, sink: int, *, udp: bool = False) -> Running:
    """Starts rsyslogd, as the appliance configures it, in front of our relay."""
    http = free_port()
    handover = directory / "handover"
    config = relay_config(directory, sink, listen={"http": http}, handover=handover)
    processes = {"relay": start_relay(directory, config, http)}
    port, processes["rsyslogd"] = start_rsyslog(directory, handover, udp=udp)
    return Running(port, processes, directory)


def receiver_and_relay(directory: Path, sink: int) -> Running:
    """Starts what plain TCP goes through in the appliance: the receiver, and our relay behind it."""
    http = free_port()
    handover = directory / "handover"
    config = relay_config(directory, sink, listen={"http": http}, handover=handover)
    processes = {"relay": start_relay(directory, config, http)}
    port, processes["receiver"] = start_receiver(directory, handover)
    return Running(port, processes, directory)


def floor(directory: Path, sink: int) -> Running:
    """Starts what does the least that any forwarder has to do."""
    port = free_port()
    command = [sys.executable, "-m", "bench.floor", str(port), str(sink), str(directory)]
    process = subprocess.Popen(command)
    wait_for(port, process=process)
    return Running(port, {"floor": process}, directory)


def by_tcp(
    shape: load.Shape,
    *,
    form: load.Form = load.rfc5424,
    framed: Callable[[Iterator[bytes]], list[bytes]] = load.octet_counted,
) -> Callable[[int], int]:
    chunks = framed(load.messages(shape, form=form))

    def send(port: int) -> int:
        load.send_tcp(port, chunks)
        return shape.messages

    return send


def by_3164(shape: load.Shape) -> Callable[[int], int]:
    return by_tcp(shape, form=load.rfc3164, framed=load.lines)


def by_relp(shape: load.Shape) -> Callable[[int], int]:
    chunks = load.relp_frames(load.messages(shape))

    def send(port: int) -> int:
        load.send_relp(port, chunks, shape.messages)
        return shape.messages

    return send


def table(results: Iterator[Result]) -> int:
    """Print the results as they come; 1 if anything was lost."""
    lost = 0
    print(f"{'system':34} {'messages/s':>11} {'CPU us/msg':>11} {'peak RSS MiB':>13} {'pushed MB':>10} {'lost':>8}")
    for result in results:
        rss = sum(result.peak_rss.values()) / 2**20
        print(
            f"{result.name:34} {result.rate:11,.0f} {result.cpu_per_message:11.2f} {rss:13.0f}"
            f" {result.pushed_bytes / 1e6:10.0f} {result.sent - result.arrived:8}",
            flush=True,
        )
        if len(result.cpu_seconds) > 1:
            for part, seconds in result.cpu_seconds.items():
                share = seconds / result.sent * 1e6
                print(f"  {part:32} {'':11} {share:11.2f} {result.peak_rss[part] / 2**20:13.0f}")
        lost += abs(result.sent - result.arrived)
    return 1 if lost else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=["cost", "growth", "udp"], default="cost")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=50_000, help="datagrams a second (udp)")
    parser.add_argument("--seconds", type=int, default=20, help="how long to send (udp)")
    parser.add_argument("--only", help="run only the systems whose name contains this")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME[:PORT]=COMMAND",
        help="another forwarder, which takes octet-counted TCP on PORT and pushes to Loki at the sink's port;\n"
        "{port}, {sink} and {dir} (a directory of its own) are filled in; without PORT any free one is",
    )
    parser.add_argument(
        "--replaced",
        action="append",
        default=[],
        metavar="NAME[:PORT]=COMMAND",
        help="the same, behind rsyslog's imtcp and omfwd as in the box that this one replaces",
    )
    parser.add_argument("--sink-port", type=int, default=0, help="where the sink listens, which stands for Loki")
    options = parser.parse_args()
    shape = load.Shape(messages=options.messages)

    def wanted(name: str) -> bool:
        return not options.only or options.only in name

    if options.what == "growth":
        return table(growth(options.messages, wanted, relay))
    if options.what == "udp":
        return table(udp(options.rate, options.seconds))

    def costs() -> Iterator[Result]:
        old = dataclasses.replace(shape, spread=OLD)
        rows: list[tuple[str, Start, Callable[[], Callable[[int], int]]]] = [
            ("floor, TCP", floor, lambda: by_tcp(shape, framed=load.lines)),
            ("relay, TCP", relay("syslog_tcp"), lambda: by_tcp(shape)),
            ("relay, TCP, RFC 3164", relay("syslog_tcp"), lambda: by_3164(shape)),
            ("relay, TCP, 6 h old", relay("syslog_tcp"), lambda: by_tcp(old)),
            ("relay, RELP", relay("relp"), lambda: by_relp(shape)),
            ("receiver + relay, TCP", receiver_and_relay, lambda: by_tcp(shape)),
            ("receiver + relay, TCP, RFC 3164", receiver_and_relay, lambda: by_3164(shape)),
            ("rsyslog + relay, RELP", rsyslog_and_relay, lambda: by_relp(shape)),
        ]
        for name, start, send in rows:
            if wanted(name):
                yield measure(name, start, send())
        for each in options.peer + options.replaced:
            system, _, command = each.partition("=")
            name, _, port = system.partition(":")
            start = _peer(command, int(port or 0))
            if each in options.replaced:
                start = behind_rsyslog(start)
                name = f"rsyslog omfwd + {name}"
            for title, send in ((name, lambda: by_tcp(shape)), (f"{name}, RFC 3164", lambda: by_3164(shape))):
                # A forwarder alone need not take RFC 3164: it is rsyslog that turns it into RFC 5424.
                if wanted(title) and (each in options.replaced or title == name):
                    yield measure(title, start, send(), sink_port=options.sink_port)

    return table(costs())


def behind_rsyslog(forwarder: Start) -> Start:
    """Starts a forwarder behind rsyslogd, as in the box that this one replaces."""

    def start(directory: Path, sink: int) -> Running:
        running = forwarder(directory, sink)
        port, rsyslogd = start_omfwd(directory, running.port)
        return Running(port, {**running.processes, "rsyslogd": rsyslogd}, directory)

    return start


def _peer(command: str, port: int) -> Start:
    return lambda directory, sink: peer(command, port or free_port(), directory, sink)


def udp(rate: int, seconds: int) -> Iterator[Result]:
    """UDP through rsyslog and the relay at a steady rate."""
    records = list(load.messages(load.Shape(messages=rate * seconds)))

    def send(port: int) -> int:
        load.send_udp(port, records, rate)
        return len(records)

    yield measure(
        f"rsyslog + relay, UDP {rate}/s for {seconds} s",
        lambda directory, sink: rsyslog_and_relay(directory, sink, udp=True),
        send,
    )


if __name__ == "__main__":
    sys.exit(main())
