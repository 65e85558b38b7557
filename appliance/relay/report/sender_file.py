"""The table of senders kept in a file beside the spool, so that a restart forgets nobody.

Written whole, to a temporary name that is renamed, rarely and from a thread: the log path never waits
for it. It is worth no line: what cannot be read or written is logged and gone without.
"""

import contextlib
import logging
import os
import time
from pathlib import Path

import msgspec

from appliance.relay.report.senders import Source, Sources

log = logging.getLogger(__name__)

NAME = "senders.json"
_LARGEST = 4 * 2**20  # bytes; the table is bounded, so a larger file is none of ours
_EVERY = 300.0  # seconds between two writings


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    sender: str
    input: str
    count: int
    first_seen: float
    last_seen: float


class SenderFile:
    """The file in the spool's directory. `snapshot` is for the event loop, `write` for any thread."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._written = time.monotonic()

    def read(self) -> list[Source]:
        """Return the senders of an earlier run; none when there is no file, or one that cannot be used."""
        try:
            with self._path.open("rb") as file:
                kept = msgspec.json.decode(file.read(_LARGEST), type=list[_Kept])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("the senders of earlier runs cannot be read", extra={"path": self._path, "reason": str(error)})
            return []
        # Their rates are those of this run: the window begins now and is empty.
        now = time.time()
        return [Source(k.sender, k.input, k.count, k.first_seen, min(k.last_seen, now), now, 0, 0.0) for k in kept]

    def due(self) -> bool:
        """Return whether it is time to write again."""
        return time.monotonic() - self._written >= _EVERY

    def snapshot(self, sources: Sources) -> bytes:
        """Return what is to be written."""
        self._written = time.monotonic()
        rows = [_Kept(s.sender, s.input, s.count, s.first_seen, s.last_seen) for s in sources.all()]
        return msgspec.json.encode(rows)

    def write(self, content: bytes) -> None:
        """Put the content in place, whole or not at all. A full disk keeps the file of before."""
        temporary = self._path.with_suffix(".new")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            extra = {"key": "senders", "path": str(self._path), "reason": error.strerror}
            log.warning("the senders cannot be saved", extra=extra)
