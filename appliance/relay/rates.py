"""Rates of growing totals, from samples taken every few seconds. Pure but for what it remembers."""

from collections import deque
from collections.abc import Mapping


class RateMeter:
    """Rates of growing totals over the last ten and sixty seconds, from samples taken every few seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[str, int]]] = deque()

    def sample(self, now: float, totals: Mapping[str, int]) -> None:
        """Remember the totals; `now` in seconds of a monotonic clock."""
        self._samples.append((now, dict(totals)))
        while len(self._samples) > 2 and self._samples[1][0] <= now - 60:
            self._samples.popleft()

    def rate(self, name: str, total: int, now: float, span: float) -> float:
        """A second, over the last `span` seconds or as much of them as has been seen."""
        reference = None
        for moment, totals in reversed(self._samples):
            reference = (moment, totals)
            if now - moment >= span:
                break
        if reference is None or now - reference[0] < 0.5:
            return 0.0
        return max(0.0, (total - reference[1].get(name, 0)) / (now - reference[0]))
