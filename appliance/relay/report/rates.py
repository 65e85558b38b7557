"""How fast totals grow, and by how much they did lately, from samples. Pure but for what it remembers."""

from collections import deque
from collections.abc import Mapping


class RateMeter:
    """Samples of growing totals, taken every few seconds and kept for `horizon` seconds."""

    def __init__(self, horizon: float = 60.0) -> None:
        self._horizon = horizon
        self._samples: deque[tuple[float, dict[str, int]]] = deque()

    def sample(self, now: float, totals: Mapping[str, int]) -> None:
        """Remember the totals; `now` in seconds of a monotonic clock."""
        self._samples.append((now, dict(totals)))
        while len(self._samples) > 2 and self._samples[1][0] <= now - self._horizon:
            self._samples.popleft()

    def rate(self, name: str, total: int, now: float, span: float) -> float:
        """Return the rate per second over the last `span` seconds, or as much of them as has been seen."""
        reference = None
        for moment, totals in reversed(self._samples):
            reference = (moment, totals)
            if now - moment >= span:
                break
        if reference is None or now - reference[0] < 0.5:
            return 0.0
        return max(0.0, (total - reference[1].get(name, 0)) / (now - reference[0]))

    def growth(self, totals: Mapping[str, int]) -> dict[str, int]:
        """By how much each grew within the horizon, or since the first sample; those that grew only.

        A counter that was reset has not grown.
        """
        before = self._samples[0][1] if self._samples else totals
        return {name: total - before.get(name, 0) for name, total in totals.items() if total > before.get(name, 0)}
