"""rsyslog's own numbers, read from the file its impstats module writes: queue, losses, stalls.

The file holds lines `DATE: {"name": …, "origin": …, counters}`, a block each interval, appended;
only its end is read. It may be absent, just rotated to `….1`, or end in half a line. What rsyslog
is told to write there is the rsyslog side's business.
Source: rsyslog 8.2302 impstats, core.queue, core.action, imudp, imtcp.
"""

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

DEFAULT_PATH = Path("/run/appliance/rsyslog-stats.json")
_TAIL = 64 * 1024
_STALE = 180.0  # seconds after which rsyslog is taken not to write any more
_decoder = msgspec.json.Decoder(dict[str, object])


@dataclass(frozen=True, slots=True)
class Rsyslog:
    """The newest block. Counters are since rsyslog started; `backlog` are messages in its queue.

    `failed` are messages that could not be written to the hand-over files.
    """

    age: float  # seconds since the file was written
    backlog: int = 0
    largest_backlog: int = 0
    enqueued: int = 0
    discarded_full: int = 0
    discarded_not_full: int = 0
    full_events: int = 0
    failed: int = 0
    suspended: int = 0
    stalled: bool = False  # some queue has a backlog, and nothing left it in the last interval
    submitted: dict[str, int] = field(default_factory=dict)  # messages, by input
    disallowed: dict[str, int] = field(default_factory=dict)  # refused by allowed-sender rules, by input

    @property
    def discarded(self) -> int:
        return self.discarded_full + self.discarded_not_full

    @property
    def stale(self) -> bool:
        return self.age > _STALE


def read_impstats(path: Path = DEFAULT_PATH, now: float | None = None) -> Rsyslog | None:
    """rsyslog's state; None when it has never written, or nothing of it can be read."""
    found = [_tail(path.with_name(path.name + ".1")), _tail(path)]
    written = max(moment for _, moment in found)
    if not written:
        return None
    if len(found[1][0]) >= _TAIL // 2:
        del found[0]
    age = max(0.0, (time.time() if now is None else now) - written)
    return parse_impstats(b"\n".join(text for text, _ in found), age)


def _tail(path: Path) -> tuple[bytes, float]:
    """Return the end of a file and when it was written; empty and 0 for one that cannot be read."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            file.seek(max(0, status.st_size - _TAIL))
            return file.read(_TAIL), status.st_mtime
    except OSError:
        return b"", 0.0


def parse_impstats(text: bytes, age: float) -> Rsyslog | None:
    """Return the state told by the end of the file; lines that cannot be read are passed over."""
    latest: dict[tuple[str, str], dict[str, object]] = {}
    previous: dict[tuple[str, str], dict[str, object]] = {}
    for line in text.split(b"\n"):
        brace = line.find(b"{")
        if brace < 0:
            continue
        try:
            block = _decoder.decode(line[brace:])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        key = (str(block.get("origin", "")), str(block.get("name", "")))
        if key in latest:
            previous[key] = latest[key]
        latest[key] = block
    if not latest:
        return None
    queues = _queues(latest)
    blocks = [block for (origin, _), block in latest.items() if origin == "core.queue"]
    # Its counters themselves are no messages.
    actions = [block for (origin, name), block in latest.items() if origin == "core.action" and name != "statistics"]
    submitted: dict[str, int] = {}
    disallowed: dict[str, int] = {}
    for (origin, name), block in latest.items():
        input = _input(origin, name)
        if "submitted" in block:
            submitted[input] = submitted.get(input, 0) + _number(block, "submitted")
        if "disallowed" in block:
            disallowed[input] = disallowed.get(input, 0) + _number(block, "disallowed")
    return Rsyslog(
        age=age,
        backlog=sum(size for size, _ in queues.values()),
        largest_backlog=max((_number(block, "maxqsize") for block in blocks), default=0),
        enqueued=max((enqueued for _, enqueued in queues.values()), default=0),
        discarded_full=sum(_number(block, "discarded.full") for block in blocks),
        discarded_not_full=sum(_number(block, "discarded.nf") for block in blocks),
        full_events=sum(_number(block, "full") for block in blocks),
        failed=sum(_number(block, "failed") for block in actions),
        suspended=sum(_number(block, "suspended") for block in actions),
        stalled=_stalled(queues, _queues(previous)),
        submitted=submitted,
        disallowed=disallowed,
    )


def _queues(blocks: dict[tuple[str, str], dict[str, object]]) -> dict[str, tuple[int, int]]:
    """Size and arrivals of each queue; its part on disk (`name[DA]`), which it fills itself, counts as size."""
    found: dict[str, tuple[int, int]] = {}
    for (origin, name), block in blocks.items():
        if origin == "core.queue":
            size, enqueued = found.get(name.removesuffix("[DA]"), (0, 0))
            arrivals = 0 if name.endswith("[DA]") else _number(block, "enqueued")
            found[name.removesuffix("[DA]")] = (size + _number(block, "size"), enqueued + arrivals)
    return found


def _stalled(queues: dict[str, tuple[int, int]], before: dict[str, tuple[int, int]]) -> bool:
    """Return whether some queue is not empty and nothing left it between two blocks.

    A gate that is shut is retried inside the action, so "suspended" stays 0: what came is compared with
    what stayed.
    """
    for name, (size, enqueued) in queues.items():
        if size and name in before:
            came, stayed = enqueued - before[name][1], size - before[name][0]
            if 0 <= came <= stayed:
                return True
    return False


def _input(origin: str, name: str) -> str:
    """Return the input's name where it has one: imtcp calls its counter `tls(6514)` after the input `tls`."""
    own = re.match(r"[a-z_]+(?=[(\[])", name)
    return own[0] if own else origin


def _number(block: dict[str, object], name: str) -> int:
    value = block.get(name, 0)
    return value if isinstance(value, int) else 0
