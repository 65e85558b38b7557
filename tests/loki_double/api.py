"""What tests ask of a Loki, whichever stands behind: double in a thread, in a process, or a real one."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

NUMBERED = r"n=(\d+)\b"


@dataclass(frozen=True, slots=True)
class Tally:
    """Numbered lines that arrived, against `expected` numbers 0 … expected-1."""

    entries: int
    distinct: int
    duplicates: int
    lost: int
    first_lost: list[int] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)  # a few lines without a number

    @classmethod
    def of(cls, lines: Iterable[bytes], expected: int, pattern: str = NUMBERED) -> "Tally":
        find = re.compile(pattern.encode()).search
        seen: Counter[int] = Counter()
        strange: list[str] = []
        entries = 0
        for line in lines:
            entries += 1
            if match := find(line):
                seen[int(match[1])] += 1
            elif len(strange) < 5:
                strange.append(line[:200].decode(errors="replace"))
        lost = [number for number in range(expected) if number not in seen]
        numbered = sum(seen.values())
        return cls(entries, len(seen), numbered - len(seen), len(lost), lost[:20], strange)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class LokiUnderTest(Protocol):
    """One Loki with a fault layer in front of it."""

    @property
    def base_url(self) -> str: ...

    @property
    def push_url(self) -> str: ...

    def fault(self, kind: str, times: int | None = None, **details: Any) -> None:
        """From now on, for the next `times` pushes or until `clear()`; kinds: see `front.Fault`."""

    def clear(self) -> None: ...

    def set_limits(self, **limits: Any) -> None:
        """Names of `limits.Limits`. A real Loki restarts with them."""

    def count(self, selector: str = "{}") -> int: ...

    def lines(self, selector: str = "{}") -> list[bytes]: ...

    def entries(self, selector: str = "{}") -> list[tuple[dict[str, str], int, str, dict[str, str]]]:
        """(stream's labels as sent, nanoseconds, line, structured metadata)."""

    def streams(self) -> list[dict[str, str]]: ...

    def tally(self, expected: int, selector: str = "{}", pattern: str = NUMBERED) -> Tally: ...

    def flush(self) -> None:
        """Let queries find entries of any age: a real Loki asks its ingesters for young ones only.

        Only before the last look: a flushed stream is forgotten, with its newest timestamp and its rate.
        """

    def stats(self) -> dict[str, Any]:
        """pushes, statuses {status: pushes}, refused and hidden (entries by kind; double only)."""

    def close(self) -> None: ...
