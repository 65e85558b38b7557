"""The writer: closed batches become segments of the spool, as one commit after the other.

One thread, so that neither compression nor a slow disk holds up the listeners; batches are written
in the order in which they were closed. It knows nothing of records, sessions or Loki.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

import cramjam

from appliance.relay.handover.position import Position
from appliance.relay.hot import BatchStreams
from appliance.relay.spool.spool import NewSegment, Spool, SpoolFull

log = logging.getLogger(__name__)

_RETRY = 0.5  # seconds between two tries while the spool is full


class ClosedBatch(NamedTuple):
    """A batch ready to be written; `done` is called in the loop's thread with the outcome."""

    body: bytearray
    streams: BatchStreams | None
    entries: int
    oldest_ns: int
    newest_ns: int
    tenant: str
    must_wait: bool
    """Return whether it waits while the spool is full; else `done` is given SpoolFull at once."""
    done: Callable[[SpoolFull | None], None]
    release: Callable[[bytearray], None]
    """Is given the body when that is not needed any more, in the writer's thread."""
    positions: Mapping[str, Position] = {}
    """How far the hand-over files are read once this is durable."""


class SpoolWriter:
    """Takes batches from the loop's thread. `call_in_loop` is the loop's call_soon_threadsafe."""

    def __init__(self, spool: Spool, call_in_loop: Callable[..., object]) -> None:
        self._spool = spool
        self._call = call_in_loop
        self._queue: deque[ClosedBatch] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._at_the_end = False
        self._scratch = bytearray()
        self.waiting_bytes = 0
        """Bytes handed over and not yet on disk; changed in the loop's thread only."""
        self.last_progress = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, batch: ClosedBatch) -> None:
        self.waiting_bytes += len(batch.body)
        with self._wake:
            self._queue.append(batch)
            self._wake.notify()

    def alive(self) -> bool:
        """Return whether the thread runs and is not stuck in a write (a full spool is not stuck)."""
        return self._thread.is_alive() and time.monotonic() - self.last_progress < 60

    def rest(self) -> None:
        """Keep no memory for batches to come."""
        self._scratch = bytearray()

    def hurry(self) -> None:
        """The relay is about to stop: from now on write even over the spool's bounds."""
        with self._wake:
            self._at_the_end = True
            self._wake.notify()

    def stop(self, timeout: float) -> bool:
        """Write what is queued and end; False if `timeout` seconds were not enough."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pending: list[tuple[ClosedBatch, NewSegment]] = []
        while True:
            with self._wake:
                while not self._queue and not pending and not self._stopping:
                    self.last_progress = time.monotonic()
                    self._wake.wait(5)
                taken = list(self._queue)
                self._queue.clear()
                stopping = self._stopping
            self.last_progress = time.monotonic()
            pending += [(batch, self._compress(batch)) for batch in taken]
            del taken
            if pending:
                pending = self._write(pending)
                if pending and not stopping:
                    with self._wake:
                        self._wake.wait(_RETRY)
            if stopping and not self._queue:
                return  # what is still pending was acknowledged to nobody

    def _write(self, pending: list[tuple[ClosedBatch, NewSegment]]) -> list[tuple[ClosedBatch, NewSegment]]:
        """Write what fits, tell everybody concerned, and return what has to wait."""
        before = self._spool.stats.written
        full: SpoolFull | None = None
        durable = 0
        try:
            self._spool.append([segment for _, segment in pending], at_the_end=self._at_the_end)
            durable = len(pending)
        except SpoolFull as error:
            full = error
            durable = self._spool.stats.written - before
            log.error(error.message, extra={"key": "spool full", "hint": error.hint})
        except OSError as error:
            full = SpoolFull(f"the spool cannot be synced: {error.strerror}", hint="check the disk")
            log.error(full.message, extra={"key": "spool full", "hint": full.hint})
        for batch, segment in pending[:durable]:
            self._call(self._done, batch, segment, None)
        waiting = []
        for batch, segment in pending[durable:]:
            if batch.must_wait:
                waiting.append((batch, segment))
            else:
                self._call(self._done, batch, segment, full)
        return waiting

    def _done(self, batch: ClosedBatch, segment: NewSegment, error: SpoolFull | None) -> None:
        self.waiting_bytes -= segment.raw_size
        batch.done(error)

    def _compress(self, batch: ClosedBatch) -> NewSegment:
        body, size = batch.body, len(batch.body)
        needed = cramjam.snappy.compress_raw_max_len(body)
        scratch = self._scratch
        if needed > len(scratch):
            scratch = self._scratch = bytearray(needed)
        written = cramjam.snappy.compress_raw_into(body, scratch)
        compressed = bytes(memoryview(scratch)[:written])
        batch.release(body)
        return NewSegment(
            compressed, batch.streams, batch.entries, size, batch.oldest_ns, batch.newest_ns, batch.tenant,
            batch.positions,
        )  # fmt: skip
