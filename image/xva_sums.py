"""The two kinds of checksum in an XVA: SHA-1 in `.checksum`, XXH64 in `.xxhash`, as hosts write them.

We write SHA-1, which every version of XCP-ng and Debian's xva-img understand. XXH64 is here to check
files exported by newer hosts (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md);
plain Python, some 10 MB/s.
"""

import hashlib
import struct

_MASK = (1 << 64) - 1
_P1, _P2, _P3, _P4, _P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)


def sha1(data: bytes) -> str:
    """40 small hexadecimal digits."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _round(lane: int, value: int) -> int:
    lane = (lane + value * _P2) & _MASK
    return (((lane << 31) | (lane >> 33)) * _P1) & _MASK


def _rotate(value: int, by: int) -> int:
    return ((value << by) | (value >> (64 - by))) & _MASK


def xxh64(data: bytes) -> str:
    """XXH64 with seed 0 as 16 capital hexadecimal digits."""
    length = len(data)
    whole = length & ~31
    if whole:
        a, b, c, d = (_P1 + _P2) & _MASK, _P2, 0, -_P1 & _MASK
        for one, two, three, four in struct.iter_unpack("<4Q", data[:whole]):
            a, b, c, d = _round(a, one), _round(b, two), _round(c, three), _round(d, four)
        total = (_rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18)) & _MASK
        for lane in (a, b, c, d):
            total = ((total ^ _round(0, lane)) * _P1 + _P4) & _MASK
    else:
        total = _P5
    total = (total + length) & _MASK
    position = whole
    while position + 8 <= length:
        total = (
            _rotate(total ^ _round(0, int.from_bytes(data[position : position + 8], "little")), 27) * _P1 + _P4
        ) & _MASK
        position += 8
    if position + 4 <= length:
        total = (
            _rotate(total ^ (int.from_bytes(data[position : position + 4], "little") * _P1 & _MASK), 23) * _P2 + _P3
        ) & _MASK
        position += 4
    for byte in data[position:]:
        total = (_rotate(total ^ (byte * _P5 & _MASK), 11) * _P1) & _MASK
    total = ((total ^ (total >> 33)) * _P2) & _MASK
    total = ((total ^ (total >> 29)) * _P3) & _MASK
    return f"{total ^ (total >> 32):016X}"


SUMS = {".checksum": ("SHA-1", sha1), ".xxhash": ("XXH64", xxh64)}


def problem_of(extension: str, found: bytes, data: bytes) -> str:
    """Return why a host refuses the checksum `found` for `data`; empty when it is right."""
    kind, function = SUMS[extension]
    expected = function(data).encode()
    if found == expected:
        return ""
    if found.strip() == expected:
        return f"the {kind} checksum is followed by white space; hosts compare it byte for byte"
    if found.lower() == expected.lower():
        case = "small" if extension == ".checksum" else "capital"
        return f"the {kind} checksum is in the wrong case; hosts want {case} letters"
    if len(found) != len(expected):
        return f"the checksum is {len(found)} bytes long; {kind} has {len(expected)}"
    return f"the {kind} checksum does not match: the chunk is damaged"
