"""rsyslogd's gate, from the relay's side: opened again once there is room and a next file is prepared.

`rotate-handover` shuts it, and says in the directory's file `limits` by what. A directory without
that file has a writer that needs no gate.
"""

import errno
import fcntl
import os
from pathlib import Path
from typing import NamedTuple

from appliance.relay.handover.files import file_name, reserve, sequences

_LIMITS = "limits"


class Limits(NamedTuple):
    """What `rotate-handover` goes by: `size` bytes are reserved for a file, `files` of them may be there."""

    size: int
    files: int
    gate: Path


def read_limits(directory: Path) -> Limits | None:
    """Return the limits of a directory; None when it has none."""
    try:
        size, files, gate, _ = (directory / _LIMITS).read_text().split(" ", 3)
        return Limits(int(size), int(files), Path(gate))
    except (OSError, ValueError):
        return None


def tend(directory: Path) -> bool:
    """Open the gate if it is shut and need not be; shut it if nothing can be written. Return whether it is shut.

    Raise OSError where the disk fails.
    """
    limits = read_limits(directory)
    if limits is None:
        return False
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        _shut(limits.gate)
        return True
    if not limits.gate.exists():
        return False
    try:
        if not _prepare(directory, limits):
            return True
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        raise
    limits.gate.unlink(missing_ok=True)
    return False


def _shut(gate: Path) -> None:
    new = gate.with_name(gate.name + ".new")
    new.write_text("SUSPENDED\n")
    new.rename(gate)


def _prepare(directory: Path, limits: Limits) -> bool:
    """Reserve blocks in the file being written and in the next one; False when they are not to be had."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _reserve(directory / "current", os.O_WRONLY, limits.size)
        if (directory / "next").exists():
            return True
        present = sequences(directory)
        # One less than rsyslogd itself goes to, so that the gate does not shut again at once.
        if len(present) > max(1, limits.files - 2):
            return False
        path = directory / file_name(present[-1] + 1 if present else 1)
        try:
            _reserve(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, limits.size)
            os.link(path, directory / "next")
        except OSError:
            path.unlink(missing_ok=True)
            raise
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return False  # rsyslogd has not started yet
    finally:
        os.close(lock)
    return True


def _reserve(path: Path, flags: int, size: int) -> None:
    file = os.open(path, flags | os.O_CLOEXEC, 0o660)
    try:
        if flags & os.O_CREAT:
            os.fchmod(file, 0o660)  # rsyslogd writes to it, by its group
        reserve(file, 0, size)
    finally:
        os.close(file)
