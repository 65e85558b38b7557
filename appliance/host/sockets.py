"""Which ports this machine listens on, from /proc/net: no program needed, readable by every user."""

from pathlib import Path

_TCP_LISTEN, _UDP_OPEN = "0A", "07"


def listening(proc: Path = Path("/proc/net")) -> set[tuple[str, int]]:
    """Return (protocol, port) of every listening TCP and bound UDP socket."""
    found: set[tuple[str, int]] = set()
    for name, protocol, state in (
        ("tcp", "tcp", _TCP_LISTEN), ("tcp6", "tcp", _TCP_LISTEN), ("udp", "udp", _UDP_OPEN), ("udp6", "udp", _UDP_OPEN)
    ):  # fmt: skip
        try:
            lines = (proc / name).read_text().splitlines()[1:]
        except OSError:
            continue  # no IPv6 in this kernel
        for line in lines:
            fields = line.split()
            if len(fields) > 3 and fields[3] == state:
                found.add((protocol, int(fields[1].rpartition(":")[2], 16)))
    return found
