"""The intake: one batch being filled by all listeners, closed in time, and acknowledged when durable.

It joins the hot path (`hot/`), the labels, the writer and the connections' flow control. A batch
closes at a size, at an age, or when a sender waits for its acknowledgement. Protocols are in
`listen/relp.py`, `listen/syslog_tcp.py` and `listen/push_api.py`; who is acknowledged to is in
`listen/acknowledgements.py`.

When the spool is full, connections without acknowledgement are not read; the others are.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from appliance.config import model
from appliance.relay.handover.position import Position
from appliance.relay.hot import BATCH_FULL, Conn, Packer
from appliance.relay.inputs import INPUTS
from appliance.relay.labels.cardinality import Guard, GuardStats
from appliance.relay.labels.resolver import Resolver
from appliance.relay.listen.acknowledgements import Acknowledgements, Session
from appliance.relay.listen.positions import Positions
from appliance.relay.listen.push_proto import PushedStream
from appliance.relay.listen.push_store import PushStore
from appliance.relay.parse.time_policy import TimePolicy
from appliance.relay.report.senders import Sources
from appliance.relay.spool.spool import Spool
from appliance.relay.spool.writer import ClosedBatch, SpoolWriter

log = logging.getLogger(__name__)

READ = 256 * 1024
_WAITING_BATCHES = 2  # full batches on their way to disk before listeners pause
_LATE = 0.05  # seconds of silence after which a sender may be waiting for us
_PRUNE = 60.0  # seconds between two looks for idle streams
_LEFTOVERS = 24 * 2**20  # bytes of unfinished messages of all connections together


class Flow(Protocol):
    """A connection, or files, that can be paused."""

    @property
    def acknowledged(self) -> bool:
        """Return whether its sender keeps what is not acknowledged, and waits when that is much."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


@dataclass(slots=True)
class IntakeStats:
    """Counts since start; dictionaries are by input name or by reason."""

    messages: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    connections: dict[str, int] = field(default_factory=dict)
    connections_total: int = 0
    refused: int = 0
    frames_cut: int = 0
    protocol_errors: int = 0
    batches: int = 0
    ack_pending: int = 0
    holding: bool = False
    """Acknowledgements are held, as the spool is full."""
    guard: GuardStats = field(default_factory=GuardStats)
    routes: int = 0


