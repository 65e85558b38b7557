"""What `/status` says: the relay's state as documented values, put together from the parts' counters.

The Structs are a stable interface: the command line, the dashboard and scripts read them. Keys may
be added, not renamed. Units: bytes, seconds, Unix seconds for moments; counters are since start.
Nothing here judges beyond `problems`, and nothing changes what it looks at.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import msgspec

from appliance import __version__
from appliance.config import model
from appliance.relay.http_server import HttpServer
from appliance.relay.impstats import Rsyslog, read_impstats
from appliance.relay.intake import IntakeStats
from appliance.relay.kernel import UdpLosses, read_udp_losses
from appliance.relay.push_api import PushStats
from appliance.relay.sender_stats import SenderStats
from appliance.relay.sources import Sources
from appliance.relay.spool import Spool

_SOURCES_SHOWN = 100


class Problem(msgspec.Struct):
    """Something that is not well: `part` is a word of a closed set, `remedy` a sentence of what to do."""

    part: str
    problem: str
    remedy: str


class InputStatus(msgspec.Struct):
    """One way in: relp, syslog_tcp, push, or what rsyslog took by udp, tcp, tls, relp_in, relp_tls, journal."""

    messages: int = 0
    bytes: int = 0
    connections: int = 0
    messages_per_second_10s: float = 0.0
    messages_per_second_60s: float = 0.0


class QueueStatus(msgspec.Struct):
    """The spool: what is on disk and not yet taken by Loki."""

    batches: int = 0
    entries: int = 0
    bytes: int = 0
    max_bytes: int = 0
    fill_ratio: float = 0.0
    oldest_age: float = 0.0
    oldest_entry: float | None = None
    free_bytes: int = 0
    when_full: str = "block"
    full: bool = False
    full_reason: str = ""
    blocked_since: float | None = None
    set_aside: int = 0
    last_sync_seconds: float = 0.0


class ErrorStatus(msgspec.Struct):
    when: float
    cause: str
    remedy: str


class LokiStatus(msgspec.Struct):
    """`state`: ok, waiting (will try again), held (needs a change of configuration), idle (nothing sent yet).

    `pushes` are requests made; `entries` and `bytes` (uncompressed) what Loki took.
    """

    state: str = "idle"
    url: str = ""
    tenant: str = ""
    last_success: float | None = None
    last_error: ErrorStatus | None = None
    pushes: int = 0
    entries: int = 0
    bytes: int = 0
    entries_per_second_10s: float = 0.0
    entries_per_second_60s: float = 0.0
    retries: int = 0
    status_codes: dict[str, int] = {}
    rate_limited: dict[str, int] = {}
    rejected: dict[str, int] = {}
    dead_lettered: dict[str, int] = {}
    held_streams: int = 0
    in_flight: int = 0


class StreamsStatus(msgspec.Struct):
    active: int = 0
    limit: int = 0
    overflowed: int = 0
    values_overflowed: dict[str, int] = {}


class SourceStatus(msgspec.Struct):
    sender: str
    input: str
    messages: int
    messages_per_second: float
    first_seen: float
    last_seen: float


class SourcesStatus(msgspec.Struct):
    """`latest` are those seen last, at most 100 of `count`."""

    count: int = 0
    forgotten: int = 0
    latest: list[SourceStatus] = []


class UdpStatus(msgspec.Struct):
    """Datagrams the kernel dropped because nobody read fast enough."""

    drops_by_port: dict[int, int] = {}
    queued_bytes_by_port: dict[int, int] = {}
    receive_buffer_errors: int = 0
    checksum_errors: int = 0


class RsyslogStatus(msgspec.Struct):
    """rsyslog's own queue towards the relay, as it last wrote it down; `age` seconds ago."""

    age: float
    stale: bool
    queue: int
    largest_queue: int
    discarded: int
    stalled: bool
    suspended: int
    failed: int
    submitted: dict[str, int]
    disallowed: dict[str, int]


class ProcessStatus(msgspec.Struct):
    pid: int
    rss_bytes: int
    cpu_seconds: float
    threads: int
    open_files: int


class Status(msgspec.Struct):
    version: str
    now: float
    started: float
    uptime: float
    ready: bool
    not_ready_reason: str
    problems: list[Problem]
    inputs: dict[str, InputStatus]
    queue: QueueStatus
    loki: LokiStatus
    streams: StreamsStatus
    sources: SourcesStatus
    dropped: dict[str, int]
    repaired: dict[str, int]
    push_refused: dict[str, int]
    connections_refused: int
    ack_pending: int
    udp: UdpStatus
    rsyslog: RsyslogStatus | None
    process: ProcessStatus
    config_reloads: int
    config_reload_failures: int


# ---- what is looked at -------------------------------------------------------------------------


class IntakeLike(Protocol):
    @property
    def stats(self) -> IntakeStats: ...


