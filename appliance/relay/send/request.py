"""What one push carries: whole segments, some streams of them, or streams that were repaired.

Values and the making of request bodies from them. A segment is done when nothing of it is left in
any push. Whole segments go as they lie on disk: raw snappy blocks can be put one after the other,
since their back-references are relative, so that even many small segments are joined unopened.
Source: snappy's format_description.txt.
"""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import cramjam

from appliance.relay.hot import BatchStreams
from appliance.relay.loki.push_format import (
    StreamPart,
    encode_json,
    halves,
    list_parts,
    merge,
    scan,
    scan_streams,
    select,
)
from appliance.relay.spool.spool import Segment

NEVER = 1 << 62
"""Later than any time: of a push that carries nothing any more."""
_KEPT_RAW = 8 * 2**20


@dataclass(slots=True, eq=False)
class SegmentRef:
    """A segment that is being sent, and how much of it is still to be taken."""

    segment: Segment
    outstanding: int = 1
    """Slices of it, and dead letters to be written, that are not done yet."""
    waiting: int = 0
    """Slices of it that wait in the queue of a single stream."""


@dataclass(frozen=True, slots=True)
class History:
    """How the tries to send a slice went."""

    failures: int = 0
    """Pushes that failed without a rejection."""
    tries: int = 0
    """Those of them that were its own: while other pushes succeeded; or refusals of a single entry."""
    stored_seen: int = -1
    """How many pushes had succeeded when this last failed."""
    doubted_at: int = -1
    """How many pushes had succeeded when this was first refused without a reason we know."""
    refusals: int = 0
    """Times that the tenant's rate stood in the way."""
    held: int = 0
    """Times that it was held because only Loki's clock refuses it."""

    @property
    def tried(self) -> bool:
        """Return whether a push with it was refused or failed."""
        return bool(self.failures or self.tries or self.refusals)

    def doubted(self, stored: int) -> "History":
        """Refused without a known reason when `stored` pushes had succeeded."""
        return self if self.doubted_at >= 0 else replace(self, doubted_at=stored)


NEW = History()


@dataclass(slots=True, eq=False)
class StreamSlice:
    """Some streams of one segment."""

    ref: SegmentRef
    listed: tuple[StreamPart, ...] | None = None
    """The streams, once somebody had to look at them one by one: see `parts`."""
    whole: bool = True
    """The segment's bytes go as they are."""
    body: bytes | None = None
    """Uncompressed streams that stand in place of the segment's own: repaired, or split by entries."""
    repaired: bool = False
    charged: bool = False
    """Counted in the stream's rate already."""
    solo: bool = False
    """In a push without other slices."""
    for_clock: bool = False
    """Held because only Loki's clock refuses it."""
    history: History = NEW
    streams: BatchStreams | None = None
    """The streams of the whole segment; None before it was looked into."""
    sliced: StreamPart | None = None
    """The part as it lies in the segment, while `body` is a copy of just that part."""
    _counted: tuple[tuple[StreamPart, ...], int, int] | None = None

    @property
    def parts(self) -> tuple[StreamPart, ...]:
        """Return the streams as values; empty before the segment was looked into."""
        if self.listed is None and self.streams is not None:
            self.listed = tuple(list_parts(self.streams))
        return self.listed or ()

    @property
    def known(self) -> bool:
        """Return whether the segment was looked into."""
        return self.listed is not None or self.streams is not None

    def labels(self) -> list[str]:
        """Return the streams' labels, without listing the streams for it."""
        if self.listed is None and self.streams is not None:
            return list(self.streams.labels)
        return [part.labels for part in self.parts]

    @property
    def entries(self) -> int:
        return self.ref.segment.entries if self.whole else self._counts()[1]

    @property
    def size(self) -> int:
        """Uncompressed bytes."""
        return self.ref.segment.raw_size if self.whole else self._counts()[2]

    def _counts(self) -> tuple[tuple[StreamPart, ...], int, int]:
        parts = self.parts
        if self._counted is None or self._counted[0] is not parts:
            self._counted = parts, sum(part.entries for part in parts), sum(part.length for part in parts)
        return self._counted

    def slice(self, raw: bytes) -> None:
        """Keep of the segment's bytes only those of this slice's one part, for as long as it is under way."""
        part = self.parts[0]
        self.body = bytes(memoryview(raw)[part.offset : part.offset + part.length])
        self.sliced, self.listed = part, (part._replace(offset=0),)

    def unslice(self) -> None:
        """Refer to the segment on disk again."""
        if self.sliced is not None:
            self.listed, self.body, self.sliced = (self.sliced,), None, None

    def altered(self, body: bytes, *, repaired: bool, history: History | None = None) -> "StreamSlice":
        """Return a slice of the same segment with other bytes."""
        return StreamSlice(
            self.ref,
            tuple(scan(body)),
            whole=False,
            body=body,
            repaired=repaired or self.repaired,
            solo=True,
            history=replace(NEW, doubted_at=(history or self.history).doubted_at),
        )

    def subset(self, parts: tuple[StreamPart, ...], history: History | None = None) -> "StreamSlice":
        """Return a slice with some of the streams of this one."""
        return StreamSlice(
            self.ref, parts, whole=False, body=self.body, repaired=self.repaired,
            history=replace(NEW, doubted_at=(history or self.history).doubted_at),
        )  # fmt: skip

    def alone(self, part: StreamPart) -> "StreamSlice":
        """Return a slice with one of the streams of this one, to go in a push of its own."""
        if self.sliced is not None:
            return StreamSlice(self.ref, (self.sliced,), whole=False, solo=True)
        return StreamSlice(self.ref, (part,), whole=False, body=self.body, repaired=self.repaired, solo=True)


