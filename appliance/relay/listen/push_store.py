"""What was pushed, on its way to the spool: labels within bounds, pushes gathered into segments, answered when durable.

Pushes of a tenant that come within a few milliseconds, or while the disk is busy with those before,
share a segment: one file and one sync for all of them. No segment is larger than one push to Loki.
Each tenant has a guard of its own. Decoding is push_decode's, status codes are push_api's.
"""

import asyncio
import time
from dataclasses import dataclass, field

from appliance.config import model
from appliance.errors import ApplianceError
from appliance.relay.hot import batch_streams, encode_pair, varint
from appliance.relay.labels.cardinality import Guard, LabelMemory
from appliance.relay.listen.push_proto import PushedStream, add_metadata, chunks, first_end, shortened
from appliance.relay.listen.push_proto import encode_entry as entry_field
from appliance.relay.listen.push_thread import off_the_loop
from appliance.relay.loki.label_syntax import parse_labels
from appliance.relay.loki.push_format import encode_entry, entries_of, scan
from appliance.relay.send.repair import Bounds, repair
from appliance.relay.spool.spool import Spool, SpoolFull
from appliance.relay.spool.writer import ClosedBatch, SpoolWriter

_GATHER = 0.005  # seconds in which pushes gather
_WAITING_BATCHES = 4  # batches on their way to disk at which nothing more is taken
_ENTRIES = 20_000  # of a segment: the sender may have to look at each of them
_TENANTS = 200  # with a guard of their own at the same time
_AT_A_TIME = 256  # streams admitted before others get a turn
_KNOWN = 500  # streams of a segment that are passed to the sender, so that it need not look for them
# Metadata added to the entries of a push, as a multiple of their bytes and in addition to it.
_MORE_TIMES, _MORE = 2, 256 * 1024
_MOVED = 32 * 1024  # bytes of labels kept of an entry as metadata; Loki refuses more than 64 KB


class TooManyTenants(ApplianceError):
    """No further tenant can be kept within bounds now."""


@dataclass(slots=True)
class _Stream:
    entries: bytearray
    count: int
    oldest_ns: int
    newest_ns: int


@dataclass(slots=True)
class _Segment:
    """A segment being filled; a push may stand in several, and waits for all of them."""

    streams: dict[str, _Stream] = field(default_factory=dict)
    size: int = 0
    entries: int = 0
    waiting: "list[_Push]" = field(default_factory=list)


@dataclass(slots=True)
class _Push:
    result: "asyncio.Future[None]"
    segments: int = 0  # not yet on disk
    complete: bool = False
    error: SpoolFull | None = None

    def done(self, error: SpoolFull | None) -> None:
        self.segments -= 1
        self.error = self.error or error
        self.look()

    def look(self) -> None:
        if self.complete and not self.segments and not self.result.done():
            if self.error is None:
                self.result.set_result(None)
            else:
                self.result.set_exception(self.error)


@dataclass(slots=True)
class _Tenant:
    name: str
    guard: Guard
    open: _Segment | None = None
    timer: asyncio.TimerHandle | None = None
    writing: int = 0  # segments on their way to disk
    used_at: float = 0.0


