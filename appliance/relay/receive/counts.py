"""The receiver's numbers: what it counts, and the file by which the relay and `appliance status` learn of it.

The file is one JSON object, replaced as a whole every few seconds, so that a reader never sees half of it.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

PATH = Path("/run/appliance-receiver/stats.json")
"""In the unit's RuntimeDirectory=."""


def path_of(environment: Mapping[str, str]) -> Path:
    """Return where the receiver writes: systemd.exec(5) on RUNTIME_DIRECTORY."""
    directory = environment.get("RUNTIME_DIRECTORY", "")
    return Path(directory) / PATH.name if directory else PATH


class Trouble(msgspec.Struct):
    """Something that a sender does wrong: how often, who did it last, and when (Unix seconds)."""

    count: int = 0
    sender: str = ""
    last: float = 0.0

    def note(self, sender: str, now: float) -> None:
        """Count one more."""
        self.count += 1
        self.sender = sender
        self.last = now


class Counts(msgspec.Struct):
    """Counters since the receiver started, and its current state."""

    written: float = 0.0
    """Unix seconds at which this was written."""
    started: float = 0.0
    pid: int = 0
    port: int = 0
    """The TCP port listened on, 0 for none."""
    messages: int = 0
    bytes: int = 0
    connections: int = 0
    """Open now."""
    connections_total: int = 0
    connections_taken_over: int = 0
    """Of these, left open by the receiver's previous process."""
    refused: dict[str, Trouble] = msgspec.field(default_factory=dict)
    """Connections that were closed at once: `total` and `sender` for the two bounds, `files` for the system's."""
    foreign: dict[str, Trouble] = msgspec.field(default_factory=dict)
    """Connections that spoke another protocol than syslog, by `foreign.ALL`."""
    unreadable: Trouble = msgspec.field(default_factory=Trouble)
    """Connections that began with a control character and are of no protocol that is known; kept as text."""
    cut: Trouble = msgspec.field(default_factory=Trouble)
    """Messages longer than `max_message`."""
    unterminated: Trouble = msgspec.field(default_factory=Trouble)
    """Connections that ended in the middle of a message."""
    blocked: str = ""
    """Why nothing is read now; empty when all is well."""
    blocked_since: float = 0.0
    reload_failure: str = ""
    """Why the last reload kept the old configuration."""


def write(counts: Counts, path: Path) -> None:
    """Replace the file. Raise OSError when that cannot be done."""
    counts.written = time.time()
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(msgspec.json.encode(counts))
    temporary.chmod(0o644)
    os.replace(temporary, path)


def read(path: Path = PATH) -> Counts | None:
    """Return what the receiver last wrote; None when there is nothing that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Counts)
    except (OSError, msgspec.DecodeError):
        return None
