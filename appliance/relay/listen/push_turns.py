"""Whose push is decoded next: so many bytes at the same time, and addresses take turns.

A sender that floods waits behind itself, not in front of everybody else. Pushes that wait are held
only as large as they came.
"""

import asyncio
from collections import deque


class Turns:
    """Admits pushes while fewer than `at_once` bytes are on their way. Belongs to the loop's thread."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self.under_way = 0
        self._waiting: dict[str, deque[tuple[asyncio.Future[None], int]]] = {}  # by address, in order of turns

    async def take(self, peer: str, size: int, timeout: float) -> None:
        """Wait for a turn, and count `size` bytes as under way. Raise TimeoutError."""
        if not self._waiting and self.under_way < self._at_once:
            self.under_way += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(peer, deque()).append((turn, size))
        try:
            async with asyncio.timeout(timeout):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.give_back(size)  # it was our turn just now
            raise

    def give_back(self, size: int) -> None:
        """So many bytes are not under way any more; a negative number: they turned out to be more."""
        self.under_way -= size
        while self._waiting and self.under_way < self._at_once:
            peer, queue = next(iter(self._waiting.items()))
            turn, wanted = queue.popleft()
            del self._waiting[peer]
            if queue:
                self._waiting[peer] = queue  # behind the others
            if not turn.done():
                self.under_way += wanted
                turn.set_result(None)