@dataclass(slots=True, eq=False)
class StreamQueue:
    """The slices of one stream that go alone, in order, at the stream's own pace."""

    labels: str
    slices: deque[StreamSlice] = field(default_factory=deque)
    ready_at: float = 0.0
    in_flight: bool = False


@dataclass(slots=True, eq=False)
class PushRequest:
    """What goes to Loki in one push."""

    tenant: str
    slices: list[StreamSlice]
    stream: StreamQueue | None = None
    """The queue whose head this is."""
    planned: bool = False
    fresh: bool = False
    """Overtakes the backlog."""
    new: set[str] = field(default_factory=set)
    """Streams that Loki may not have yet."""
    ready_at: float = 0.0
    _labels: frozenset[str] | None = None

    @property
    def created_ms(self) -> int:
        return min((one.ref.segment.created_ms for one in self.slices), default=NEVER)

    @property
    def oldest_ns(self) -> int:
        return min((one.ref.segment.oldest_ns for one in self.slices), default=NEVER)

    @property
    def size(self) -> int:
        """Uncompressed bytes."""
        return sum(one.size for one in self.slices)

    @property
    def entries(self) -> int:
        return sum(one.entries for one in self.slices)

    def carries(self, labels: str) -> bool:
        """Return whether a stream is in it; True while that is not known."""
        if self._labels is None:
            if not all(one.known for one in self.slices):
                return True
            self._labels = frozenset(labels for one in self.slices for labels in one.labels())
        return labels in self._labels


Group = tuple[StreamSlice, ...]
"""The slices of one push."""


def in_two(slices: Sequence[StreamSlice], history: Sequence[History] = ()) -> tuple[Group, Group] | None:
    """Return the slices in two groups with half of their streams each; None if there is but one stream."""
    if len(slices) > 1:
        middle = len(slices) // 2
        return tuple(slices[:middle]), tuple(slices[middle:])
    one, parts = slices[0], slices[0].parts
    if len(parts) < 2:
        return None
    middle = len(parts) // 2
    known = history[0] if history else None
    return (one.subset(parts[:middle], known),), (one.subset(parts[middle:], known),)


class RawCache:
    """The segments uncompressed last, for streams of one segment that go one after the other."""

    def __init__(self) -> None:
        self._kept: dict[int, bytes] = {}
        self._size = 0
        self._lock = threading.Lock()

    def get(self, sequence: int) -> bytes | None:
        with self._lock:
            raw = self._kept.pop(sequence, None)
            if raw is not None:
                self._kept[sequence] = raw  # used last
            return raw

    def put(self, sequence: int, raw: bytes) -> None:
        with self._lock:
            if sequence not in self._kept and len(raw) <= _KEPT_RAW:
                self._kept[sequence] = raw
                self._size += len(raw)
            while self._size > _KEPT_RAW:
                self._size -= len(self._kept.pop(next(iter(self._kept))))

    def clear(self) -> None:
        """Free the memory, when nothing waits."""
        with self._lock:
            self._kept.clear()
            self._size = 0


