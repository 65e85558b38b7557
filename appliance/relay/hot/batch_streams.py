# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=False, auto_pickle=False
"""What is in a batch, stream by stream. Types are in `batch_streams.pxd`."""

from array import array
from collections.abc import Iterable

import cython


class BatchStreams:
    """The streams of a push in the order in which they lie in it, without an object for each."""

    def __init__(self, number: int) -> None:
        self.labels = []
        self.entries = 0
        self.oldest_ns = 0
        self.newest_ns = 0
        number = max(number, 1)
        self.offset = array("i", bytes(4 * number))
        self.size = array("i", bytes(4 * number))
        self.count = array("i", bytes(4 * number))
        self.oldest = array("q", bytes(8 * number))
        self.newest = array("q", bytes(8 * number))

    def add(
        self,
        labels: str,
        offset: cython.int,
        size: cython.int,
        entries: cython.int,
        oldest: cython.longlong,
        newest: cython.longlong,
    ) -> cython.int:
        k: cython.Py_ssize_t = len(self.labels)
        self.labels.append(labels)
        self.offset[k] = offset
        self.size[k] = size
        self.count[k] = entries
        self.oldest[k] = oldest
        self.newest[k] = newest
        self.entries += entries
        if k == 0 or oldest < self.oldest_ns:
            self.oldest_ns = oldest
        if k == 0 or newest > self.newest_ns:
            self.newest_ns = newest
        return 0

    def parts(self) -> list[tuple[str, int, int, int, int, int]]:
        """Each stream as (labels, offset, length, entries, oldest ns, newest ns), as `scan_push` finds it."""
        result: list = []
        k: cython.Py_ssize_t
        for k in range(len(self.labels)):
            result.append((self.labels[k], self.offset[k], self.size[k], self.count[k], self.oldest[k], self.newest[k]))
        return result


def batch_streams(parts: Iterable[tuple[str, int, int, int, int, int]]) -> BatchStreams:
    """The streams that `scan_push` found."""
    parts = list(parts)
    streams: BatchStreams = BatchStreams(len(parts))
    for labels, offset, length, entries, oldest, newest in parts:
        streams.add(labels, offset, length, entries, oldest, newest)
    return streams
