"""`python -m bench`: what a message costs, and how that grows. `--help` tells the choices.

python -m bench                          one million messages through each system
python -m bench growth                   streams, senders, sizes, backlog
python -m bench udp                      UDP through rsyslog at a given rate, counting losses
python -m bench --peer 'fluent-bit=fluent-bit -i syslog -p mode=tcp -p port={port} … -o loki -p port={sink}'
python -m bench --peer 'promtail:1514=promtail -config.file=promtail.yml' --sink-port 3100
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import load
from bench.growth import growth
from bench.rsyslog import start_rsyslog
from bench.run import Result, Running, free_port, measure, peer, relay_config, start_relay


def relay(kind: str, labels: dict[str, object] | None = None) -> Callable[[Path, int], Running]:
    """Starts our relay alone, listening by `relp` or `syslog_tcp`."""

    def start(directory: Path, sink: int) -> Running:
        port = free_port()
        config = relay_config(directory, sink, listen={kind: port}, labels=labels)
        return Running(port, {"relay": start_relay(directory, config, port)}, directory)

    return start


def rsyslog_and_relay(directory: Path, sink: int, *, udp: bool = False) -> Running:
    """Starts rsyslogd, as the appliance configures it, in front of our relay."""
    relp = free_port()
    config = relay_config(directory, sink, listen={"relp": relp})
    processes = {"relay": start_relay(directory, config, relp)}
    port, processes["rsyslogd"] = start_rsyslog(directory, relp, udp=udp)
    return Running(port, processes, directory)


def by_tcp(shape: load.Shape) -> Callable[[int], int]:
    chunks = load.octet_counted(load.messages(shape))

    def send(port: int) -> int:
        load.send_tcp(port, chunks)
        return shape.messages

    return send


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
        if wanted("relay, TCP"):
            yield measure("relay, TCP", relay("syslog_tcp"), by_tcp(shape))
        if wanted("relay, RELP"):
            yield measure("relay, RELP", relay("relp"), by_relp(shape))
        if wanted("rsyslog + relay, TCP"):
            yield measure("rsyslog + relay, TCP", rsyslog_and_relay, by_tcp(shape))
        for each in options.peer:
            system, _, command = each.partition("=")
            name, _, port = system.partition(":")
            if wanted(name):
                yield measure(name, _peer(command, int(port or 0)), by_tcp(shape), sink_port=options.sink_port)

    return table(costs())


def _peer(command: str, port: int) -> Callable[[Path, int], Running]:
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