class Intake:
    """Belongs to the loop's thread, all of it."""

    def __init__(self, config: model.Config, spool: Spool, sources: Sources) -> None:
        self._loop = asyncio.get_running_loop()
        self._spool = spool
        self._sources = sources
        self.writer = SpoolWriter(spool, self._loop.call_soon_threadsafe)
        self._stats = IntakeStats()
        self._flows: set[Flow] = set()
        self.positions = Positions(spool)
        self._crowded = False
        self._holding = False
        self._dirty: set[Session] = set()
        self._closed = 0  # number of the last batch closed
        self._durable = 0  # number of the last batch on disk
        self.acknowledgements = Acknowledgements(spool, self._check_flow)
        self._age_timer: asyncio.TimerHandle | None = None
        self._late_timer: asyncio.TimerHandle | None = None
        self._guard = Guard(config.labels.guard, config.loki.limits, on_prune=self._forget_routes)
        self.pushes = PushStore(config, spool, self.writer, self._guard)
        self.leftovers = 0
        self.buffer = bytearray()
        self._configure(config)
        self._loop.call_later(_PRUNE, self._prune)

    def start(self) -> None:
        self.writer.start()

    # ---- configuration -------------------------------------------------------------------------

    def _configure(self, config: model.Config) -> None:
        self.config = config
        self._guard.configure(config.labels.guard, config.loki.limits)
        time_policy = TimePolicy(config.relay.time)
        self._resolver = Resolver(config.labels, time_policy, self._guard)
        max_message = config.relay.connections.max_message
        packer = Packer(self._resolver, batch_size=config.relay.batch.size, max_message=max_message)
        self._resolver.attach(packer)
        self._packer = packer
        # One buffer for all connections: what a read leaves unfinished is put back in front of the next.
        # It never shrinks: a connection may have more unfinished than a new bound allows.
        self.buffer = bytearray(max(READ + max_message + 64, len(self.buffer)))

    def reload(self, config: model.Config) -> None:
        """Take another configuration for what comes from now on; nothing received is touched."""
        self.close_batch()
        self.pushes.configure(config)
        old = self._packer
        self._configure(config)
        self._packer.follow(old)

    def _forget_routes(self) -> None:
        self._packer.forget_routes()
        self._resolver.forget()

    def _prune(self) -> None:
        self._guard.prune(time.time_ns())
        self.pushes.prune(time.time_ns())
        self._loop.call_later(_PRUNE, self._prune)

    def rest(self) -> None:
        """Keep no memory for batches to come: there are few."""
        self._packer.forget_spare()
        self._forget_routes()  # those that are still used come back at ten microseconds each
        self.writer.rest()

    @property
    def stats(self) -> IntakeStats:
        """Return the counts as they are now."""
        stats, packer = self._stats, self._packer
        pushed = (stats.messages.get("push", 0), stats.bytes.get("push", 0))
        names = [each.name for each in INPUTS]
        stats.messages = {**dict(zip(names, packer.messages, strict=True)), "push": pushed[0]}
        stats.bytes = {**dict(zip(names, packer.octets, strict=True)), "push": pushed[1]}
        stats.repaired = dict(packer.repaired)
        stats.dropped = {"relabel": packer.dropped}
        stats.frames_cut = packer.frames_cut
        stats.guard = self._guard.stats
        stats.holding = self._holding
        stats.routes = len(packer.routes)
        stats.ack_pending = sum(session.conn.unacked for session in self._dirty) + self.acknowledgements.messages
        return stats

    # ---- connections ---------------------------------------------------------------------------

    def opened(self, flow: Flow, input: str) -> None:
        self._flows.add(flow)
        self._stats.connections_total += 1
        self._stats.connections[input] = self._stats.connections.get(input, 0) + 1
        # Not at once: asyncio of Python 3.11.2 forgets a pause that it is told when a connection is made.
        self._loop.call_soon(self._hold_back, flow)

    def _hold_back(self, flow: Flow) -> None:
        if flow in self._flows and self._has_to_wait(flow):
            flow.pause()

    def closed(self, flow: Flow, input: str) -> None:
        self._flows.discard(flow)
        self._stats.connections[input] -= 1

    def attach(self, flow: Flow) -> None:
        """Take from files, which wait as connections do."""
        self._flows.add(flow)
        self._hold_back(flow)

    def detach(self, flow: Flow) -> None:
        self._flows.discard(flow)

    def settle_positions(self) -> None:
        """Keep positions that no batch will carry, if there is none being filled or written."""
        if not self._packer.count and self._durable == self._closed and not self.writer.waiting_bytes:
            self.positions.settle()

    def room_for_line(self) -> int:
        """Make room in `buffer` for the longest hand-over line, which may be four times its message; the room."""
        needed = 4 * self.config.relay.connections.max_message + 4096
        if len(self.buffer) < needed:
            self.buffer = bytearray(needed)
        return len(self.buffer)

    def refused(self) -> None:
        self._stats.refused += 1

    def protocol_error(self) -> None:
        self._stats.protocol_errors += 1

    def room_for_leftover(self, more: int) -> bool:
        """Account for `more` bytes of unfinished messages; False when all connections hold too many."""
        if more > 0 and self.leftovers + more > _LEFTOVERS:
            return False
        self.leftovers += more
        return True

    def take(self, feed: str, conn: Conn, start: int, end: int, session: Session | None = None) -> int:
        """Feed [start, end) of `buffer` to the hot path; `conn.consumed` tells how far it came.

        `feed` is `feed_syslog`, `feed_relp` or `feed_handover`. Returns why it stopped, never BATCH_FULL.
        """
        self._packer.now_ns = time.time_ns()
        while True:
            packer = self._packer
            result: int = getattr(packer, feed)(conn, self.buffer, start, end)
            if session is not None and (conn.txn_count or conn.ranges):
                self._dirty.add(session)
            if result != BATCH_FULL:
                break
            start = conn.consumed
            self.close_batch()
        self._watch()
        return result

    def finish(self, conn: Conn, rest: bytes) -> None:
        """Take what a closed syslog connection left unterminated."""
        self.buffer[: len(rest)] = rest
        self._packer.now_ns = time.time_ns()
        while self._packer.finish_syslog(conn, self.buffer, 0, len(rest)) == BATCH_FULL:
            self.close_batch()
        self._watch()

    def _watch(self) -> None:
        if self._age_timer is None and self._packer.count:
            self._age_timer = self._loop.call_later(self.config.relay.batch.age, self.close_batch)
        if self._dirty:
            if self._late_timer is None:
                self._late_timer = self._loop.call_later(_LATE, self._look_for_waiting)
            if not self._packer.count and not self.acknowledgements and self._durable == self._closed:
                self.close_batch()  # everything was dropped by rule: acknowledge at once

    def sender_waits(self) -> None:
        """A sender that waits for us gets its acknowledgement as soon as the disk allows."""
        self.close_batch()

    def _look_for_waiting(self) -> None:
        self._late_timer = None
        now = time.monotonic()
        if any(session.waits(now) for session in self._dirty):
            self.close_batch()
        elif self._dirty:
            self._late_timer = self._loop.call_later(_LATE, self._look_for_waiting)

    def forget_session(self, session: Session) -> None:
        """The connection is gone: nobody is there to be acknowledged to."""
        self._dirty.discard(session)
        self.acknowledgements.forget(session)

    # ---- batches -------------------------------------------------------------------------------

    def close_batch(self) -> None:
        """Hand the batch to the writer, with whom to tell when it is durable."""
        if self._age_timer is not None:
            self._age_timer.cancel()
            self._age_timer = None
        if self._packer.count:
            body, streams, tallies = self._packer.close()
            self._closed += 1
            number = self._closed
            self._stats.batches += 1
            now = time.time()
            for tally in tallies:
                self._sources.record(tally.name, tally.input, tally.count, now)
            positions = self.positions.close()
            self.writer.put(
                ClosedBatch(
                    body,
                    streams,
                    streams.entries,
                    streams.oldest_ns,
                    streams.newest_ns,
                    "",
                    True,
                    lambda error: self._on_durable(number, positions),
                    self._packer.reuse,
                    positions,
                )
            )
        for session in self._dirty:
            ranges = session.conn.take_ranges()
            session.conn.unacked = 0
            if ranges:
                self.acknowledgements.add(self._closed, session, ranges)
        self._dirty.clear()
        self.acknowledgements.tell()
        self._check_flow()

    def _on_durable(self, number: int, positions: Mapping[str, Position]) -> None:
        self._durable = number
        self.positions.durable(positions)
        self.acknowledgements.durable(number)
        self._check_flow()

    def acknowledged(self, session: Session) -> bool:
        """Return whether everything this session sent is acknowledged."""
        return session not in self._dirty and not self.acknowledgements.awaited_by(session)

    def _check_flow(self) -> None:
        waiting, holding = self.writer.waiting_bytes, self.acknowledgements.holding
        crowded = waiting >= (1 if self._crowded else _WAITING_BATCHES) * self.config.relay.batch.size
        if (crowded, holding) == (self._crowded, self._holding):
            return
        self._crowded, self._holding = crowded, holding
        for flow in list(self._flows):
            if self._has_to_wait(flow):
                flow.pause()
            else:
                flow.resume()

    def _has_to_wait(self, flow: Flow) -> bool:
        return self._crowded or (self._holding and not flow.acknowledged)

    async def flush(self, timeout: float) -> bool:
        """Close the batch and wait until everything is on disk; False after `timeout` seconds."""
        self.close_batch()
        self.pushes.close_all()
        deadline = self._loop.time() + timeout
        while self._durable < self._closed or self.writer.waiting_bytes:
            if self._loop.time() >= deadline:
                return False
            await asyncio.sleep(0.005)
        return True

    # ---- pushes --------------------------------------------------------------------------------

    async def push(self, tenant: str, streams: list[PushedStream]) -> None:
        """Take a push; return when it is durable. Raise SpoolFull or TooManyTenants when it is not taken."""
        await self.pushes.push(tenant, streams)
        self._stats.messages["push"] = self._stats.messages.get("push", 0) + sum(stream.count for stream in streams)
        self._stats.bytes["push"] = self._stats.bytes.get("push", 0) + sum(len(stream.entries) for stream in streams)
