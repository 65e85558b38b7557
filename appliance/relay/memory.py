"""Gives memory that is free back to the system, where the C library would keep it.

glibc gives back by itself only what lies at an arena's end. Elsewhere nothing is done, and nothing is
missing but memory. Source: malloc_trim(3).
"""

import ctypes


def give_back() -> None:
    """Give the system what is free in whole pages; some milliseconds."""
    try:
        library = ctypes.CDLL(None)
    except OSError:
        return
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
