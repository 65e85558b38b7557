"""What one push carries: whole segments, some streams of them, or streams that were mended.

Values and the making of request bodies from them. A segment is done when nothing of it is left in
any parcel. Whole segments go as they lie on disk: raw snappy blocks can be put one after the other,
since their back-references are relative, so that even many small segments are joined unopened.
Source: snappy's format_description.txt.
"""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

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

_NEVER = 1 << 62
"""Later than any time: of a parcel that carries nothing any more."""
_KEPT_RAW = 8 * 2**20


@dataclass(slots=True, eq=False)
class Carriage:
    """A segment that is being sent."""

    segment: Segment
    pieces: int = 1
    """Pieces of it that have not been taken by Loki yet."""
    waiting: int = 0
    """Those of them that wait in the queue of a single stream."""


@dataclass(slots=True, eq=False)
class Piece:
    """Some streams of one segment."""

    carriage: Carriage
    listed: tuple[StreamPart, ...] | None = None
    """The streams, once somebody had to look at them one by one: see `parts`."""
    whole: bool = True
    """The segment's bytes go as they are."""
    body: bytes | None = None
    """Uncompressed streams that stand in place of the segment's own: mended, or split by entries."""
    mended: bool = False
    charged: bool = False
    """Counted in the stream's rate already."""
    solo: bool = False
    """In a push without other pieces."""
    failures: int = 0
    """Pushes that failed without a verdict."""
    tries: int = 0
    """Those of them that were its own: while other pushes succeeded."""
    stored_seen: int = -1
    """How many pushes had succeeded when this last failed."""
    doubted_at: int = -1
    """How many pushes had succeeded when this was first refused without a reason we know."""

    streams: BatchStreams | None = None
    """The streams of the whole segment; None before it was looked into."""
    sliced: StreamPart | None = None
    """The part as it lies in the segment, while `body` is a copy of just that part."""
    _counted: tuple[tuple[StreamPart, ...], int, int] | None = None

    @property
    def parts(self) -> tuple[StreamPart, ...]:
        """The streams as values; empty before the segment was looked into."""
        if self.listed is None and self.streams is not None:
            self.listed = tuple(list_parts(self.streams))
        return self.listed or ()

    @parts.setter
    def parts(self, parts: tuple[StreamPart, ...]) -> None:
        self.listed = parts

    @property
    def known(self) -> bool:
        """Whether the segment was looked into."""
        return self.listed is not None or self.streams is not None

    def labels(self) -> list[str]:
        """The streams' labels, without listing the streams for it."""
        if self.listed is None and self.streams is not None:
            return list(self.streams.labels)
        return [part.labels for part in self.parts]

    @property
    def entries(self) -> int:
        return self.carriage.segment.entries if self.whole else self._counts()[1]

    @property
    def size(self) -> int:
        """Uncompressed bytes."""
        return self.carriage.segment.raw_size if self.whole else self._counts()[2]

    def _counts(self) -> tuple[tuple[StreamPart, ...], int, int]:
        parts = self.parts
        if self._counted is None or self._counted[0] is not parts:
            self._counted = parts, sum(part.entries for part in parts), sum(part.length for part in parts)
        return self._counted

    def slice(self, raw: bytes) -> None:
        """Keep of the segment's bytes only those of this piece's one part, for as long as it is under way."""
        part = self.parts[0]
        self.body = bytes(memoryview(raw)[part.offset : part.offset + part.length])
        self.sliced, self.listed = part, (part._replace(offset=0),)

    def unslice(self) -> None:
        """Refer to the segment on disk again."""
        if self.sliced is not None:
            self.listed, self.body, self.sliced = (self.sliced,), None, None

    def altered(self, body: bytes, *, mended: bool) -> "Piece":
        """A piece of the same segment with other bytes."""
        parts = tuple(scan(body))
        mended = mended or self.mended
        return Piece(self.carriage, parts, whole=False, body=body, mended=mended, solo=True, doubted_at=self.doubted_at)


@dataclass(slots=True, eq=False)
class HeldStream:
    """The pieces of one stream that go alone, in order, at the stream's own pace."""

    labels: str
    pieces: deque[Piece] = field(default_factory=deque)
    ready_at: float = 0.0
    in_flight: bool = False


