"""How far hand-over files are read, told with each batch: what becomes durable with it, and what then may go.

Who reads the files is `listen/handover.py`, where positions are kept the spool.
"""

import logging
from collections.abc import Mapping
from typing import Protocol

from appliance.relay.handover.position import Position
from appliance.relay.spool.spool import Spool

log = logging.getLogger(__name__)


class Positioned(Protocol):
    """Files that are read from a position on."""

    writer: str

    @property
    def position(self) -> Position:
        """Return the position before which everything is in a batch, durable or being filled."""

    def durable(self, position: Position) -> None:
        """What lies before `position` is in the spool."""


class Positions:
    """Those of all writers, as of the last batch closed. Belongs to the loop's thread."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._closed: Mapping[str, Position] = spool.positions()
        self._flows: dict[str, Positioned] = {}

    def of(self, writer: str) -> Position | None:
        """Return where to go on reading a writer's files; None to begin with the first."""
        return self._closed.get(writer)

    def attach(self, flow: Positioned) -> None:
        self._flows[flow.writer] = flow

    def detach(self, flow: Positioned) -> None:
        """Forget a flow whose records are all in batches that are closed."""
        self._flows.pop(flow.writer, None)

    def close(self) -> Mapping[str, Position]:
        """Close a batch: return what becomes durable with it, empty when nothing of it is from files."""
        current = self._current()
        if current == self._closed:
            return {}
        self._closed = current
        return current

    def durable(self, positions: Mapping[str, Position]) -> None:
        """The batch that `close` returned these for is in the spool."""
        for writer, flow in self._flows.items():
            if writer in positions:
                flow.durable(positions[writer])

    def settle(self) -> None:
        """Keep positions that no batch will carry, all before them being in the spool: records were dropped by rule."""
        current = self._current()
        if current == self._closed:
            return
        try:
            self._spool.note_positions(current)
        except OSError as error:
            log.error("the position in the hand-over files cannot be saved", extra={"reason": error.strerror})
            return
        self._closed = current
        self.durable(current)

    def _current(self) -> Mapping[str, Position]:
        if not self._flows:
            return self._closed
        return {**self._closed, **{writer: flow.position for writer, flow in self._flows.items()}}
