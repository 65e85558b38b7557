"""rsyslog's own numbers, read from the file its impstats module writes: queue, losses, stalls.

The file holds lines `DATE: {"name": …, "origin": …, counters}`, a block each interval, appended;
only its end is read. It may be absent, just rotated to `….1`, or end in half a line. What rsyslog
is told to write there is the rsyslog side's business.
Source: rsyslog 8.2302 impstats, core.queue, core.action, imudp, imtcp.
"""

import os
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
    """The newest block. Counters are since rsyslog started; `backlog` are messages in all queues towards the relay."""

    age: float  # seconds since the file was written
    backlog: int = 0
    largest_backlog: int = 0
    enqueued: int = 0
    discarded_full: int = 0
    discarded_not_full: int = 0
    full_events: int = 0
    failed: int = 0
    suspended: int = 0
    stalled: bool = False  # there is a backlog, and nothing left it in the last interval
    submitted: dict[str, int] = field(default_factory=dict)  # messages, by input module
    disallowed: dict[str, int] = field(default_factory=dict)  # refused by allowed-sender rules, by input module

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
    """The end of a file and when it was written; empty and 0 for one that cannot be read."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            file.seek(max(0, status.st_size - _TAIL))
            return file.read(_TAIL), status.st_mtime
    except OSError:
        return b"", 0.0


def parse_impstats(text: bytes, age: float) -> Rsyslog | None:
    """The state told by the end of the file; lines that cannot be read are passed over."""
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
    queues = {key: block for key, block in latest.items() if key[0] == "core.queue"}
    actions = [block for (origin, _), block in latest.items() if origin == "core.action"]
    submitted: dict[str, int] = {}
    disallowed: dict[str, int] = {}
    for (origin, _), block in latest.items():
        if "submitted" in block:
            submitted[origin] = submitted.get(origin, 0) + _number(block, "submitted")
        if "disallowed" in block:
            disallowed[origin] = disallowed.get(origin, 0) + _number(block, "disallowed")
    backlog = sum(_number(block, "size") for block in queues.values())
    return Rsyslog(
        age=age,
        backlog=backlog,
        largest_backlog=max((_number(block, "maxqsize") for block in queues.values()), default=0),
        enqueued=_enqueued(queues),
        discarded_full=sum(_number(block, "discarded.full") for block in queues.values()),
        discarded_not_full=sum(_number(block, "discarded.nf") for block in queues.values()),
        full_events=sum(_number(block, "full") for block in queues.values()),
        failed=sum(_number(block, "failed") for block in actions),
        suspended=sum(_number(block, "suspended") for block in actions),
        stalled=_stalled(queues, previous, backlog),
        submitted=submitted,
        disallowed=disallowed,
    )


def _enqueued(queues: dict[tuple[str, str], dict[str, object]]) -> int:
    """What came in from outside: the disk part of a queue (`name[DA]`) is filled by the queue itself."""
    return max((_number(block, "enqueued") for (_, name), block in queues.items() if "[DA]" not in name), default=0)


def _stalled(
    queues: dict[tuple[str, str], dict[str, object]], previous: dict[tuple[str, str], dict[str, object]], backlog: int
) -> bool:
    before = {key: previous[key] for key in queues if key in previous}
    if not backlog or len(before) != len(queues):
        return False
    # omrelp retries inside the action, so "suspended" stays 0 while the relay is away: compare what came
    # with what stayed.
    came = _enqueued(queues) - _enqueued(before)
    stayed = backlog - sum(_number(block, "size") for block in before.values())
    return came >= 0 and came - stayed <= 0


def _number(block: dict[str, object], name: str) -> int:
    value = block.get(name, 0)
    return value if isinstance(value, int) else 0
