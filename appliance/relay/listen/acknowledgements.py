"""Which senders get an acknowledgement, and when: the intake's memory between batch and disk.

While the spool is full acknowledgements are held. What a sender has under way is nowhere else once it
stops (librelp forgets it), so it is read and stored in the spool's reserve; being told nothing, the
sender's own window keeps it from sending more.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from appliance.relay.hot import Conn
from appliance.relay.spool.spool import Spool

log = logging.getLogger(__name__)

_LOOK_FOR_ROOM = 0.25  # seconds between two looks whether a full spool has room again
_SIGN_OF_LIFE = 30.0  # seconds after which a sender that is held gets one acknowledgement: librelp gives up after 90

Ranges = list[tuple[int, int]]
"""RELP transactions as (first, count)."""


class Session(Protocol):
    """A connection whose messages are acknowledged."""

    conn: Conn

    @property
    def leaving(self) -> bool:
        """Return whether the sender closes its session in order, and keeps nothing once that is done."""

    def acknowledge(self, ranges: Ranges) -> None: ...

    def waits(self, now: float) -> bool:
        """Return whether the sender is likely to send nothing more before it is acknowledged."""


class Acknowledgements:
    """Belongs to the loop's thread. `changed` is called when `holding` has changed with time alone."""

    def __init__(self, spool: Spool, changed: Callable[[], None]) -> None:
        self._spool = spool
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._awaiting: list[tuple[int, Session, Ranges]] = []
        self._durable = 0
        self._timer: asyncio.TimerHandle | None = None
        self._ending = False
        self._signed_at = 0.0
        self.holding = False
        """The spool is full: hold all acknowledgements."""

    def add(self, batch: int, session: Session, ranges: Ranges) -> None:
        """Notify the session about `ranges` once batch number `batch` is durable."""
        self._awaiting.append((batch, session, ranges))

    def durable(self, batch: int) -> None:
        """All batches up to this number are on disk."""
        self._durable = batch
        self.tell()

    def forget(self, session: Session) -> None:
        """The connection is gone: there is nobody to acknowledge to."""
        self._awaiting = [item for item in self._awaiting if item[1] is not session]

    def awaited_by(self, session: Session) -> bool:
        return any(item[1] is session for item in self._awaiting)

    def __bool__(self) -> bool:
        return bool(self._awaiting)

    @property
    def messages(self) -> int:
        """Return messages that wait to be acknowledged."""
        return sum(count for _, _, ranges in self._awaiting for _, count in ranges)

    def tell(self) -> None:
        """Send the acknowledgements that are due."""
        self._look()
        ready = 0
        held = []
        for item in self._awaiting:
            batch, session, ranges = item
            if batch > self._durable:
                break
            ready += 1
            if self.holding and not session.leaving:
                held.append(item)
            else:
                session.acknowledge(ranges)
        if ready:
            self._awaiting[:ready] = held

    # ---- while the spool is full ---------------------------------------------------------------

    def _look(self) -> None:
        reason = self._spool.no_room() if self._spool.stats.full and not self._ending else ""
        if reason and not self.holding:
            log.warning("the spool is full: acknowledgements are held", extra={"key": "held", "reason": reason})
            self._signed_at = time.monotonic()
        if reason and self._timer is None:
            self._timer = self._loop.call_later(_LOOK_FOR_ROOM, self._look_for_room)
        self.holding = bool(reason)

    def _look_for_room(self) -> None:
        self._timer = None
        self.tell()
        if self.holding:
            self._sign_of_life()
        self._changed()

    def _sign_of_life(self) -> None:
        """Acknowledge one message to each held sender now and then, so that it does not consider us dead."""
        now = time.monotonic()
        if now - self._signed_at < _SIGN_OF_LIFE:
            return
        self._signed_at = now
        signed: set[Session] = set()
        for batch, session, ranges in self._awaiting:
            if batch <= self._durable and session not in signed:
                signed.add(session)
                first, count = ranges[0]
                session.acknowledge([(first, 1)])
                ranges[:1] = [(first + 1, count - 1)] if count > 1 else []
        self._awaiting = [item for item in self._awaiting if item[2]]

    def end_holding(self) -> None:
        """The relay is about to stop: acknowledge what is on disk, so that it is not sent again."""
        self._ending = True
        self.tell()
        self._changed()
