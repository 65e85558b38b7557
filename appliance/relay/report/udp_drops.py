"""What the kernel lost before anybody could read it: UDP datagrams dropped at full socket buffers.

Reads /proc/net/udp, udp6 and snmp at the moment it is asked. Knows nothing of who owns a socket:
the ports to look at are given.
Source: Documentation/networking/proc_net_tcp.rst (the columns), net/ipv4/udp.c (drops is the last).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class UdpLosses:
    """`drops` by port, since the socket was opened; the other counts are the machine's since boot."""

    drops: dict[int, int]
    queued: dict[int, int]  # bytes waiting in the receive buffers, by port
    receive_buffer_errors: int
    checksum_errors: int


def read_udp_losses(ports: Iterable[int], root: Path = Path("/proc/net")) -> UdpLosses:
    """Losses of the sockets bound to `ports`; zero where a file is absent or a port not bound."""
    wanted = set(ports)
    drops = dict.fromkeys(wanted, 0)
    queued = dict.fromkeys(wanted, 0)
    for name in ("udp", "udp6") if wanted else ():
        for port, waiting, lost in _sockets(_read(root / name)):
            if port in wanted:
                drops[port] += lost
                queued[port] += waiting
    snmp = _snmp(_read(root / "snmp"), "Udp")
    snmp6 = {
        fields[0]: int(fields[1])
        for line in _read(root / "snmp6").splitlines()
        if len(fields := line.split()) == 2 and fields[1].isdigit()
    }
    return UdpLosses(
        drops=drops,
        queued=queued,
        receive_buffer_errors=snmp.get("RcvbufErrors", 0) + snmp6.get("Udp6RcvbufErrors", 0),
        checksum_errors=snmp.get("InCsumErrors", 0) + snmp6.get("Udp6InCsumErrors", 0),
    )


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:  # no IPv6, or not Linux
        return ""


def _sockets(table: str) -> Iterable[tuple[int, int, int]]:
    """Port, bytes in the receive queue and drops, for each line of /proc/net/udp or udp6."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        try:
            yield int(fields[1].rpartition(":")[2], 16), int(fields[4].partition(":")[2], 16), int(fields[-1])
        except (IndexError, ValueError):
            continue


def _snmp(text: str, protocol: str) -> dict[str, int]:
    """Return the counters of one protocol: a line of names is followed by one of values."""
    names: list[str] = []
    for line in text.splitlines():
        fields = line.split()
        if not fields or fields[0] != protocol + ":":
            continue
        if not names:
            names = fields[1:]
            continue
        return {name: int(value) for name, value in zip(names, fields[1:], strict=False) if value.lstrip("-").isdigit()}
    return {}