class Opener:
    """Looks into segments that nobody remembers, one at a time and in the same memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._raw = bytearray()

    def streams(self, compressed: bytes) -> BatchStreams:
        """Return what is in a raw snappy block. Raise MalformedPush, DecompressionError."""
        with self._lock:
            size = cramjam.snappy.decompress_raw_len(compressed)
            if size > len(self._raw):
                self._raw = bytearray(size)
            written = cramjam.snappy.decompress_raw_into(compressed, self._raw)
            streams = scan_streams(self._raw, written)
            if size > _KEPT_RAW:
                self._raw = bytearray()
            return streams

    def clear(self) -> None:
        """Free the memory, when nothing waits."""
        with self._lock:
            self._raw = bytearray()


class SegmentBytes:
    """The bytes of a push's slices, in memory while it is under way."""

    def __init__(self) -> None:
        self._compressed: dict[int, bytes] = {}
        self._raw: dict[int, bytes] = {}

    def forget(self, ref: SegmentRef) -> None:
        """Free the bytes of a segment."""
        self._compressed.pop(ref.segment.sequence, None)
        self._raw.pop(ref.segment.sequence, None)

    def put(self, ref: SegmentRef, compressed: bytes) -> None:
        self._compressed[ref.segment.sequence] = compressed

    def raw(self, one: StreamSlice) -> bytes:
        """Return the uncompressed bytes that the offsets of the slice's parts refer to."""
        if one.body is not None:
            return one.body
        sequence = one.ref.segment.sequence
        raw = self._raw.get(sequence)
        if raw is None:
            raw = self._raw[sequence] = bytes(cramjam.snappy.decompress_raw(self._compressed[sequence]))
        return raw

    def block(self, one: StreamSlice) -> bytes:
        """Return the slice as a raw snappy block."""
        if one.whole:
            return self._compressed[one.ref.segment.sequence]
        return compress(select(self.raw(one), one.parts))


def request_body(slices: Sequence[StreamSlice], data: SegmentBytes, *, json: bool, merged: bool) -> bytes:
    """Return the slices as one body: a raw snappy block, or JSON.

    `merged`: all are of one stream and go as one stream, for Loki answers for the last one only.
    """
    if merged and len(slices) > 1:
        parts = [(data.raw(one), part) for one in slices for part in one.parts]
        body = merge(parts[0][1].labels, parts)
        return encode_json(body, scan(body)) if json else compress(body)
    if not json:
        return join_blocks([data.block(one) for one in slices])
    body = b"".join(select(data.raw(one), one.parts) for one in slices)
    return encode_json(body, scan(body))


def compress(body: bytes) -> bytes:
    """Return a raw snappy block."""
    return bytes(cramjam.snappy.compress_raw(body))


def join_blocks(blocks: Sequence[bytes]) -> bytes:
    """Return one raw snappy block that holds what the blocks hold, one after the other."""
    if len(blocks) == 1:
        return blocks[0]
    total, contents = 0, []
    for block in blocks:
        size, start = _preamble(block)
        total += size
        contents.append(memoryview(block)[start:])
    return b"".join([_varint(total), *contents])


def _preamble(block: bytes) -> tuple[int, int]:
    """Uncompressed size, and where the elements start."""
    size = shift = at = 0
    while True:
        byte = block[at]
        size |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return size, at


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def in_chunks(one: StreamSlice, raw: bytes, part: StreamPart, largest: int) -> Iterable[StreamSlice]:
    """Yield the entries of one stream in slices of at most `largest` bytes, as far as single entries allow."""
    pending = [(raw, part)]
    while pending:
        body, rest = pending.pop(0)
        pair = halves(body, rest) if rest.length > largest else None
        if pair is None:
            yield one.altered(select(body, [rest]), repaired=False)
        else:
            pending[:0] = [(half, scan(half)[0]) for half in pair]
