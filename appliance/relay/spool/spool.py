"""The spool: a directory of batches on disk, each file an HTTP body that Loki accepts.

A segment is written to a temporary name, synced, renamed, and its directory synced; only then is
it acknowledged. It goes when Loki has taken it. There is no index: the directory is the state, and
what a segment is (order, age, size, checksum, positions, tenant) stands in its name. Bounds are kept
here; when to send, and what Loki said, is the sender's.

How far the hand-over files have been read is part of the newest segment made of them; when that goes,
the name of an empty file keeps it. So a segment and its positions are there together or not at all.
"""

import contextlib
import errno
import fcntl
import itertools
import logging
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from appliance.config import model
from appliance.errors import ApplianceError
from appliance.relay.handover.position import Position, decode, encode
from appliance.relay.spool.errors import SegmentUnreadable, SpoolFull
from appliance.relay.spool.listing import TEMPORARY, read_directory, unclaimed
from appliance.relay.spool.marker import Marker, write_marker
from appliance.relay.spool.quarantine import FailedReads, move_aside
from appliance.relay.spool.segment import LoadedSegment, NewSegment, Segment, parse_name
from appliance.relay.spool.stats import SpoolStats

__all__ = [
    "LoadedSegment",
    "NewSegment",
    "Segment",
    "SegmentUnreadable",
    "Spool",
    "SpoolFull",
    "SpoolStats",
    "parse_name",
]

log = logging.getLogger(__name__)

_ASIDE = "set-aside"
# What is handed to the sender without a second look at the disk. Enough for a sender that keeps up.
_RECENT_BYTES = 4 * 2**20
_DISK_RETRY = 5.0  # seconds before a disk that failed is thought worth another try
_DISK_IS_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# A read that failed for want of something that comes back says nothing about the file.
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN}


