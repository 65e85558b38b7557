"""Entries that Loki refuses for good, kept in files of bounded size for a look or a later replay.

One JSON object a line, mode 0600, the newest file last; beyond the bound the oldest file goes,
counted. What is put here is on disk before the call returns. Why an entry is refused is known to
the sender.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from appliance.relay.logproto import Entry

_FILES = 4
"""The bound is spread over so many files, so that giving up the oldest gives up a quarter."""


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
        self.max_size = max_size
        """Bytes of all files together."""
        self._lock = threading.Lock()
        self.kept = 0
        """Entries written since start."""
        self.given_up = 0
        """Bytes of old dead letters deleted since start, to keep the bound."""

    @property
    def directory(self) -> Path:
        return self._directory

    def keep(self, letters: Iterable[DeadLetter]) -> None:
        """Append to the newest file, synced. Raises OSError; then nothing may be taken for kept."""
        lines = [self._line(letter) for letter in letters]
        data = b"".join(lines)
        if not data:
            return
        with self._lock:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._newest(len(data))
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(file, view) :]
                os.fdatasync(file)
            finally:
                os.close(file)
            self._bound()
            self.kept += len(lines)

    def _line(self, letter: DeadLetter) -> bytes:
        entry = letter.entry
        value = {
            "kept_at": round(self._now(), 3),
            "reason": letter.reason,
            "answer": letter.answer[:500],
            "tenant": letter.tenant,
            "labels": letter.labels,
            "timestamp_ns": str(entry.timestamp_ns),
            "line": entry.line.decode("utf-8", "backslashreplace"),
            "metadata": dict(entry.metadata),
        }
        return json.dumps(value).encode() + b"\n"

    def files(self) -> list[Path]:
        """The files there are, oldest first."""
        try:
            return sorted(path for path in self._directory.iterdir() if path.suffix == ".jsonl")
        except FileNotFoundError:
            return []

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
            size = files[0].stat().st_size
            files.pop(0).unlink()
            total -= size
            self.given_up += size
