"""What of the open connections is not in the kernel, in memory that outlives this process: a file without a
name, which systemd holds open as well.

A connection has a place in it from the time it leaves a message unfinished. Written at each such read, it is
right even after SIGKILL. Layout: a page with the header, then places of equal size, each with a header and the
beginning of the unfinished message. Most pages are never touched, and cost nothing.
"""

import mmap
import os
import struct
from collections.abc import Iterable
from typing import NamedTuple

from appliance.relay.receive.connection import Connection, Framing

_HEAD = struct.Struct("<8sQQQ")  # magic, nanoseconds when it was made, size of a place, places ever used
_MAGIC = b"recv-tb1"
_PLACE = struct.Struct("<QIBBQ46s")  # inode, length of the rest, octets, skip_line, discard, sender
_PAGE = mmap.PAGESIZE


class Entry(NamedTuple):
    """One connection, as the process before knew it."""

    sender: str
    framing: Framing


class Table:
    """The table of this process, for `places` connections with unfinished messages of up to `room` bytes."""

    def __init__(self, places: int, room: int, now_ns: int) -> None:
        self._room = room
        self._size = -(-(_PLACE.size + room) // _PAGE) * _PAGE
        self._places = places
        self._used = 0
        self._now_ns = now_ns
        self._free: list[int] = []
        self._touched = [0]  # bytes of each place that have memory; there is no place 0
        self.descriptor = os.memfd_create("receiver-table", os.MFD_CLOEXEC)
        length = _PAGE + places * self._size
        os.ftruncate(self.descriptor, length)
        self._map = mmap.mmap(self.descriptor, length)
        self._write_head()

    def _write_head(self) -> None:
        _HEAD.pack_into(self._map, 0, _MAGIC, self._now_ns, self._size, self._used)

    def save(self, connection: Connection) -> None:
        """Write down where the framing of a connection stands."""
        rest, conn = connection.rest, connection.conn
        if not connection.place:
            if not (rest or conn.octets or conn.discard or conn.skip_line):
                return
            connection.place = self._take_place()
            if not connection.place:
                return
        at = _PAGE + (connection.place - 1) * self._size
        if len(rest) > self._room:
            rest = b""
        if len(rest) < self._touched[connection.place]:
            self._give_back(connection.place)
        if len(rest) > _PAGE:
            self._touched[connection.place] = len(rest)
        if rest:
            self._map[at + _PLACE.size : at + _PLACE.size + len(rest)] = rest
        _PLACE.pack_into(
            self._map, at, connection.inode, len(rest), conn.octets, conn.skip_line, conn.discard, conn.sender
        )

    def _take_place(self) -> int:
        if self._free:
            return self._free.pop()
        if self._used == self._places:
            return 0
        self._used += 1
        self._touched.append(0)
        self._write_head()
        return self._used

    def forget(self, connection: Connection) -> None:
        """The connection is closed: its place is free."""
        if connection.place:
            self._give_back(connection.place)
            at = _PAGE + (connection.place - 1) * self._size
            self._map[at : at + _PLACE.size] = bytes(_PLACE.size)
            self._free.append(connection.place)
            connection.place = 0

    def _give_back(self, place: int) -> None:
        """Free the memory of a place that held a long message: senders decide how long, and how many do so."""
        if self._touched[place]:
            self._map.madvise(mmap.MADV_REMOVE, _PAGE + (place - 1) * self._size, self._size)
            self._touched[place] = 0


def read_tables(descriptors: Iterable[int]) -> dict[int, Entry]:
    """Return the connections of tables by inode; of the same one in several tables what the newest says."""
    found: list[tuple[int, dict[int, Entry]]] = []
    for descriptor in descriptors:
        length = os.fstat(descriptor).st_size
        if length < _PAGE:
            continue
        with mmap.mmap(descriptor, length, access=mmap.ACCESS_READ) as table:
            magic, made, size, used = _HEAD.unpack_from(table, 0)
            if magic == _MAGIC and size > _PLACE.size and _PAGE + used * size <= length:
                found.append((made, dict(_entries(table, size, used))))
    merged: dict[int, Entry] = {}
    for _, entries in sorted(found, key=lambda one: one[0]):
        merged |= entries
    return merged


def _entries(table: mmap.mmap, size: int, used: int) -> Iterable[tuple[int, Entry]]:
    for place in range(used):
        at = _PAGE + place * size
        inode, length, octets, skip_line, discard, sender = _PLACE.unpack_from(table, at)
        if inode and length <= size - _PLACE.size:
            rest = table[at + _PLACE.size : at + _PLACE.size + length]
            framing = Framing(bool(octets), discard, bool(skip_line), rest)
            yield inode, Entry(sender.rstrip(b"\0").decode("ascii", "replace"), framing)