class PushStore:
    """Belongs to the loop's thread. `own` is the guard of what everything without a tenant goes to."""

    def __init__(self, config: model.Config, spool: Spool, writer: SpoolWriter, own: Guard) -> None:
        self._loop = asyncio.get_running_loop()
        self._spool = spool
        self._writer = writer
        self._tenants = {"": _Tenant("", own)}
        self._memory = LabelMemory()  # of all tenants but our own
        self._gathered = 0  # bytes in open segments
        self.segments = 0
        self.configure(config)

    def configure(self, config: model.Config) -> None:
        """Take another configuration for what comes from now on."""
        self._config = config
        limits = config.loki.limits
        self._largest = min(int(config.relay.batch.size), int(limits.push_size))
        self._longest = Bounds(
            line_size=int(limits.line_size),
            metadata_size=int(limits.metadata_size),
            metadata_count=limits.metadata_count,
        )
        for tenant in self._tenants.values():
            if tenant.name:
                tenant.guard.configure(config.labels.guard, limits)

    def prune(self, now_ns: int) -> None:
        """Forget idle streams, and tenants that have been idle altogether."""
        limit = time.monotonic() - self._config.labels.guard.idle
        for tenant in [tenant for tenant in self._tenants.values() if tenant.name]:
            tenant.guard.prune(now_ns)
            if tenant.used_at < limit and tenant.open is None and not tenant.writing:
                tenant.guard.forget()
                del self._tenants[tenant.name]

    @property
    def tenants(self) -> dict[str, int]:
        """Active streams of each tenant that is not our own."""
        return {name: tenant.guard.stats.active for name, tenant in self._tenants.items() if name}

    async def push(self, tenant_name: str, streams: list[PushedStream]) -> None:
        """Take a push; return when it is durable. Raise SpoolFull or TooManyTenants when it is not taken.

        When SpoolFull is raised a part may have been stored, if the push was larger than a segment.
        """
        reason = self._spool.no_room()
        waiting = self._writer.waiting_bytes + self._gathered
        if not reason and waiting >= _WAITING_BATCHES * self._config.relay.batch.size:
            reason = "its disk is slow"
        if reason:
            raise SpoolFull(f"the spool is full: {reason}", hint="try again later")
        # The one that everything without a tenant goes to: the same streams, the same limits.
        tenant = self._tenant("" if tenant_name == self._config.loki.tenant else tenant_name)
        push = _Push(self._loop.create_future())
        room = _MORE + _MORE_TIMES * sum(len(stream.entries) for stream in streams)
        now_ns = time.time_ns()
        for number, stream in enumerate(streams):
            if number % _AT_A_TIME == _AT_A_TIME - 1:
                await asyncio.sleep(0)
            target, moved = tenant.guard.admit(parse_labels(stream.labels), now_ns)
            entries = stream.entries
            if moved:
                entries, used = await self._with_metadata(stream, moved, room)
                room -= used
            if len(entries) + len(target.field) > self._largest or stream.count > _ENTRIES:
                for piece in await self._pieces(entries, self._largest - len(target.field) - 32):
                    self._put(tenant, push, target.labels, piece)
            else:
                self._put(tenant, push, target.labels, stream._replace(entries=entries))
        push.complete = True
        push.look()
        await push.result

    def _tenant(self, name: str) -> _Tenant:
        tenant = self._tenants.get(name)
        if tenant is None:
            if len(self._tenants) > _TENANTS:
                raise TooManyTenants(f"more than {_TENANTS} tenants push at the same time", hint="try again later")
            settings, limits = self._config.labels.guard, self._config.loki.limits
            tenant = self._tenants[name] = _Tenant(
                name, Guard(settings, limits, on_prune=_nothing, memory=self._memory)
            )
        tenant.used_at = time.monotonic()
        return tenant

    # ---- labels that became metadata ---------------------------------------------------------------

    async def _with_metadata(self, stream: PushedStream, moved: dict[str, str], room: int) -> tuple[bytes, int]:
        """Return the entries with the labels that were removed, and the bytes this took, about `room` at most.

        Where all of it for each entry is too much, only the first entry has it, and says so.
        """
        entries = stream.entries
        pairs = _encoded(moved, _MOVED)
        if len(pairs) * stream.count <= room:
            more = await off_the_loop(len(entries), lambda: add_metadata(entries, pairs))
        else:
            pairs = _encoded(moved, min(_MOVED, max(room, 0)))
            pairs += encode_pair(b"labels_left_out", b"%d of all entries but this" % len(moved))
            end = first_end(entries)
            more = add_metadata(entries[:end], pairs) + entries[end:]
        return more, len(more) - len(entries)

    async def _pieces(self, entries: bytes, size: int) -> list[PushedStream]:
        """Return entries of a large stream, in pieces that fit into a segment."""

        def cut() -> list[PushedStream]:
            pieces = (PushedStream("", *chunk[1:]) for chunk in chunks(entries, size, _ENTRIES))
            return [self._cut(piece) if len(piece.entries) > size else piece for piece in pieces]

        return await off_the_loop(len(entries), cut)

    def _cut(self, piece: PushedStream) -> PushedStream:
        """Return a single entry that is larger than a whole push, cut to what Loki takes, and marked."""
        stamp, line, metadata = shortened(piece.entries, self._longest.line_size + 1)
        inner = b"\x0a\x02{}" + entry_field(stamp, line, metadata)
        body = b"\x0a" + varint(len(inner)) + inner
        [entry] = entries_of(body, scan(body)[0])
        return piece._replace(entries=encode_entry(repair(entry, self._longest, entry.timestamp_ns)))

    # ---- segments ------------------------------------------------------------------------------

    def _put(self, tenant: _Tenant, push: _Push, labels: str, piece: PushedStream) -> None:
        """Add entries of one stream, which fit into a segment, to the one being filled."""
        size = len(piece.entries) + len(labels) + 16
        segment = tenant.open
        if segment is not None and (segment.size + size > self._largest or segment.entries + piece.count > _ENTRIES):
            self._close(tenant)
            segment = None
        if segment is None:
            segment = tenant.open = _Segment()
            tenant.timer = self._loop.call_later(_GATHER, self._due, tenant)
        if not segment.waiting or segment.waiting[-1] is not push:
            segment.waiting.append(push)
            push.segments += 1
        found = segment.streams.get(labels)
        if found is None:
            segment.streams[labels] = _Stream(bytearray(piece.entries), piece.count, piece.oldest_ns, piece.newest_ns)
        else:
            found.entries += piece.entries
            found.count += piece.count
            found.oldest_ns = min(found.oldest_ns, piece.oldest_ns)
            found.newest_ns = max(found.newest_ns, piece.newest_ns)
        segment.size += size
        segment.entries += piece.count
        self._gathered += size

    def _due(self, tenant: _Tenant) -> None:
        """The time to gather is over; while the disk is busy with the segment before, it goes on."""
        tenant.timer = None
        if tenant.open is not None and not tenant.writing:
            self._close(tenant)

    def close_all(self) -> None:
        """Hand over what is gathered at once: the relay is about to stop."""
        for tenant in self._tenants.values():
            if tenant.open is not None:
                self._close(tenant)

    def _close(self, tenant: _Tenant) -> None:
        segment = tenant.open
        assert segment is not None
        tenant.open = None
        if tenant.timer is not None:
            tenant.timer.cancel()
            tenant.timer = None
        tenant.writing += 1
        self.segments += 1
        self._gathered -= segment.size
        body = bytearray()
        parts = []
        for labels, stream in segment.streams.items():
            name = labels.encode()
            head = b"\x0a" + varint(len(name)) + name
            start = len(body)
            body += b"\x0a" + varint(len(head) + len(stream.entries)) + head
            body += stream.entries
            parts.append((labels, start, len(body) - start, stream.count, stream.oldest_ns, stream.newest_ns))
        oldest = min(stream.oldest_ns for stream in segment.streams.values())
        newest = max(stream.newest_ns for stream in segment.streams.values())
        known = None
        if len(parts) <= _KNOWN:  # else they would take more memory than the segment itself
            known = batch_streams(parts)
            known.entries, known.oldest_ns, known.newest_ns = segment.entries, oldest, newest

        def done(error: SpoolFull | None) -> None:
            tenant.writing -= 1
            for push in segment.waiting:
                push.done(error)
            if tenant.open is not None and tenant.timer is None and not tenant.writing:
                self._close(tenant)

        segment.streams.clear()
        self._writer.put(
            ClosedBatch(body, known, segment.entries, oldest, newest, tenant.name, False, done, lambda body: None)
        )


def _nothing() -> None:
    """Nobody remembers what a tenant's guard said."""


def _encoded(moved: dict[str, str], room: int) -> bytes:
    """Labels that became metadata, as fields of an entry; beyond the room they are cut, then left out and counted."""
    pairs = bytearray()
    for number, (name, value) in enumerate(moved.items()):
        left = room - len(pairs) - len(name) - 80
        if left < 32:
            return bytes(pairs + encode_pair(b"labels_left_out", b"%d" % (len(moved) - number)))
        text = value.encode(errors="replace")
        if len(text) > left:
            text = text[:left].decode("utf-8", "ignore").encode()
        pairs += encode_pair(name.encode(), text)
    return bytes(pairs)
