"""Gives memory that is free back to the system, where the C library would keep it.

glibc gives back by itself only what lies at an arena's end, and lets the size from which it asks the
system for each block grow to 32 MiB. Elsewhere nothing is done, and nothing is missing but memory.
Source: malloc_trim(3), mallopt(3).
"""

import ctypes
import gc


def give_back() -> None:
    """Return free memory in whole pages to the system; takes some tens of milliseconds."""
    gc.collect()
    try:
        library = ctypes.CDLL(None)
    except OSError:
        return
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # malloc.h
_LARGE = 512 * 1024  # bytes


def keep_little() -> None:
    """Let large blocks go back to the system as soon as they are free, and threads share two arenas.

    Call it before there are threads. Pushes of many MiB would otherwise leave holes in the arena of
    every thread that had to do with them.
    """
    try:
        library = ctypes.CDLL(None)
    except OSError:
        return
    if hasattr(library, "mallopt"):
        library.mallopt(_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_ARENA_MAX, 2)
