"""What a verdict is made of: parts with a state, a cause and a remedy; and how sizes and times are said."""

from dataclasses import dataclass
from typing import Any

from appliance.severity import OF_STATE, State, Word

RANK: dict[State, int] = {"green": 0, "amber": 1, "red": 2}


@dataclass(frozen=True, slots=True)
class Part:
    """`summary` is always there; `cause` and `remedy` only when the part is not green."""

    name: str
    state: State
    summary: str
    cause: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    state: State
    headline: str
    parts: tuple[Part, ...]

    @property
    def word(self) -> Word:
        return OF_STATE[self.state]

    @property
    def exit_code(self) -> int:
        """0 OK, 1 WARNING, 2 CRITICAL."""
        return RANK[self.state]


def size(number: int) -> str:
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def length_of_time(seconds: float) -> str:
    """Return a length of time in its largest fitting unit."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def section(relay: dict[str, Any] | None, key: str) -> dict[str, Any]:
    value = (relay or {}).get(key)
    return value if isinstance(value, dict) else {}
