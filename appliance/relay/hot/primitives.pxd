# What `primitives.py` says in Python, for compiled modules.

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memchr, memcmp, memcpy

cdef enum:
    NUL = 0
    SOH = 1
    TAB = 9
    LF = 10
    CR = 13
    SP = 32
    QUOTE = 34
    DASH = 45
    DOT = 46
    ZERO = 48
    COLON = 58
    SEMICOLON = 59
    LT = 60
    EQUALS = 61
    GT = 62
    OPEN = 91
    BACKSLASH = 92
    CLOSE = 93
    DEL = 127


cdef inline Py_ssize_t find(unsigned char* p, Py_ssize_t start, Py_ssize_t end, int byte) noexcept:
    cdef unsigned char* found
    if end <= start:
        return -1
    found = <unsigned char*> memchr(p + start, byte, end - start)
    return -1 if found == NULL else found - p


cdef inline bint begins(unsigned char* p, Py_ssize_t start, Py_ssize_t end, bytes expected) noexcept:
    return end - start >= len(expected) and memcmp(p + start, <char*> expected, len(expected)) == 0


cdef inline bytes take(unsigned char* p, Py_ssize_t start, Py_ssize_t end):
    return PyBytes_FromStringAndSize(<char*> p + start, end - start)


cdef inline void copy(unsigned char* to, Py_ssize_t at, unsigned char* p, Py_ssize_t start, Py_ssize_t size) noexcept:
    memcpy(to + at, p + start, size)


cdef inline bint digit(int c) noexcept:
    return 48 <= c <= 57


cdef inline int two_digits(unsigned char* p, Py_ssize_t at) noexcept:
    cdef int a = p[at] - 48
    cdef int b = p[at + 1] - 48
    if a < 0 or a > 9 or b < 0 or b > 9:
        return -1000
    return a * 10 + b


cdef inline int varint_size(unsigned long long value) noexcept:
    cdef int size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size


cdef inline Py_ssize_t put_varint(unsigned char* p, Py_ssize_t at, unsigned long long value) noexcept:
    while value >= 0x80:
        p[at] = (value & 0x7F) | 0x80
        value >>= 7
        at += 1
    p[at] = value
    return at + 1
