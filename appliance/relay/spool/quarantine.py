"""Files of the spool that cannot be read: kept out of the way for a look, within a bound."""

import contextlib
import logging
import threading
import time
from pathlib import Path

log = logging.getLogger(__name__)

_READ_TRIES = 6
_READ_PATIENCE = 60.0
"""Reads of a file that fail, and seconds since the first, before it is abandoned: a disk may come back."""


class FailedReads:
    """How often, and for how long, files could not be read. Thread-safe."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def again(self, sequence: int) -> bool:
        """Count one more failure; whether that is enough to give the file up."""
        now = time.monotonic()
        with self._lock:
            first, times = self._since.get(sequence, (now, 0))
            self._since[sequence] = first, times + 1
        return times + 1 >= _READ_TRIES and now - first >= _READ_PATIENCE

    def forget(self, sequence: int) -> None:
        """The file was read, or is no more."""
        with self._lock:
            self._since.pop(sequence, None)


def move_aside(path: Path, directory: Path, reason: str, bound: int) -> None:
    """Move a file into `directory`, with a note of why beside it; the oldest there go beyond `bound` bytes."""
    log.error("a file of the spool is set aside", extra={"key": "set aside", "file": path.name, "reason": reason})
    try:
        path.rename(directory / path.name)
        with contextlib.suppress(OSError):  # a full disk has no room for it, and the log has it
            (directory / f"{path.name}.reason").write_text(reason + "\n")
        kept = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for each in kept:
            total += each.stat().st_size
            if total > bound:
                each.unlink()
    except FileNotFoundError:
        pass  # gone already, which is what this is for
    except OSError as error:  # it stays where it is, and is out of the way all the same
        log.error(
            "an unreadable file cannot be moved",
            extra={"key": "set aside fails", "file": path.name, "reason": error.strerror},
        )
