"""Entries that Loki refuses for good, kept in files of bounded size: the side that writes them.

One JSON object a line, mode 0600, the newest file last; beyond the bound the oldest file goes,
counted. What is put here is on disk when the caller is notified; while it cannot be written it waits in
memory, within a bound too. Why an entry is refused is known to the sender; operators use
`dead_letter_store.py`.
"""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.relay.loki.push_format import Entry
from appliance.relay.spool.dead_letter_store import DeadLetterStore, encode

log = logging.getLogger(__name__)

DIRECTORY = "dead-letters"
"""Their directory, in the spool's."""
_FILES = 4
"""The bound is spread over so many files, so that dropping the oldest drops a quarter."""
_AGAIN = 1.0
"""Seconds between tries to write them."""
_UNWRITTEN = 10_000
"""Entries that wait in memory to be written, unless a single push brings more."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused entry and why; `answer` in Loki's own words."""

    tenant: str
    labels: str
    entry: Entry
    reason: str
    answer: str


class DeadLetters:
    """The files in one directory. Thread-safe."""

    def __init__(self, directory: Path, max_size: int, *, now: Callable[[], float] = time.time) -> None:
        self._directory, self._now = directory, now
        self.store = DeadLetterStore(directory)
        """The same files, to be looked at."""
        self.max_size = max_size
        """Bytes of all files together."""
        self._lock = threading.Lock()
        self._unwritten: deque[tuple[Sequence[DeadLetter], Callable[[], None]]] = deque()
        self._again_at = 0.0
        self.kept = 0
        """Entries written since start."""
        self.given_up = 0
        """Oldest entries dropped since start, to stay within the limit."""

    @property
    def directory(self) -> Path:
        return self._directory

    @property
    def unwritten(self) -> int:
        """Return entries that wait in memory until they can be written."""
        with self._lock:
            return sum(len(letters) for letters, _ in self._unwritten)

    def keep(self, letters: Sequence[DeadLetter], written: Callable[[], None]) -> None:
        """Keep letters and call `written`; if they cannot be written now, both happen in `try_again`."""
        with self._lock:
            self._unwritten.append((letters, written))
        self.try_again()

    def try_again(self) -> None:
        """Write what could not be written before."""
        while True:
            with self._lock:
                if not self._unwritten:
                    return
                letters, written = self._unwritten[0]
                if not self._try_to_write(letters):
                    if sum(len(waiting) for waiting, _ in self._unwritten) <= _UNWRITTEN or len(self._unwritten) == 1:
                        return
                    self.given_up += len(letters)
                self._unwritten.popleft()
            written()

    def _try_to_write(self, letters: Sequence[DeadLetter]) -> bool:
        if time.monotonic() < self._again_at:
            return False
        try:
            self._append(letters)
        except OSError as error:
            self._again_at = time.monotonic() + _AGAIN
            log.error(
                "dead letters cannot be written: they wait in memory, their batches on disk",
                extra={"key": "dead letters", "reason": error.strerror, "path": str(self._directory)},
            )
            return False
        return True

    def _append(self, letters: Sequence[DeadLetter]) -> None:
        """Append to the newest file, synced. Raise OSError; then nothing is kept."""
        now = self._now()
        data = b"".join(encode(one.tenant, one.labels, one.entry, one.reason, one.answer, now) for one in letters)
        if not data:
            return
        with self.store.locked():
            self._append_bytes(data)
            self._bound()
        self.kept += len(letters)

    def _append_bytes(self, data: bytes) -> None:
        path = self._newest(len(data))
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            before = os.fstat(file).st_size
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(file, view) :]
                os.fdatasync(file)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(file, before)  # or they would stand there twice, the first time in part
                raise
        finally:
            os.close(file)

    def files(self) -> list[Path]:
        """Return the files there are, oldest first."""
        return self.store.files()

    def _newest(self, more: int) -> Path:
        files = self.files()
        if files and files[-1].stat().st_size + more <= self.max_size // _FILES:
            return files[-1]
        number = int(files[-1].stem.rpartition("-")[2]) + 1 if files else 1
        return self._directory / f"refused-{number:08d}.jsonl"

    def _bound(self) -> None:
        files = self.files()
        total = sum(path.stat().st_size for path in files)
        while total > self.max_size and len(files) > 1:
            oldest = files.pop(0)
            data = oldest.read_bytes()
            oldest.unlink()
            total -= len(data)
            self.given_up += data.count(b"\n")