class Spool:
    """The directory and its bounds. Thread-safe: one thread appends, others load and remove."""

    def __init__(self, settings: model.Spool, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._segments: dict[int, Segment] = {}
        self._recent: dict[int, LoadedSegment] = {}
        self._recent_bytes = 0
        self._failed_reads = FailedReads()
        self._pending: list[tuple[Segment, NewSegment]] = []  # written, and not known to be durable yet
        self._refused = 0  # bytes of the batch that did not fit
        self._failed_at = 0.0  # monotonic time when the disk itself failed; 0 when only a bound was reached
        self._marker: Marker | None = None
        self._newest_positions = Marker(0, "")  # of all segments and the marker
        self.stats = SpoolStats()
        self.settings = settings
        self.path = Path(settings.path)
        self._aside = self.path / _ASIDE
        try:
            self._aside.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            self._read_directory()
        except OSError as error:
            raise ApplianceError(
                f"the spool {settings.path} cannot be used: {error.strerror}",
                hint="set relay.spool.path to a directory that the relay's user may write",
            ) from error
        last = max(max(self._segments, default=0), self._newest_positions.sequence)
        self._next = max(last + 1, int(self._now() * 1e6))  # never the same twice

    def claim(self) -> None:
        """Keep other relays out while this process lives; raise ApplianceError when one is in already.

        Two that send the same files would store all of it twice.
        """
        try:
            fcntl.flock(self._directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            hint = "end that one, or set another relay.spool.path"
            raise ApplianceError(f"the spool {self.path} is in use by another relay", hint=hint) from error

    def _read_directory(self) -> None:
        """Learn what is there. Raise ApplianceError, with nothing changed, when another version wrote it."""
        there = read_directory(self.path)
        if unclaimed(self._directory):  # else it is another relay that writes them
            for name in there.unfinished:  # a write that never finished; nobody was told that it was kept
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._directory)
            for name, reason in there.strange:
                self._move_aside(name, reason)
        for segment in sorted(there.segments, key=lambda segment: segment.sequence):
            self._segments[segment.sequence] = segment
            self._count(segment, +1)
            if segment.positions:
                self._newest_positions = Marker(segment.sequence, segment.positions)
        for marker in sorted(there.markers):
            self._marker = marker  # at most one, unless a disk was repaired
            if marker.sequence >= self._newest_positions.sequence:
                self._newest_positions = marker

    def _count(self, segment: Segment, sign: int) -> None:
        self.stats.segments += sign
        self.stats.bytes += sign * segment.size
        self.stats.entries += sign * segment.entries

    # ---- reading: the sender's side ------------------------------------------------------------

    def segments(self) -> list[Segment]:
        """Return all segments, oldest first."""
        with self._lock:
            return list(self._segments.values())

    def head(self, count: int) -> list[Segment]:
        """Return the oldest `count` segments, oldest first."""
        with self._lock:
            return list(itertools.islice(self._segments.values(), count))

    def tail(self, count: int) -> list[Segment]:
        """Return the newest `count` segments, oldest of them first."""
        with self._lock:
            return list(itertools.islice(reversed(self._segments.values()), count))[::-1]

    def __len__(self) -> int:
        return len(self._segments)

    def holds(self, segment: Segment) -> bool:
        """Return whether the segment is still there: neither accepted by Loki, nor dropped, nor set aside."""
        return segment.sequence in self._segments

    def wait_for_new(self, after_sequence: int, timeout: float) -> bool:
        """Wait at most `timeout` seconds for a segment newer than `after_sequence`."""
        with self._arrived:
            return self._arrived.wait_for(lambda: self._newest() > after_sequence, timeout)

    def _newest(self) -> int:
        return next(reversed(self._segments), 0)

    def wake(self) -> None:
        """Wake every waiting thread."""
        with self._arrived:
            self._arrived.notify_all()

    def load(self, segment: Segment) -> LoadedSegment:
        """Return the bytes of a segment.

        Raises SegmentUnreadable if they are not what was written, OSError if reading may succeed later.
        """
        with self._lock:
            recent = self._recent.pop(segment.sequence, None)
            if recent is not None:
                self._recent_bytes -= segment.size
                return recent
        try:
            compressed = (self.path / segment.name).read_bytes()
        except OSError as error:
            gone = not (self.path / segment.name).exists()
            if error.errno in _PASSING or not (gone or self._failed_reads.again(segment.sequence)):
                raise
            raise SegmentUnreadable(f"cannot be read: {error.strerror}") from error
        self._failed_reads.forget(segment.sequence)
        if len(compressed) != segment.size:
            raise SegmentUnreadable(f"holds {len(compressed)} bytes, expected {segment.size}")
        if zlib.crc32(compressed) != segment.crc:
            raise SegmentUnreadable("its checksum does not match")
        return LoadedSegment(segment, compressed, None)

    def remove(self, segment: Segment, *, dropped: str = "") -> None:
        """Forget a segment that Loki has accepted, or that is dropped for the reason `dropped`."""
        with self._lock:
            if self._segments.pop(segment.sequence, None) is None:
                return
            self._forget_recent(segment)
            self._count(segment, -1)
            self.stats.removed += 1
            if dropped:
                self.stats.dropped[dropped] = self.stats.dropped.get(dropped, 0) + segment.entries
                self.stats.dropped_bytes[dropped] = self.stats.dropped_bytes.get(dropped, 0) + segment.raw_size
            self._keep_positions_of(segment)
        (self.path / segment.name).unlink(missing_ok=True)

    def set_aside(self, segment: Segment, reason: str) -> None:
        """Keep a segment that cannot be read out of the way, for a look; within its bound."""
        with self._lock:
            if self._segments.pop(segment.sequence, None) is None:
                return
            self._forget_recent(segment)
            self._count(segment, -1)
            self._keep_positions_of(segment)
        self._move_aside(segment.name, reason)

    def _move_aside(self, name: str, reason: str) -> None:
        self.stats.set_aside += 1
        move_aside(self.path / name, self._aside, reason, self.settings.max_set_aside)

    def _forget_recent(self, segment: Segment) -> None:
        self._failed_reads.forget(segment.sequence)
        if self._recent.pop(segment.sequence, None) is not None:
            self._recent_bytes -= segment.size

    # ---- positions in the hand-over files ------------------------------------------------------

    def positions(self) -> dict[str, Position]:
        """Return how far the hand-over files are read, by what is durable here."""
        return decode(self._newest_positions.positions)

    def note_positions(self, positions: Mapping[str, Position]) -> None:
        """Keep positions that no segment carries, for nothing came of what lies before them. Durable when it returns.

        Everything taken before is in the spool. Raise OSError.
        """
        with self._lock:
            self._write_marker(Marker(self._next - 1, encode(positions)))
        os.fsync(self._directory)

    def _keep_positions_of(self, segment: Segment) -> None:
        """A segment is about to go: see to it that its positions do not go with it."""
        if not segment.positions or segment.sequence != self._newest_positions.sequence:
            return
        if self._marker is not None and self._marker.sequence >= segment.sequence:
            return
        try:
            self._write_marker(Marker(segment.sequence, segment.positions))
        except OSError as error:
            # What it holds was taken from the hand-over files: a relay killed now would take it once more.
            log.error("the position in the hand-over files cannot be saved", extra={"reason": error.strerror})

    def _write_marker(self, marker: Marker) -> None:
        write_marker(self._directory, self._marker, marker)
        self._marker = self._newest_positions = marker

    # ---- writing -------------------------------------------------------------------------------

    def append(self, batches: Iterable[NewSegment], *, at_the_end: bool = False) -> None:
        """Write batches durably, in order, as one commit: all files, then the directory once.

        Raises SpoolFull, with nothing written of the batch that does not even fit into the reserve and of
        those after it; those before it are durable. The caller keeps what was not written: see `stats.written`.
        `at_the_end` writes the little that is in memory when the relay stops over the bounds, which
        hold again at the next start: a sender without acknowledgement would lose it.
        """
        started = time.monotonic()
        over = False
        try:
            for batch in batches:
                over = not at_the_end and not self._make_room(len(batch.compressed))
                self._pending.append((self._write(batch), batch))
        finally:
            if self._pending:
                self._commit()
                self.stats.last_sync_seconds = time.monotonic() - started
        if not over:
            self._not_full()

    def _commit(self) -> None:
        """Publish what was written once its names are durable; if they cannot be, nothing of it is left.

        The caller keeps it and writes it again: it must not be there twice.
        """
        written, self._pending = self._pending, []
        try:
            os.fsync(self._directory)
        except OSError as error:
            for segment, _ in written:
                with contextlib.suppress(OSError):
                    os.unlink(segment.name, dir_fd=self._directory)
            size = sum(segment.size for segment, _ in written)
            raise self._full(f"the disk fails: {error.strerror}", size, failed=True) from error
        for segment, batch in written:
            self._publish(segment, batch)

    def _write(self, batch: NewSegment) -> Segment:
        crc = zlib.crc32(batch.compressed)
        segment = Segment(
            self._next, int(self._now() * 1000), batch.oldest_ns, batch.newest_ns,
            batch.entries, batch.raw_size, len(batch.compressed), crc, batch.tenant, encode(batch.positions),
        )  # fmt: skip
        temporary = f"{segment.sequence:016x}{TEMPORARY}"
        try:
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=self._directory)
            try:
                view = memoryview(batch.compressed)
                while view:
                    view = view[os.write(file, view) :]
                os.fdatasync(file)
            finally:
                os.close(file)
            os.rename(temporary, segment.name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError as error:
            with contextlib.suppress(OSError):  # on a disk that takes nothing any more, not even this
                os.unlink(temporary, dir_fd=self._directory)
            reason = "the disk is full" if error.errno in _DISK_IS_FULL else f"the disk fails: {error.strerror}"
            raise self._full(reason, len(batch.compressed), failed=True) from error
        self._next += 1
        return segment

    def _publish(self, segment: Segment, batch: NewSegment) -> None:
        with self._arrived:
            self._segments[segment.sequence] = segment
            self._count(segment, +1)
            self.stats.written += 1
            if segment.positions:
                self._newest_positions = Marker(segment.sequence, segment.positions)
            if self._recent_bytes + segment.size <= _RECENT_BYTES:
                self._recent[segment.sequence] = LoadedSegment(segment, batch.compressed, batch.streams)
                self._recent_bytes += segment.size
            self._arrived.notify_all()

    def _make_room(self, size: int) -> bool:
        """Keep the bounds for `size` more bytes, dropping the oldest if so configured, or raise SpoolFull.

        False when the bytes have to go into the reserve.
        """
        self.drop_expired()
        while reason := self._no_room_for(size):
            oldest = self.head(1)
            if not oldest and self._pending and self.settings.when_full != "block":
                self._commit()  # what is to be dropped is of this very commit
                continue
            if self.settings.when_full == "block" or not oldest:
                full = self._full(reason, size)
                if self._no_room_for(size, reserve=self.settings.reserve):
                    raise full
                return False
            self.remove(oldest[0], dropped="spool_full")
        return True

    def _no_room_for(self, size: int, *, reserve: int = 0) -> str:
        """Return why `size` more bytes are too many; empty when they are not. `reserve` bytes go beyond the bounds."""
        if (
            self.stats.bytes + sum(segment.size for segment, _ in self._pending) + size
            > self.settings.max_size + reserve
        ):
            return f"it holds {self.stats.bytes} bytes of at most {int(self.settings.max_size)}"
        space = os.statvfs(self._directory)
        floor = self.settings.min_free - min(reserve, self.settings.min_free // 2)
        if space.f_bavail * space.f_frsize - size < floor:
            return f"less than {self.settings.min_free} are free on its file system"
        return ""

    def no_room(self) -> str:
        """Return why a further batch would not be taken now; empty when it would, or when it is worth a try."""
        if self.stats.full and self._failed_at:
            return self.stats.full_reason if time.monotonic() - self._failed_at < _DISK_RETRY else ""
        if self.settings.when_full != "block":
            return ""
        reason = self._no_room_for(self._refused if self.stats.full else 0)
        if self.stats.full and not reason:
            self._not_full()  # room was made since, by Loki or by cleaning up the disk
        return reason

    def _full(self, reason: str, size: int, *, failed: bool = False) -> SpoolFull:
        self._refused = size
        self._failed_at = time.monotonic() if failed else 0.0
        self.stats.full = True
        self.stats.full_reason = reason
        self.stats.blocked_since = self.stats.blocked_since or self._now()
        return SpoolFull(
            f"the spool is full: {reason}", hint="bring Loki back, enlarge the disk or relay.spool.max_size"
        )

    def _not_full(self) -> None:
        self.stats.full = False
        self.stats.blocked_since = 0.0

    def drop_expired(self) -> None:
        """Drop and count what is older than the configured age."""
        if self.settings.max_age is None:
            return
        limit = (self._now() - self.settings.max_age) * 1000
        while (oldest := self.head(1)) and oldest[0].created_ms < limit:
            try:
                self.remove(oldest[0], dropped="spool_age")
            except OSError as error:  # it is not sent any more; its file stays until the disk can be written
                reason = {"key": "expired", "reason": error.strerror}
                log.error("a batch that is too old cannot be deleted", extra=reason)

    def close(self) -> None:
        os.close(self._directory)