@dataclass(slots=True, eq=False)
class Parcel:
    """One push."""

    tenant: str
    pieces: list[Piece]
    held: HeldStream | None = None
    """The queue whose head this is."""
    planned: bool = False
    fresh: bool = False
    """Overtakes the backlog."""
    new: set[str] = field(default_factory=set)
    """Streams that Loki may not have yet."""
    refusals: int = 0
    """Times that the tenant's rate stood in the way."""
    ready_at: float = 0.0
    _labels: frozenset[str] | None = None

    @property
    def created_ms(self) -> int:
        return min((piece.carriage.segment.created_ms for piece in self.pieces), default=_NEVER)

    @property
    def oldest_ns(self) -> int:
        return min((piece.carriage.segment.oldest_ns for piece in self.pieces), default=_NEVER)

    @property
    def size(self) -> int:
        return sum(piece.size for piece in self.pieces)

    @property
    def entries(self) -> int:
        return sum(piece.entries for piece in self.pieces)

    def carries(self, labels: str) -> bool:
        """Whether a stream is in it; True while that is not known."""
        if self._labels is None:
            if not all(piece.known for piece in self.pieces):
                return True
            self._labels = frozenset(labels for piece in self.pieces for labels in piece.labels())
        return labels in self._labels

    def split(self) -> "list[Parcel] | None":
        """Two parcels with half of its streams each; None if it carries but one."""
        if len(self.pieces) > 1:
            middle = len(self.pieces) // 2
            groups = [self.pieces[:middle], self.pieces[middle:]]
        else:
            piece = self.pieces[0]
            parts = piece.parts
            if len(parts) < 2:
                return None
            middle = len(parts) // 2
            piece.carriage.pieces += 1
            groups = [[_subset(piece, parts[:middle])], [_subset(piece, parts[middle:])]]
        return [Parcel(self.tenant, group, planned=True, new=self.new) for group in groups]


def _subset(piece: Piece, parts: tuple[StreamPart, ...]) -> Piece:
    return Piece(piece.carriage, parts, whole=False, body=piece.body, mended=piece.mended, doubted_at=piece.doubted_at)


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
        """What is in a raw snappy block. Raises MalformedPush, DecompressionError."""
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


class Cargo:
    """The bytes of a parcel's pieces, in memory while it is under way."""

    def __init__(self) -> None:
        self._compressed: dict[int, bytes] = {}
        self._raw: dict[int, bytes] = {}

    def forget(self, carriage: Carriage) -> None:
        """Free the bytes of a segment."""
        self._compressed.pop(carriage.segment.sequence, None)
        self._raw.pop(carriage.segment.sequence, None)

    def put(self, carriage: Carriage, compressed: bytes) -> None:
        self._compressed[carriage.segment.sequence] = compressed

    def raw(self, piece: Piece) -> bytes:
        """The uncompressed bytes that the offsets of the piece's parts refer to."""
        if piece.body is not None:
            return piece.body
        sequence = piece.carriage.segment.sequence
        raw = self._raw.get(sequence)
        if raw is None:
            raw = self._raw[sequence] = bytes(cramjam.snappy.decompress_raw(self._compressed[sequence]))
        return raw

    def block(self, piece: Piece) -> bytes:
        """The piece as a raw snappy block."""
        if piece.whole:
            return self._compressed[piece.carriage.segment.sequence]
        return compress(select(self.raw(piece), piece.parts))


def request_body(pieces: Sequence[Piece], cargo: Cargo, *, json: bool, merged: bool) -> bytes:
    """The pieces as one body: a raw snappy block, or JSON.

    `merged`: all are of one stream and go as one stream, for Loki answers for the last one only.
    """
    if merged and len(pieces) > 1:
        parts = [(cargo.raw(piece), part) for piece in pieces for part in piece.parts]
        body = merge(parts[0][1].labels, parts)
        return encode_json(body, scan(body)) if json else compress(body)
    if not json:
        return join_blocks([cargo.block(piece) for piece in pieces])
    body = b"".join(select(cargo.raw(piece), piece.parts) for piece in pieces)
    return encode_json(body, scan(body))


def compress(body: bytes) -> bytes:
    """A raw snappy block."""
    return bytes(cramjam.snappy.compress_raw(body))


def join_blocks(blocks: Sequence[bytes]) -> bytes:
    """One raw snappy block that holds what the blocks hold, one after the other."""
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


def in_chunks(piece: Piece, raw: bytes, part: StreamPart, largest: int) -> Iterable[Piece]:
    """The entries of one stream in pieces of at most `largest` bytes, as far as single entries allow."""
    pending = [(raw, part)]
    while pending:
        body, one = pending.pop(0)
        pair = halves(body, one) if one.length > largest else None
        if pair is None:
            yield piece.altered(select(body, [one]), mended=False)
        else:
            pending[:0] = [(half, scan(half)[0]) for half in pair]
