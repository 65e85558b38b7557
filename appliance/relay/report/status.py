"""The relay's state for `/status`, put together from the parts' counters at the moment it is asked.

What the values mean is in status_values.py. Nothing here changes what it looks at.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from appliance import __version__
from appliance.config import model
from appliance.config.ranges import is_loopback
from appliance.relay.http.server import HttpServer
from appliance.relay.listen.handover import HandoverStats
from appliance.relay.listen.intake import IntakeStats
from appliance.relay.listen.push_api import PushStats
from appliance.relay.receive.counts import Counts
from appliance.relay.receive.counts import read as read_counts
from appliance.relay.report.impstats import Rsyslog, read_impstats
from appliance.relay.report.rates import RateMeter
from appliance.relay.report.receiver import receiver_status
from appliance.relay.report.senders import Source, Sources
from appliance.relay.report.status_values import (
    DeadLettersStatus,
    ErrorStatus,
    HandoverStatus,
    HandoverWriterStatus,
    InputStatus,
    LokiStatus,
    ProcessStatus,
    QueueStatus,
    RsyslogStatus,
    SourcesStatus,
    SourceStatus,
    Status,
    StreamsStatus,
    UdpStatus,
    problems_of,
)
from appliance.relay.report.udp_drops import UdpLosses, read_udp_losses
from appliance.relay.send.stats import SenderStats
from appliance.relay.spool.dead_letters import DeadLetters
from appliance.relay.spool.spool import Spool

_SOURCES_SHOWN = 100
_SILENT_SHOWN = 20
_FEW = 20
_ALL = "messages"
LOST = "given_up:"
"""What stands before the reason in the name of a trouble that is counted by its reason."""


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
    dead_letters: DeadLetters
    not_ready: Callable[[], str] = lambda: ""
    rsyslog: Callable[[], Rsyslog | None] = read_impstats
    handover: Callable[[], HandoverStats] = HandoverStats
    receiver: Callable[[], Counts | None] = read_counts
    started: float = field(default_factory=time.time)
    reloads: int = 0
    reload_failures: int = 0

    def udp_losses(self) -> UdpLosses:
        udp = self.config.listeners.udp
        return read_udp_losses([udp.port] if udp else [])


def totals(parts: Parts) -> dict[str, int]:
    """Return what a RateMeter samples: messages by input, and `loki` for entries sent."""
    return {**parts.intake.stats.messages, "loki": parts.sender.stats.pushed_entries}


def troubles(parts: Parts) -> dict[str, int]:
    """Return totals whose growth is worth telling, see Status.recent."""
    intake, rsyslog = parts.intake.stats, parts.rsyslog()
    dropped, refused = parts.spool.stats.dropped, parts.sender.stats.dead_lettered
    return {
        "given_up": sum(merged([dropped, refused]).values()),
        **{f"{LOST}{reason}": count for reason, count in merged([dropped, refused]).items()},
        "restamped": intake.repaired.get("clock", 0),
        _ALL: sum(intake.messages.values()),
        "udp_dropped": sum(parts.udp_losses().drops.values()),
        "rsyslog_discarded": rsyslog.discarded if rsyslog else 0,
        "dead_letters_given_up": parts.dead_letters.given_up,
        "protocol_errors": intake.protocol_errors,
        "set_aside": parts.spool.stats.set_aside,
        "unknown_clients": sum(parts.push.stats.refused.get(reason, 0) for reason in ("unknown_client", "tenant")),
        "streams_overflowed": intake.guard.overflowed,
        "label_values_overflowed": sum(intake.guard.values_overflowed.values()),
        "connections_refused": intake.refused + parts.push.server.stats.refused,
    }


def first_troubles(parts: Parts) -> dict[str, int]:
    """Return what there was before the relay started: only the counters of others begin above zero."""
    return {name: count for name, count in troubles(parts).items() if name in ("udp_dropped", "rsyslog_discarded")}


# ---- putting together ----------------------------------------------------------------------------


def build_status(parts: Parts, meter: RateMeter, recent: RateMeter, now: float | None = None) -> Status:
    """`meter` has sampled `totals`, `recent` has sampled `troubles`; `now` in Unix seconds."""
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
    error, grown = sender.last_error, recent.growth(troubles(parts))
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
        recent=_recent(grown),
        lost={name.removeprefix(LOST): count for name, count in grown.items() if name.startswith(LOST)},
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
            clock_skew=sender.clock_skew,
            held_for_clock=sender.held_for_clock,
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
            [_source(one, now) for one in parts.sources.latest(_SOURCES_SHOWN)],
            [_source(one, now) for one in parts.sources.silent(now, parts.started)[:_SILENT_SHOWN]],
        ),
        dropped=merged([intake.dropped, parts.spool.stats.dropped, sender.dead_lettered]),
        repaired=merged([intake.repaired, sender.repaired]),
        push_refused=dict(push.refused),
        push_open_to_anyone=_open_to_anyone(parts.config.relay),
        connections_refused=intake.refused + parts.push.server.stats.refused,
        frames_cut=intake.frames_cut,
        protocol_errors=intake.protocol_errors,
        dead_letters=DeadLettersStatus(
            parts.dead_letters.kept,
            parts.dead_letters.given_up,
            parts.dead_letters.unwritten,
            int(parts.dead_letters.max_size),
            str(parts.dead_letters.directory),
            *_letters_on_disk(parts),
        ),
        ack_pending=intake.ack_pending,
        udp=UdpStatus(losses.drops, losses.queued, losses.receive_buffer_errors, losses.checksum_errors),
        rsyslog=_rsyslog(parts.rsyslog()),
        handover=_handover(parts.handover(), now),
        receiver=receiver_status(parts.receiver(), now),
        process=read_process(),
        config_reloads=parts.reloads,
        config_reload_failures=parts.reload_failures,
    )
    status.problems = list(problems_of(status, parts.config.listeners))
    return status


def _recent(grown: Mapping[str, int]) -> dict[str, int]:
    """Return what grew and is worth telling: a few lines with a wrong time are the matter of a few senders."""
    few = max(_FEW, grown.get(_ALL, 0) // 20)
    return {
        name: count
        for name, count in grown.items()
        if name != _ALL and not name.startswith(LOST) and not (name == "restamped" and count < few)
    }


def _source(source: Source, now: float) -> SourceStatus:
    return SourceStatus(
        source.sender, source.input, source.count, round(source.rate(now), 2), source.first_seen, source.last_seen
    )


def _letters_on_disk(parts: Parts) -> tuple[dict[str, int], int]:
    """Return how many dead letters there are by reason, and how many are to be sent again."""
    try:
        return parts.dead_letters.store.reasons(), parts.dead_letters.store.waiting()
    except OSError:
        return {}, 0


def _open_to_anyone(relay: model.Relay) -> bool:
    return relay.push.anyone and relay.listen.push is not None and not is_loopback(relay.listen.push.host)


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
        room_bytes=max(0, min(maximum - stats.bytes, free - int(spool.settings.min_free))),
        when_full=spool.settings.when_full,
        full=stats.full or bool(reason),
        full_reason=reason or (stats.full_reason if stats.full else ""),
        blocked_since=stats.blocked_since or None,
        set_aside=stats.set_aside,
        last_sync_seconds=stats.last_sync_seconds,
        acknowledgements_held=parts.intake.stats.holding,
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


def _handover(stats: HandoverStats, now: float) -> HandoverStatus:
    def age(oldest: float | None) -> float:
        return round(max(0.0, now - oldest), 1) if oldest is not None else 0.0

    return HandoverStatus(
        stats.backlog,
        age(stats.oldest),
        {
            name: HandoverWriterStatus(one.backlog, age(one.oldest), one.shut, one.torn, one.unreadable, one.error)
            for name, one in stats.writers.items()
        },
    )


def merged(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return sums of counters under the same name."""
    total: dict[str, int] = {}
    for part in counts:
        for name, value in dict(part).items():
            total[name] = total.get(name, 0) + value
    return {name: value for name, value in total.items() if value}


def without_credentials(url: str) -> str:
    """Return the URL without user and password, if it has them."""
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