class SenderLike(Protocol):
    @property
    def stats(self) -> SenderStats: ...


class PushLike(Protocol):
    stats: PushStats

    @property
    def server(self) -> HttpServer: ...


@dataclass(slots=True)
class Parts:
    """The running relay, as status and metrics see it. `config` is replaced on reload."""

    config: model.Config
    intake: IntakeLike
    spool: Spool
    sender: SenderLike
    sources: Sources
    push: PushLike
    not_ready: Callable[[], str] = lambda: ""
    rsyslog: Callable[[], Rsyslog | None] = read_impstats
    started: float = field(default_factory=time.time)
    reloads: int = 0
    reload_failures: int = 0

    def udp_losses(self) -> UdpLosses:
        udp = self.config.listeners.udp
        return read_udp_losses([udp.port] if udp else [])


class RateMeter:
    """Rates of growing totals over the last ten and sixty seconds, from samples taken every few seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[str, int]]] = deque()

    def sample(self, now: float, totals: Mapping[str, int]) -> None:
        """Remember the totals; `now` in seconds of a monotonic clock."""
        self._samples.append((now, dict(totals)))
        while len(self._samples) > 2 and self._samples[1][0] <= now - 60:
            self._samples.popleft()

    def rate(self, name: str, total: int, now: float, span: float) -> float:
        """A second, over the last `span` seconds or as much of them as has been seen."""
        reference = None
        for moment, totals in reversed(self._samples):
            reference = (moment, totals)
            if now - moment >= span:
                break
        if reference is None or now - reference[0] < 0.5:
            return 0.0
        return max(0.0, (total - reference[1].get(name, 0)) / (now - reference[0]))


def totals(parts: Parts) -> dict[str, int]:
    """What a RateMeter samples: messages by input, and `loki` for entries sent."""
    return {**parts.intake.stats.messages, "loki": parts.sender.stats.pushed_entries}


# ---- putting together ----------------------------------------------------------------------------


def build_status(parts: Parts, meter: RateMeter, now: float | None = None) -> Status:
    now = time.time() if now is None else now
    clock = time.monotonic()
    intake, sender, push = parts.intake.stats, parts.sender.stats, parts.push.stats
    connections = {**intake.connections, "push": parts.push.server.stats.connections}
    inputs = {
        name: InputStatus(
            messages=intake.messages.get(name, 0),
            bytes=intake.bytes.get(name, 0),
            connections=connections.get(name, 0),
            messages_per_second_10s=round(meter.rate(name, intake.messages.get(name, 0), clock, 10), 2),
            messages_per_second_60s=round(meter.rate(name, intake.messages.get(name, 0), clock, 60), 2),
        )
        for name in {**intake.messages, **connections}
    }
    error = sender.last_error
    losses = parts.udp_losses()
    not_ready = parts.not_ready()
    status = Status(
        version=__version__,
        now=now,
        started=parts.started,
        uptime=max(0.0, now - parts.started),
        ready=not not_ready,
        not_ready_reason=not_ready,
        problems=[],
        inputs=inputs,
        queue=_queue(parts, now),
        loki=LokiStatus(
            state=str(sender.state),
            url=without_credentials(parts.config.loki.url),
            tenant=parts.config.loki.tenant or "",
            last_success=sender.last_success or None,
            last_error=ErrorStatus(error.when, error.cause, error.remedy) if error else None,
            pushes=sender.pushes,
            entries=sender.pushed_entries,
            bytes=sender.pushed_bytes,
            entries_per_second_10s=round(meter.rate("loki", sender.pushed_entries, clock, 10), 2),
            entries_per_second_60s=round(meter.rate("loki", sender.pushed_entries, clock, 60), 2),
            retries=sender.retries,
            status_codes=dict(sender.status_codes),
            rate_limited=dict(sender.rate_limited),
            rejected=dict(sender.rejected),
            dead_lettered=dict(sender.dead_lettered),
            held_streams=sender.held_streams,
            in_flight=sender.in_flight,
        ),
        streams=StreamsStatus(
            intake.guard.active,
            parts.config.labels.guard.max_streams,
            intake.guard.overflowed,
            dict(intake.guard.values_overflowed),
        ),
        sources=SourcesStatus(
            len(parts.sources),
            parts.sources.evicted,
            [
                SourceStatus(s.sender, s.input, s.count, round(s.rate(now), 2), s.first_seen, s.last_seen)
                for s in parts.sources.latest(_SOURCES_SHOWN)
            ],
        ),
        dropped=merged([intake.dropped, parts.spool.stats.dropped, sender.dead_lettered]),
        repaired=merged([intake.repaired, sender.repaired]),
        push_refused=dict(push.refused),
        connections_refused=intake.refused + parts.push.server.stats.refused,
        ack_pending=intake.ack_pending,
        udp=UdpStatus(losses.drops, losses.queued, losses.receive_buffer_errors, losses.checksum_errors),
        rsyslog=_rsyslog(parts.rsyslog()),
        process=read_process(),
        config_reloads=parts.reloads,
        config_reload_failures=parts.reload_failures,
    )
    status.problems = list(_problems(status))
    return status


def _queue(parts: Parts, now: float) -> QueueStatus:
    spool, stats = parts.spool, parts.spool.stats
    oldest = spool.head(1)
    maximum = int(spool.settings.max_size)
    try:
        space = os.statvfs(spool.path)
        free = space.f_bavail * space.f_frsize
    except OSError:
        free = 0
    reason = spool.no_room()  # looks again, so that `full` is what is so now
    return QueueStatus(
        batches=stats.segments,
        entries=stats.entries,
        bytes=stats.bytes,
        max_bytes=maximum,
        fill_ratio=round(stats.bytes / maximum, 4) if maximum else 1.0,
        oldest_age=max(0.0, now - oldest[0].created_ms / 1000) if oldest else 0.0,
        oldest_entry=oldest[0].oldest_ns / 1e9 if oldest else None,
        free_bytes=free,
        when_full=spool.settings.when_full,
        full=stats.full or bool(reason),
        full_reason=reason or (stats.full_reason if stats.full else ""),
        blocked_since=stats.blocked_since or None,
        set_aside=stats.set_aside,
        last_sync_seconds=stats.last_sync_seconds,
    )


def _rsyslog(read: Rsyslog | None) -> RsyslogStatus | None:
    if read is None:
        return None
    return RsyslogStatus(
        age=round(read.age, 1),
        stale=read.stale,
        queue=read.backlog,
        largest_queue=read.largest_backlog,
        discarded=read.discarded,
        stalled=read.stalled and not read.stale,
        suspended=read.suspended,
        failed=read.failed,
        submitted=read.submitted,
        disallowed=read.disallowed,
    )


def _problems(status: Status) -> Iterable[Problem]:
    queue, loki, rsyslog = status.queue, status.loki, status.rsyslog
    if status.not_ready_reason:
        yield Problem("relay", status.not_ready_reason, "see the relay's log")
    if loki.state in ("held", "waiting"):
        error = loki.last_error
        yield Problem(
            "loki",
            error.cause if error else "Loki does not take what is sent",
            error.remedy if error else "see the relay's log",
        )
    if queue.full:
        yield Problem(
            "queue",
            f"the spool is full: {queue.full_reason}",
            "bring Loki back, enlarge the data disk or raise relay.spool.max_size",
        )
    elif queue.fill_ratio >= 0.8:
        yield Problem(
            "queue", f"the spool is {queue.fill_ratio:.0%} full", "bring Loki back before it is full, or enlarge it"
        )
    if queue.set_aside:
        yield Problem(
            "queue",
            f"{queue.set_aside} unreadable batches were set aside",
            "look at the disk's health; the files are in the directory set-aside of the spool",
        )
    if status.streams.overflowed:
        yield Problem(
            "streams",
            f"{status.streams.overflowed} streams gave up labels: {status.streams.limit} are allowed",
            "use fewer labels, or raise labels.guard.max_streams if Loki allows more",
        )
    if any(status.udp.drops_by_port.values()):
        yield Problem(
            "udp",
            f"the kernel dropped {sum(status.udp.drops_by_port.values())} datagrams",
            "raise listeners.udp.receive_buffer, or let the loudest senders use TCP",
        )
    if rsyslog is not None and not rsyslog.stale:
        if rsyslog.discarded:
            yield Problem(
                "rsyslog", f"rsyslog discarded {rsyslog.discarded} messages", "enlarge listeners.queue.max_disk"
            )
        if rsyslog.stalled:
            yield Problem(
                "rsyslog",
                f"{rsyslog.queue} messages wait in rsyslog and none moves on",
                "the relay may be blocked by a full spool, see queue",
            )


def merged(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sums of counters under the same name."""
    total: dict[str, int] = {}
    for part in counts:
        for name, value in dict(part).items():
            total[name] = total.get(name, 0) + value
    return {name: value for name, value in total.items() if value}


def without_credentials(url: str) -> str:
    """The URL without user and password, if it has them."""
    try:
        split = urlsplit(url)
        if "@" not in split.netloc:
            return url
        return urlunsplit(split._replace(netloc=split.netloc.rpartition("@")[2]))
    except ValueError:
        return ""


def read_process(root: Path = Path("/proc/self")) -> ProcessStatus:
    """Memory, processor time and handles of this process."""
    times = os.times()
    rss = threads = files = 0
    try:
        rss = int((root / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        threads = len(os.listdir(root / "task"))
        files = len(os.listdir(root / "fd"))
    except OSError:  # no /proc
        pass
    return ProcessStatus(os.getpid(), rss, round(times.user + times.system, 3), threads, files)
