"""The hand-over files of every writer as flows into the intake: when they are read, and when they are done with.

How records lie in files is `handover/`, what a record says is the hot path's. Positions become durable
with the batches made of what lies before them (`spool/spool.py`); only then files are deleted.
"""

import asyncio
import contextlib
import errno
import logging
from dataclasses import dataclass, field
from pathlib import Path

from appliance.relay import inputs
from appliance.relay.handover.gate import tend
from appliance.relay.handover.position import Position
from appliance.relay.handover.reader import HandoverReader
from appliance.relay.hot import Conn
from appliance.relay.listen.intake import READ, Intake

log = logging.getLogger(__name__)

_POLL = 0.04  # seconds between two looks for more; a message waits half of it on average
_TEND = 0.5  # seconds between two looks at directories and gates
_SETTLE = 1.0  # seconds after which positions are kept although no batch came of what was read
_RETRY = 0.5  # seconds after which a disk that failed is read again
_GIVE_UP = 6  # failed reads of a block after which the next one is tried


@dataclass(slots=True)
class WriterStats:
    """One writer's files: `oldest` is when the first record not read yet was received, Unix seconds."""

    backlog: int = 0
    oldest: float | None = None
    shut: bool = False
    """Its gate is shut: the backlog is at its bound, or the disk is full."""
    torn: int = 0
    unreadable: int = 0
    """Bytes that the disk did not give back."""
    error: str = ""


@dataclass(slots=True)
class HandoverStats:
    writers: dict[str, WriterStats] = field(default_factory=dict)

    @property
    def backlog(self) -> int:
        return sum(writer.backlog for writer in self.writers.values())

    @property
    def oldest(self) -> float | None:
        return min((one.oldest for one in self.writers.values() if one.oldest is not None), default=None)


class HandoverFlow:
    """The files of one writer."""

    acknowledged = False

    def __init__(self, intake: Intake, directory: Path, position: Position | None) -> None:
        self.writer = directory.name
        self.directory = directory
        self.shut = False
        self.error = ""
        self.unreadable = 0
        self._intake = intake
        self._reader = HandoverReader(directory, position)
        # For a line that does not say whom it is from; nobody writes such.
        self._conn = Conn(inputs.index("udp"), b"127.0.0.1")
        self._limit = READ
        self._paused = False
        self._failed = 0
        self._deleted = 0  # all files of lower sequence are, or are about to be
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = self._loop.call_soon(self._step)

    @property
    def position(self) -> Position:
        """Return the position before which everything is in a batch; valid at any moment of a read, too."""
        at = self._reader.position
        return Position(at.sequence, at.offset + self._conn.consumed)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._look_again(0.0)

    def stop(self) -> None:
        """Read nothing more; what was read is in the batch."""
        self._paused = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        self.stop()
        self._reader.close()

    def durable(self, position: Position) -> None:
        """What lies before this position is in the spool: delete the files that are done with."""
        if position.sequence > self._deleted:
            self._deleted = position.sequence
            self._loop.run_in_executor(None, self._delete_before, position)

    def _delete_before(self, position: Position) -> None:
        try:
            self._reader.delete_before(position)
        except OSError as error:
            log.error("hand-over files cannot be deleted", extra={"key": "handover", "reason": error.strerror})

    def stats(self) -> WriterStats:
        """Look at the files; raises nothing."""
        stats = WriterStats(shut=self.shut, torn=self._reader.torn, unreadable=self.unreadable, error=self.error)
        with contextlib.suppress(OSError):
            stats.backlog = self._reader.backlog()
            stats.oldest = self._reader.oldest() if stats.backlog else None
        return stats

    # ---- reading -------------------------------------------------------------------------------

    def _look_again(self, after: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(after, self._step) if after else self._loop.call_soon(self._step)

    def _step(self) -> None:
        """Take one block, and see to it that there will be a next time."""
        self._timer = None
        if self._paused:
            return
        sequence, limit = self._reader.position.sequence, self._limit
        try:
            count = self._reader.read(self._intake.buffer, limit)
        except OSError as error:
            self._disk_failed(error)
            return
        self._failed, self.error = 0, ""
        if self._reader.position.sequence != sequence:
            self._conn.skip_line = False  # each file begins with a whole record
        if count:
            self._intake.take("feed_handover", self._conn, 0, count)
            consumed, self._conn.consumed = self._conn.consumed, 0
            self._reader.advance(consumed)
            if consumed:
                self._limit = READ
            elif count == limit:  # a record longer than the block
                self._limit = min(2 * limit, self._intake.room_for_line())
        if not self._paused:
            self._look_again(0.0 if count == limit else _POLL)

    def _disk_failed(self, error: OSError) -> None:
        """Try again; what cannot be read for long is passed over, block by block."""
        self.error = error.strerror or str(error)
        self._failed += 1
        log.error("hand-over files cannot be read", extra={"key": "handover", "reason": self.error})
        if self._failed >= _GIVE_UP and error.errno == errno.EIO:
            if self._limit > 4096:
                self._limit, self._failed = 4096, 0  # what stands before the bad block first
            else:
                self.unreadable += self._reader.skip_block()
                self._conn.skip_line = True  # what follows begins in the middle of a record
                self._failed = _GIVE_UP - 1
        self._look_again(_RETRY)


class Handover:
    """All writers below one directory. A writer that comes later is found."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._root: Path | None = None
        self._flows: dict[str, HandoverFlow] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self, directory: str) -> None:
        """Read what is below `directory`, from where the spool says that it was read to."""
        self._root = Path(directory)
        self._find_writers()
        self._task = asyncio.get_running_loop().create_task(self._tend())

    async def stop(self) -> None:
        """Read nothing more, and wait until what was read is on its way to the disk."""
        self._root = None
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._flows:
            self._intake.close_batch()
        for flow in self._flows.values():
            flow.close()
            self._intake.detach(flow)
            self._intake.positions.detach(flow)
        self._flows.clear()

    def stats(self) -> HandoverStats:
        return HandoverStats({name: flow.stats() for name, flow in self._flows.items()})

    def _find_writers(self) -> None:
        assert self._root is not None
        try:
            found = sorted(path for path in self._root.iterdir() if path.is_dir() and path.name.isalnum())
        except OSError:
            return  # nobody has written yet
        for directory in found:
            if directory.name not in self._flows:
                position = self._intake.positions.of(directory.name)
                flow = HandoverFlow(self._intake, directory, position)
                if position is not None:
                    flow.durable(position)  # a relay that was killed had no time to delete
                self._flows[directory.name] = flow
                self._intake.positions.attach(flow)
                self._intake.attach(flow)

    async def _tend(self) -> None:
        loop = asyncio.get_running_loop()
        settled = loop.time()
        while True:
            await asyncio.sleep(_TEND)
            self._find_writers()
            for flow in list(self._flows.values()):
                try:
                    flow.shut = await loop.run_in_executor(None, tend, flow.directory)
                except OSError as error:
                    log.error("the gate cannot be updated", extra={"key": "gate", "reason": error.strerror})
            if loop.time() - settled >= _SETTLE:
                settled = loop.time()
                self._intake.settle_positions()
