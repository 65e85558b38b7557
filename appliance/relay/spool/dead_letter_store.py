"""Dead letters for the operator: list, read, send again, drop.

Works on the files that `dead_letters.py` writes, from any process, whether a relay runs or not. Letters that
are to be sent again move to a file of their own, which the relay takes into its spool (`retries.py`).
"""

import base64
import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.relay.loki.push_format import Entry

SUFFIX = ".jsonl"
RETRIES = "retry"
"""Directory, beside the files, of letters that go to Loki again."""


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """One dead letter as it stands on disk."""

    id: str
    """Ten hexadecimal digits made from its content."""
    kept_at: float
    """Unix time."""
    reason: str
    answer: str
    """What Loki said."""
    tenant: str
    labels: str
    entry: Entry


def encode(tenant: str, labels: str, entry: Entry, reason: str, answer: str, kept_at: float) -> bytes:
    """Return one letter as a line of JSON. Text that is no UTF-8 is there once to be read and once exactly."""
    names = [name for name, _ in entry.metadata]
    value: dict[str, Any] = {
        "kept_at": round(kept_at, 3),
        "reason": reason,
        "answer": answer[:500],
        "tenant": tenant,
        "labels": labels,
        "timestamp_ns": str(entry.timestamp_ns),
        "line": entry.line.decode("utf-8", "backslashreplace"),
        "metadata": dict(entry.metadata) if len(set(names)) == len(names) else [list(p) for p in entry.metadata],
    }
    if value["line"].encode() != entry.line:
        value["line_base64"] = base64.b64encode(entry.line).decode()
    return json.dumps(value).encode() + b"\n"


def decode(line: bytes) -> KeptLetter:
    """Return the letter of a line of a file. Raise ValueError if it is none."""
    value = json.loads(line)
    try:
        exact = value.get("line_base64")
        text = base64.b64decode(exact) if exact is not None else str(value["line"]).encode()
        metadata = value["metadata"]
        pairs = metadata.items() if isinstance(metadata, dict) else metadata
        entry = Entry(int(value["timestamp_ns"]), text, tuple((str(name), str(text)) for name, text in pairs))
        identity = hashlib.blake2s(line.rstrip(b"\n"), digest_size=5).hexdigest()
        return KeptLetter(
            identity, float(value["kept_at"]), str(value["reason"]), str(value["answer"]), str(value["tenant"]),
            str(value["labels"]), entry,
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a dead letter: {error}") from error


class DeadLetterStore:
    """The files in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._counted: dict[str, tuple[tuple[int, int, int], dict[str, int]]] = {}

    def files(self) -> list[Path]:
        """Return the files there are, oldest first."""
        return _files(self.directory)

    def list(self) -> Iterator[KeptLetter]:
        """Yield all letters, the oldest first. A line that is none, as after a power cut, is left out."""
        for path in self.files():
            with contextlib.suppress(FileNotFoundError):
                for line in path.read_bytes().splitlines():
                    with contextlib.suppress(ValueError):
                        yield decode(line)

    def read(self, identity: str) -> KeptLetter:
        """Return the letter with this id. Raise KeyError."""
        for letter in self.list():
            if letter.id == identity:
                return letter
        raise KeyError(identity)

    def retry(self, chosen: Callable[[KeptLetter], bool]) -> int:
        """Let the chosen letters go to Loki again; return how many. They leave the files once that is on disk."""
        return self._take(chosen, self._put_for_retry)

    def drop(self, chosen: Callable[[KeptLetter], bool]) -> int:
        """Delete the chosen letters; return how many."""
        return self._take(chosen, lambda lines: None)

    def reasons(self) -> dict[str, int]:
        """Return how many letters there are, by reason. Files that have not changed are not read again."""
        total: dict[str, int] = {}
        seen = {}
        for path in self.files():
            with contextlib.suppress(FileNotFoundError):
                known = path.stat()
                signature = known.st_ino, known.st_size, known.st_mtime_ns
                counted = self._counted.get(path.name)
                if counted is None or counted[0] != signature:
                    counted = signature, _reasons(path)
                seen[path.name] = counted
                for reason, number in counted[1].items():
                    total[reason] = total.get(reason, 0) + number
        self._counted = seen
        return total

    def waiting(self) -> int:
        """Letters that were chosen to go again and are not in the spool yet."""
        return sum(path.read_bytes().count(b"\n") for path in _files(self.directory / RETRIES))

    def _take(self, chosen: Callable[[KeptLetter], bool], keep: Callable[[Collection[bytes]], None]) -> int:
        number = 0
        with self.locked():
            for path in self.files():
                kept: list[bytes] = []
                taken: list[bytes] = []
                for line in path.read_bytes().splitlines(keepends=True):
                    try:
                        wanted = chosen(decode(line))
                    except ValueError:
                        wanted = False
                    (taken if wanted else kept).append(line)
                if taken:
                    keep(taken)
                    self._rewrite(path, b"".join(kept))
                    number += len(taken)
        return number

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing the files."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    def _put_for_retry(self, lines: Collection[bytes]) -> None:
        directory = self.directory / RETRIES
        if not directory.is_dir():
            directory.mkdir(mode=0o700)
            opened = os.open(directory, os.O_RDONLY)
            try:
                self._give_away(opened)
            finally:
                os.close(opened)
        numbers = [int(path.stem) for path in _files(directory) if path.stem.isdigit()]
        self._write(directory / f"{max(numbers, default=0) + 1:08d}{SUFFIX}", b"".join(lines))

    def _rewrite(self, path: Path, data: bytes) -> None:
        if data:
            self._write(path, data)
        else:
            path.unlink()

    def _write(self, path: Path, data: bytes) -> None:
        """Write a file at once, synced, as its directory's owner's."""
        temporary = path.with_suffix(".writing")
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self._give_away(file)
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
        finally:
            os.close(file)
        temporary.rename(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _give_away(self, file: int) -> None:
        """What root makes here is the relay's."""
        owner, made = self.directory.stat(), os.fstat(file)
        if (made.st_uid, made.st_gid) != (owner.st_uid, owner.st_gid):
            os.fchown(file, owner.st_uid, owner.st_gid)


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == SUFFIX)
    except FileNotFoundError:
        return []


def _reasons(path: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for line in path.read_bytes().splitlines():
        try:
            reason = str(json.loads(line)["reason"])
        except (ValueError, KeyError, TypeError):
            continue
        counts[reason] = counts.get(reason, 0) + 1
    return counts
