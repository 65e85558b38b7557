"""Sizes, durations and rates as people write them: `2GiB`, `90s`, `3MB/s`.

A value keeps the number a program computes with (bytes, seconds, bytes per second); `str()` gives
back a spelling that parses to the same value.
"""

import re
from typing import Self

_SIZE_UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
    "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40,
}  # fmt: skip
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_NUMBER_UNIT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhdw])")


class Size(int):
    """A number of bytes, read from `512`, `64KiB`, `3MB` (decimal) or `2GiB` (binary)."""

    @classmethod
    def parse(cls, text: str | int) -> Self:
        """Raise ValueError, in words an operator understands, for anything else."""
        if isinstance(text, int) and not isinstance(text, bool):
            if text < 0:
                raise ValueError("a size cannot be negative")
            return cls(text)
        match = _NUMBER_UNIT.fullmatch(text) if isinstance(text, str) else None
        if not match or match[2].lower() not in _SIZE_UNITS:
            raise ValueError("not a size: write a number and a unit, such as 512MiB or 2GiB")
        return cls(round(float(match[1]) * _SIZE_UNITS[match[2].lower()]))

    def __str__(self) -> str:
        for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10),
                             ("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):  # fmt: skip
            if self and self % factor == 0:
                return f"{int(self) // factor}{unit}"
        return f"{int(self)}B"


class Rate(Size):
    """Bytes per second, read from `3MB/s` or `3MB`."""

    @classmethod
    def parse(cls, text: str | int) -> Self:
        if isinstance(text, str) and text.rstrip().endswith("/s"):
            text = text.rstrip()[:-2]
        return super().parse(text)

    def __str__(self) -> str:
        return super().__str__() + "/s"


class Duration(float):
    """A number of seconds, read from `10`, `90s`, `500ms`, `1h30m` or `7d`."""

    @classmethod
    def parse(cls, text: str | int | float) -> Self:
        """Raise ValueError, in words an operator understands, for anything else."""
        if isinstance(text, (int, float)) and not isinstance(text, bool):
            if not 0 <= text < float("inf"):
                raise ValueError("a duration cannot be negative or infinite")
            return cls(text)
        compact = text.replace(" ", "") if isinstance(text, str) else ""
        parts = _DURATION_PART.findall(compact)
        if not parts or "".join(a + b for a, b in parts) != compact:
            raise ValueError("not a duration: write a number and a unit, such as 30s, 10m or 7d")
        return cls(sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts))

    def __str__(self) -> str:
        if self and self % 1:
            return f"{round(self * 1000)}ms"
        for unit in ("d", "h", "m"):
            if self and self % _DURATION_UNITS[unit] == 0:
                return f"{round(self / _DURATION_UNITS[unit])}{unit}"
        return f"{round(self)}s"


class Endpoint(str):
    """A listening address `host:port`, `[v6]:port` or `:port` (all addresses)."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise ValueError, in words an operator understands, for anything else."""
        if isinstance(text, str) and ":" in text:
            port = text.rpartition(":")[2]
            host = text.rpartition(":")[0]
            bracketed = host.startswith("[") and host.endswith("]")
            if port.isascii() and port.isdigit() and int(port) <= 65535 and (bracketed or ":" not in host):
                return cls(text)
        raise ValueError("not a listening address: write host:port, such as 127.0.0.1:2514 or [::]:3500")

    @property
    def host(self) -> str:
        """The address without brackets; empty for all addresses."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.rpartition(":")[2])
