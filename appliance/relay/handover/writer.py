"""Append records to the hand-over files of one directory, within bounds, without losing any on a full disk.

Blocks are reserved before anything is written, so that a full disk refuses a record whole and before
it is taken. What a record is, and what to do while none is taken, is the caller's business.
"""

import errno
import fcntl
import os
from pathlib import Path

from appliance.errors import ApplianceError
from appliance.relay.handover.files import file_name, first_sequence, reserve, sequences, size_of

DEFAULT_FILE = 64 * 2**20


class HandoverWriter:
    """The one writer of a directory. Not thread-safe.

    Files are `max_file` bytes at most (a longer append has one of its own), all of them together
    `max_backlog`, of which a file is a quarter at most; what the reader has not deleted yet counts.
    """

    def __init__(self, directory: Path, *, max_file: int = DEFAULT_FILE, max_backlog: int) -> None:
        """Take the directory, making it if need be. Raise ApplianceError when it cannot be used or has a writer."""
        self.directory = directory
        self.max_file = min(max_file, max_backlog // 4)
        self.max_backlog = max_backlog
        self.full_reason = ""
        """Why the last append was not taken; empty when it was."""
        self._file = -1
        self._sequence = 0
        self._size = 0
        self._reserved = 0
        self._rest = b""  # of an append that the disk took in part
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._claimed = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._claimed, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            hint = "end the other one: each directory belongs to one writer"
            raise ApplianceError(f"{directory} has another writer", hint=hint) from error
        except OSError as error:
            hint = "let it be a directory that this user may write"
            raise ApplianceError(f"{directory} cannot be used: {error.strerror}", hint=hint) from error

    def append(self, records: bytes | bytearray | memoryview) -> bool:
        """Append whole records, each with its LF.

        False when they were not taken, none of them: the disk is full or fails, or the backlog is at its
        bound (`full_reason`). The caller keeps them and tries again.
        """
        if not records:
            return True
        try:
            self._finish()
            if not self._make_room(len(records)):
                return False
            self._rest = bytes(records[self._write(records) :])
        except OSError as error:
            self.full_reason = f"{self.directory}: {error.strerror}"
            return False
        self.full_reason = ""
        return True

    def backlog(self) -> int:
        """Return the bytes in all files of the directory, read or not, that are still there."""
        return sum(size_of(self.directory, sequence) for sequence in sequences(self.directory))

    def close(self) -> None:
        """Let go of the directory. Another writer begins a new file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        os.close(self._claimed)

    def _finish(self) -> None:
        """Write what is left of an append that was taken. Raise OSError when the disk does not take it now."""
        while self._rest:
            reserve(self._file, self._size, len(self._rest))
            written = os.write(self._file, self._rest)
            self._size += written
            self._rest = self._rest[written:]

    def _write(self, records: bytes | bytearray | memoryview) -> int:
        """Write to reserved blocks; return how many bytes were taken. Raise OSError when that is none."""
        written = os.write(self._file, records)
        self._size += written
        if written < len(records):
            try:
                while written < len(records):
                    more = os.write(self._file, memoryview(records)[written:])
                    self._size += more
                    written += more
            except OSError:
                pass  # a reader may have seen the beginning: the rest is kept here, and goes first next time
        return written

    def _make_room(self, length: int) -> bool:
        """Ensure a file with blocks reserved for `length` more bytes. Raise OSError when the disk has none."""
        if self._file < 0 or (self._size and self._size + length > self.max_file):
            if not self._within_bound(length):
                return False
            self._begin_file()
        if self._size + length > self._reserved:
            self._reserve(length)
        return True

    def _reserve(self, length: int) -> None:
        """Reserve blocks for the rest of the file, or at least for `length` bytes. Raise OSError."""
        try:
            reserve(self._file, self._size, max(length, self.max_file - self._size))
            self._reserved = max(self._size + length, self.max_file)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            reserve(self._file, self._size, length)
            self._reserved = self._size + length

    def _within_bound(self, length: int) -> bool:
        present = sequences(self.directory)
        waiting = sum(size_of(self.directory, sequence) for sequence in present)
        # The reader is done with a file when the next one holds something: two may always be there.
        if len(present) > 1 and waiting + max(length, self.max_file) > self.max_backlog:
            self.full_reason = f"{waiting} bytes wait in {self.directory}, of at most {self.max_backlog}"
            return False
        return True

    def _begin_file(self) -> None:
        """Go over to a new file, whether there are blocks for it or not: the reader frees those of the last one."""
        sequence = self._sequence + 1 if self._sequence else first_sequence(sequences(self.directory))
        path = self.directory / file_name(sequence)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._sequence, self._size, self._reserved = file, sequence, 0, 0
