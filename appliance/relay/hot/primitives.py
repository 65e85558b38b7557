"""Bytes by name, and the smallest steps of the hot path, as plain Python.

Compiled modules take the same names from `primitives.pxd`, as constants and inline functions of C. What
differs between the two is only how fast they are.
"""

from typing import Any

NUL, SOH, TAB, LF, CR, SP, QUOTE, DASH, DOT, ZERO, COLON, SEMICOLON = 0, 1, 9, 10, 13, 32, 34, 45, 46, 48, 58, 59
LT, EQUALS, GT, OPEN, BACKSLASH, CLOSE, DEL = 60, 61, 62, 91, 92, 93, 127


def find(p: Any, start: int, end: int, byte: int) -> int:
    """Return where `byte` stands first in [start, end), or -1."""
    return int(p.find(byte, start, end))


def begins(p: Any, start: int, end: int, expected: bytes) -> bool:
    """Return whether the bytes at `start` are `expected`."""
    return end - start >= len(expected) and bool(p[start : start + len(expected)] == expected)


def take(p: Any, start: int, end: int) -> bytes:
    """Return a copy of [start, end)."""
    return bytes(p[start:end])


def copy(to: Any, at: int, p: Any, start: int, size: int) -> None:
    """Copy `size` bytes from `start` of `p` to `at` of `to`."""
    to[at : at + size] = p[start : start + size]


def digit(c: int) -> bool:
    """Return whether this is an ASCII digit."""
    return 48 <= c <= 57


def two_digits(p: Any, at: int) -> int:
    """Return the number of two digits at `at`, or -1000."""
    a, b = p[at] - 48, p[at + 1] - 48
    return int(a * 10 + b) if 0 <= a <= 9 and 0 <= b <= 9 else -1000


def varint_size(value: int) -> int:
    """Return how many bytes protobuf's variable-length integer has."""
    return max((value.bit_length() + 6) // 7, 1)


def put_varint(p: Any, at: int, value: int) -> int:
    """Write protobuf's variable-length integer at `at`; return where it ends."""
    while value >= 0x80:
        p[at] = value & 0x7F | 0x80
        value >>= 7
        at += 1
    p[at] = value
    return at + 1
