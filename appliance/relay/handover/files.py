"""Hand-over files by name, and blocks of the disk reserved for them. Knows nothing of records."""

import ctypes
import errno
import os
import time
from pathlib import Path

SUFFIX = ".log"
CURRENT = "current"
"""Second name of the file that rsyslogd appends to, whose next ones are prepared (`rotate-handover`)."""
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE of linux/falloc.h
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def file_name(sequence: int) -> str:
    """Return the name of a file; names sort as their sequence numbers do."""
    return f"{sequence:016x}{SUFFIX}"


def sequences(directory: Path) -> list[int]:
    """Return the sequence numbers of the files that are there, lowest first; none when there is no directory."""
    found = []
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    for name in names:
        if len(name) == 16 + len(SUFFIX) and name.endswith(SUFFIX):
            try:
                found.append(int(name[:16], 16))
            except ValueError:
                continue
    return sorted(found)


def current_file(directory: Path) -> int | None:
    """Return the inode that rsyslogd appends to, by its second name; None where the writer has no such name."""
    try:
        return os.stat(directory / CURRENT).st_ino
    except FileNotFoundError:
        return None


def first_sequence(present: list[int]) -> int:
    """Return the number of a new writer's first file: by the clock, so that none comes twice even if files are lost.

    A reader's position may be about a file that a power cut took away.
    """
    return max(present[-1] + 1 if present else 1, int(time.time()))


def size_of(directory: Path, sequence: int) -> int:
    """Return the bytes in a file; 0 when it is not there."""
    try:
        return os.stat(directory / file_name(sequence)).st_size
    except FileNotFoundError:
        return 0


def reserve(file: int, offset: int, length: int) -> None:
    """Reserve blocks for `length` bytes from `offset` on, without changing the file's size (fallocate(2)).

    Raise OSError (ENOSPC) when the disk does not have them. A file system that cannot reserve is left alone.
    """
    while _libc.fallocate(file, _KEEP_SIZE, offset, length):
        number = ctypes.get_errno()
        if number in (errno.EOPNOTSUPP, errno.ENOSYS):
            return
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
