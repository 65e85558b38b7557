# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=False, auto_pickle=False
"""RELP's answers to transactions, many at a time."""

import cython

if cython.compiled:
    from cython.cimports.libc.string import memcpy  # type: ignore[import-not-found]


def relp_acknowledge(first: cython.longlong, count: cython.longlong) -> bytes:
    """The responses `TXNR rsp 6 200 OK` for transactions first … first+count-1."""
    tail: bytes = b" rsp 6 200 OK\n"
    if not cython.compiled:
        return b"".join(b"%d%b" % (number, tail) for number in range(first, first + count))
    out = bytearray(count * 34)
    to: cython.p_uchar = out
    at: cython.Py_ssize_t = 0
    number: cython.longlong
    rest: cython.longlong
    digits: cython.int
    k: cython.int
    for number in range(first, first + count):
        digits = 1
        rest = number
        while rest >= 10:
            rest //= 10
            digits += 1
        rest = number
        for k in range(digits):
            to[at + digits - 1 - k] = 48 + rest % 10
            rest //= 10
        at += digits
        memcpy(to + at, cython.cast(cython.p_char, tail), 14)
        at += 14
    return bytes(out[:at])
