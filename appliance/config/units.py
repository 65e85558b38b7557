"""Sizes, durations and rates as people write them: `2GiB`, `90s`, `3MB/s`.

A value keeps the number a program computes with (bytes, seconds, bytes per second); `str()` gives
back a spelling that parses to the same value.
"""

import re
from decimal import Decimal
from ipaddress import IPv6Address
from typing import Self

MAX_SIZE = 2**62
"""The largest size taken, in bytes: what fits every counter on the way."""
MAX_DURATION = 100 * 365 * 86400.0
"""The longest duration taken, in seconds: what every timer on the way takes."""

_SIZE_UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
    "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40,
}  # fmt: skip
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_NUMBER_UNIT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_LOOKS_LIKE_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_HOST_NAME = re.compile(r"(?!.*\.[0-9]+$)[A-Za-z0-9_]([A-Za-z0-9_.-]{0,250}[A-Za-z0-9])?")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhdw])")


class Size(int):
    """A number of bytes, read from `512`, `64KiB`, `3MB` (decimal) or `2GiB` (binary)."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Raise ValueError, with a message for the operator, for anything else."""
        if isinstance(text, int) and not isinstance(text, bool):
            size = int(text)
        else:
            match = _NUMBER_UNIT.fullmatch(text) if isinstance(text, str) and len(text) < 64 else None
            if not match or match[2].lower() not in _SIZE_UNITS:
                raise ValueError("not a size: write a number and a unit, such as 512MiB or 2GiB")
            size = round(Decimal(match[1]) * _SIZE_UNITS[match[2].lower()])
        if not 0 <= size <= MAX_SIZE:
            raise ValueError("a size cannot be negative" if size < 0 else "too large for a size")
        return cls(size)

    def __str__(self) -> str:
        for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10),
                             ("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):  # fmt: skip
            if self and self % factor == 0:
                return f"{int(self) // factor}{unit}"
        return f"{int(self)}B"


class Rate(Size):
    """Bytes per second, read from `3MB/s` or `3MB`."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Raise ValueError, with a message for the operator, for anything else."""
        if isinstance(text, str) and text.rstrip().endswith("/s"):
            text = text.rstrip()[:-2]
        return super().parse(text)

    def __str__(self) -> str:
        return super().__str__() + "/s"


class Duration(float):
    """A number of seconds, to the microsecond, read from `10`, `90s`, `500ms`, `1h30m` or `7d`."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Raise ValueError, with a message for the operator, for anything else."""
        if isinstance(text, (int, float)) and not isinstance(text, bool):
            seconds = float(text)
        else:
            compact = text.replace(" ", "") if isinstance(text, str) and len(text) < 64 else ""
            parts = _DURATION_PART.findall(compact) or [(compact, "s")] * (_NUMBER.fullmatch(compact) is not None)
            if not parts or "".join(a + b for a, b in parts).removesuffix("s") != compact.removesuffix("s"):
                raise ValueError("not a duration: write a number and a unit, such as 30s, 10m or 7d")
            seconds = sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)
        if not 0 <= seconds <= MAX_DURATION:
            raise ValueError("a duration lies between 0 and 100 years")
        return cls(round(seconds, 6))

    def __str__(self) -> str:
        if self and self % 1:
            milliseconds = round(self * 1000)
            if round(milliseconds * 0.001, 6) == float(self):
                return f"{milliseconds}ms"
            return f"{float(self):.6f}s"
        for unit in ("d", "h", "m"):
            if self and self % _DURATION_UNITS[unit] == 0:
                return f"{round(self / _DURATION_UNITS[unit])}{unit}"
        return f"{round(self)}s"


class Endpoint(str):
    """A listening address `host:port`, `[v6]:port` or `:port` (all addresses)."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Raise ValueError, with a message for the operator, for anything else."""
        host, colon, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
        if (
            colon
            and port.isascii()
            and port.isdigit()
            and len(port) <= 5
            and int(port) <= 65535
            and _host_is_valid(host)
        ):
            return cls(f"{host}:{port}")
        raise ValueError("not a listening address: write host:port, such as 127.0.0.1:2514 or [::]:3500")

    @property
    def host(self) -> str:
        """Return the address without brackets; empty for all addresses."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Return the port; 0 lets the kernel choose one."""
        return int(self.rpartition(":")[2])


def _host_is_valid(host: str) -> bool:
    """Return whether the part before the port is nothing, an IPv4 address, a name or a bracketed IPv6 address."""
    if host.startswith("[") and host.endswith("]"):
        try:
            IPv6Address(host[1:-1])
        except ValueError:
            return False
        return True
    if _LOOKS_LIKE_IPV4.fullmatch(host):
        return all(int(part) <= 255 for part in host.split("."))
    return not host or _HOST_NAME.fullmatch(host) is not None
