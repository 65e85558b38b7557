"""Secrets in files, read again when the file changes, without a restart.

A file counts as changed when its inode, size or times of change differ. What is read is never
logged; errors name the file alone.
"""

import os
from pathlib import Path

_LARGEST = 64 * 1024

Identity = tuple[int, int, int, int, int]


class SecretUnreadable(Exception):
    """A file with a secret cannot be used; the message names the file and says why."""


def identity(path: str | None) -> Identity | None:
    """Return what differs once a file has been replaced or rewritten; None if there is none."""
    if path is None:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class SecretFile:
    """The secret in a file: its text without surrounding white space."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._seen: Identity | None = None
        self._value = ""

    def read(self) -> str:
        """Return the current secret; the last good one while the file is just being replaced.

        Raises SecretUnreadable if there never was a good one.
        """
        now = identity(self.path)
        if self._value and now == self._seen:
            return self._value
        try:
            with Path(self.path).open("rb") as file:
                text = file.read(_LARGEST).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            text = ""
        else:
            reason = "it is empty" if not text else "it holds more than one line"
        if text and "\n" not in text and "\r" not in text:
            self._value, self._seen = text, now
        elif not self._value:
            raise SecretUnreadable(f"{self.path}: {reason}")
        return self._value
