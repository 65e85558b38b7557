"""Read the hand-over files of one directory in order, from a position on. Deletes what is done with.

It reads blocks and knows where records end only by their LF; what a record says, and when it is
durable elsewhere, is the caller's business. No file is ever written.
"""

import os
from pathlib import Path

from appliance.relay.handover.files import current_file, file_name, sequences, size_of
from appliance.relay.handover.position import Position

_STAMP = 32  # bytes in which a record's time of receipt stands


class HandoverReader:
    """The one reader of a directory.

    `read` puts what follows the position at the beginning of a buffer, `advance` moves the position:
    what was not consumed is read again. Raise OSError where the disk fails; the position stays.
    """

    def __init__(self, directory: Path, position: Position | None = None) -> None:
        self.directory = directory
        self.position = position or Position(0, 0)
        self.torn = 0
        """Records without an end: their writer was killed in the middle of them, and acknowledged none."""
        self._file = -1
        self._seen = 0  # bytes after the position that the last read found
        self._skipping = False

    def read(self, buffer: bytearray, limit: int) -> int:
        """Fill buffer[:n] with at most `limit` bytes after the position; return n, 0 when there is nothing new."""
        view = memoryview(buffer)[:limit]
        while True:
            if self._file < 0 and not self._open():
                return 0
            count = os.preadv(self._file, [view], self.position.offset)
            if count > self._seen or count == limit:
                self._seen = count
                return count
            if not self._goes_on():
                return 0
            # Complete now, but perhaps not when it was read.
            count = os.preadv(self._file, [view], self.position.offset)
            if count > self._seen:
                self._seen = count
                return count
            self.torn += count > 0
            self._next_file()

    def advance(self, consumed: int) -> None:
        """Count `consumed` bytes of the last read as done."""
        self.position = Position(self.position.sequence, self.position.offset + consumed)
        self._seen -= consumed

    def skip_block(self) -> int:
        """Skip what cannot be read from disk, up to the next block of 4 KiB; return how many bytes that is."""
        skipped = 4096 - self.position.offset % 4096
        self.position = Position(self.position.sequence, self.position.offset + skipped)
        self._seen = 0
        return skipped

    def delete_before(self, position: Position) -> None:
        """Delete the files that lie wholly before a position. Raise OSError."""
        for sequence in sequences(self.directory):
            if sequence >= position.sequence:
                break
            (self.directory / file_name(sequence)).unlink(missing_ok=True)

    def backlog(self) -> int:
        """Return the bytes that are there and not read yet."""
        waiting = 0
        for sequence in sequences(self.directory):
            if sequence >= self.position.sequence:
                waiting += size_of(self.directory, sequence)
                if sequence == self.position.sequence:
                    waiting -= self.position.offset
        return max(0, waiting)

    def oldest(self) -> float | None:
        """Return when the first record not read yet was received, Unix seconds; None when none waits."""
        for sequence in sequences(self.directory):
            if sequence >= self.position.sequence:
                offset = self.position.offset if sequence == self.position.sequence else 0
                try:
                    with (self.directory / file_name(sequence)).open("rb") as file:
                        stamp = os.pread(file.fileno(), _STAMP, offset).partition(b" ")[0]
                except FileNotFoundError:
                    continue
                if stamp:
                    try:
                        return float(stamp)
                    except ValueError:
                        return None
        return None

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> bool:
        """Open the first file that holds something after the position; False when there is none."""
        for sequence in sequences(self.directory):
            if sequence < self.position.sequence:
                continue
            try:
                self._file = os.open(self.directory / file_name(sequence), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            if sequence > self.position.sequence:
                self.position = Position(sequence, 0)
            self._seen = 0
            return True
        return False

    def _goes_on(self) -> bool:
        """Return whether the writer has gone over to a later file, so that this one is complete."""
        current = current_file(self.directory)
        if current is not None:
            return current != os.fstat(self._file).st_ino
        following = self.position.sequence + 1
        if (self.directory / file_name(following)).exists():
            return True
        return any(later > following for later in sequences(self.directory))

    def _next_file(self) -> None:
        self.close()
        self.position = Position(self.position.sequence + 1, 0)
        self._seen = 0
