"""Who sends: a bounded table of senders with counts, rates and the times they were first and last seen.

The log path calls `record` once for each stream of a batch, from the event loop; status and
metrics read snapshots. It decides nothing about messages. Keeping the table over a restart is
`sender_file.py`.
"""

import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

_DECAY = 60.0  # seconds over which the rate averages
_QUIET = 4 * 3600.0  # seconds without a line before anybody is called silent
_TIMES = 20.0  # how much longer than its usual pause a sender must be quiet, to be called silent
_REGULAR = 20  # messages that make a sender one that sends regularly
_REPORTED = 7 * 86400.0  # seconds after which a silent one is thought gone for good


@dataclass(slots=True)
class Source:
    """One sender on one input. Times are unix seconds; `rate` is messages a second, averaged over about a minute."""

    sender: str
    input: str
    count: int
    first_seen: float
    last_seen: float
    window_start: float
    window_count: int = 0
    window_rate: float = -1.0  # of the window before this one; below zero while there is none

    def rate(self, now: float) -> float:
        """Return messages a second over the last whole window and the one under way."""
        elapsed = now - self.window_start
        if elapsed >= 2 * _DECAY:
            return 0.0
        if self.window_rate < 0 or elapsed >= _DECAY:
            return self.window_count / max(elapsed, 1.0)
        return self.window_rate * (1.0 - elapsed / _DECAY) + self.window_count / _DECAY

    def is_silent(self, now: float, listening_since: float) -> bool:
        """Return whether it sent regularly and has been quiet for far longer than usual.

        Time in which nobody listened counts for nothing; a sender that stays away for a week has gone.
        """
        if self.count < _REGULAR or now - self.last_seen > _REPORTED:
            return False
        usual = (self.last_seen - self.first_seen) / self.count
        return now - max(self.last_seen, listening_since) > max(_QUIET, _TIMES * usual)


class Sources:
    """At most `limit` senders; a new one beyond takes the place of the one not seen for longest."""

    def __init__(self, limit: int = 2000) -> None:
        self._limit = limit
        self._table: OrderedDict[tuple[str, str], Source] = OrderedDict()
        self.evicted = 0

    def record(self, sender: str, input: str, count: int, now: float | None = None) -> None:
        """`count` messages of `sender` (host name or address) by `input`; `now` in unix seconds."""
        now = time.time() if now is None else now
        key = (sender, input)
        source = self._table.get(key)
        if source is None:
            if len(self._table) >= self._limit:
                self._table.popitem(last=False)
                self.evicted += 1
            source = self._table[key] = Source(sender, input, 0, now, now, now)
        else:
            self._table.move_to_end(key)
        elapsed = now - source.window_start
        if elapsed >= _DECAY or elapsed < 0:
            source.window_rate = source.window_count / elapsed if 0 < elapsed < 2 * _DECAY else 0.0
            source.window_start, source.window_count = now, 0
        source.count += count
        source.window_count += count
        source.last_seen = now

    def remember(self, known: Iterable[Source]) -> None:
        """Take over senders of an earlier run, the one not seen for longest first; those met since count on."""
        met, self._table = self._table, OrderedDict()
        for source in known:
            self._table[source.sender, source.input] = source
        for key, source in met.items():
            if (before := self._table.pop(key, None)) is not None:
                source.count += before.count
                source.first_seen = min(source.first_seen, before.first_seen)
            self._table[key] = source
        while len(self._table) > self._limit:
            self._table.popitem(last=False)

    def __len__(self) -> int:
        return len(self._table)

    def all(self) -> list[Source]:
        """Every sender, the one not seen for longest first."""
        return list(self._table.values())

    def latest(self, limit: int) -> list[Source]:
        """Return the `limit` seen last, latest first."""
        return [source for source, _ in zip(reversed(self._table.values()), range(limit), strict=False)]

    def silent(self, now: float, listening_since: float) -> list[Source]:
        """Return those that sent regularly and do so no more, the one that fell silent last first.

        One that went over to another input has not fallen silent.
        """
        found, heard = [], set()
        for source in reversed(self._table.values()):  # seen last first
            if source.is_silent(now, listening_since) and source.sender not in heard:
                found.append(source)
            heard.add(source.sender)
        return found
