"""Files of the spool that cannot be read: kept out of the way for a look, within a bound."""

import contextlib
import logging
from pathlib import Path

log = logging.getLogger(__name__)


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
        log.error("it cannot be moved", extra={"key": "set aside fails", "file": path.name, "reason": error.strerror})
