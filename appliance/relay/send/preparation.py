"""What happens to a parcel before it is pushed: read, judged by the limits, mended, cut to size.

After this everything left in the parcel may go in one push; the rest waits in queues by stream.
"""

import itertools
from collections.abc import Iterable

import cramjam

from appliance.relay.loki.push_format import MalformedPush, StreamPart, encode_raw, raw_entries, scan
from appliance.relay.loki.rejections import Reason
from appliance.relay.send.errand import Errand
from appliance.relay.send.repair import Bounds, out_of_time, restamp
from appliance.relay.send.request import Parcel, Piece, in_chunks
from appliance.relay.send.sorting import with_labels
from appliance.relay.send.stats import add
from appliance.relay.send.stream_limits import Need, Plan
from appliance.relay.spool.spool import SegmentUnreadable


class Preparation(Errand):
    """The steps before the push."""

    def _load(self) -> None:
        """Read what the parcel carries; a segment that cannot be read is set aside."""
        loaded: set[int] = set()
        for piece in list(self._parcel.pieces):
            segment = piece.carriage.segment
            if not self._shared.spool.holds(segment):  # given up meanwhile, and counted as such
                self._leave_out(piece)
                continue
            if piece.body is not None or segment.sequence in loaded:
                continue
            if self._parcel.held is not None and (raw := self._shared.raw.get(segment.sequence)) is not None:
                piece.slice(raw)
                continue
            try:
                found = self._shared.spool.load(segment)
                self._cargo.put(piece.carriage, found.compressed)
                if not piece.known:
                    piece.streams = found.streams or self._shared.opener.streams(found.compressed)
                if self._parcel.held is not None:
                    # Pieces of many segments may go together; only what goes is kept in memory.
                    raw = self._cargo.raw(piece)
                    self._shared.raw.put(segment.sequence, raw)
                    piece.slice(raw)
                    self._cargo.forget(piece.carriage)
                else:
                    loaded.add(segment.sequence)
            except (SegmentUnreadable, MalformedPush, cramjam.DecompressionError) as error:
                self._shared.spool.set_aside(segment, str(error))
                self._leave_out(piece)

    def _leave_out(self, piece: Piece) -> None:
        """The segment of this piece is no more."""
        with self._shared.lock:
            if self._parcel.held is not None:
                self._tenant.take_out(Parcel(self._tenant.name, [piece], held=self._parcel.held))
            self._parcel.pieces.remove(piece)

    def _plan(self) -> None:
        """Keep in the parcel what may go as it is; the rest queues by stream."""
        parcel, tenant, shared = self._parcel, self._tenant, self._shared
        with shared.lock:
            if tenant.settling:
                self._put_back()
                return
            now, now_ns = shared.clock(), shared.now_ns()
            # Most segments go as they are: those are not even listed.
            closer = list(
                itertools.dropwhile(
                    lambda piece: (
                        piece.streams is not None
                        and tenant.limits.charge_whole(piece.streams, now, now_ns, tenant.held)
                    ),
                    parcel.pieces,
                )
            )
            owner = [(part, piece) for piece in closer for part in piece.parts]
            plan = tenant.limits.plan((p for p, _ in owner), now, now_ns, tenant.held, self._busy)
            parcel.new = plan.new
            parcel.planned = True
        if plan.odd:
            self._set_odd_apart(plan, {id(part): piece for part, piece in owner})
        self._bound_size()

    def _busy(self, labels: str) -> bool:
        """Whether a push that is not answered yet keeps the stream from going; a fresh parcel goes beside it."""
        return not self._parcel.fresh and self._tenant.busy(labels)

    def _set_odd_apart(self, plan: Plan, owner: dict[int, Piece]) -> None:
        parcel = self._parcel
        # The last place is for a new stream, if there is one: then the answer tells whether Loki has room.
        last = next(
            (
                part
                for part, need in plan.odd
                if need is Need.LAST and owner[id(part)] is parcel.pieces[-1] and not plan.new
            ),
            None,
        )
        queued: list[tuple[str, list[Piece]]] = []
        joining: list[Piece] = []
        together = last is None and self._shared.clock() >= self._tenant.limits.contradicted_until
        leaving: dict[int, set[int]] = {}
        for part, need in plan.odd:
            if part is not last:
                piece = owner[id(part)]
                for labels, pieces in self._odd_pieces(piece, part, need):
                    if together and need is Need.MEND and pieces[0].mended:
                        joining.extend(pieces)
                    else:
                        queued.append((labels, pieces))
                leaving.setdefault(id(piece), set()).add(part.offset)
        with self._shared.lock:
            mended, apart = self._joined(joining)
            now = self._shared.clock()
            for labels, pieces in [*apart, *queued]:
                for piece in pieces:
                    piece.carriage.pieces += 1
                self._tenant.queue(labels, pieces, now)
            kept = []
            for piece in parcel.pieces:
                if piece.listed is None:
                    kept.append(piece)
                    continue
                gone = leaving.get(id(piece), set())
                parts = tuple(p for p in piece.parts if p.offset not in gone and p is not last)
                if last is not None and piece is parcel.pieces[-1]:
                    parts = (*parts, last)
                if not parts:
                    self._taken(piece.carriage)
                    continue
                if parts != piece.parts:
                    piece.parts, piece.whole = parts, False
                kept.append(piece)
            parcel.pieces = [*kept, *mended]

    def _joined(self, mended: list[Piece]) -> tuple[list[Piece], list[tuple[str, list[Piece]]]]:
        """Mended streams that may go with this push, after all others, and those that have to queue."""
        parcel, shared, tenant = self._parcel, self._shared, self._tenant
        owner = {id(part): piece for piece in mended for part in piece.parts}
        parts = (part for piece in mended for part in piece.parts)
        plan = tenant.limits.plan(parts, shared.clock(), shared.now_ns(), tenant.held, self._busy)
        parcel.new |= plan.new
        apart = {id(owner[id(part)]) for part, _ in plan.odd}
        going = [piece for piece in mended if id(piece) not in apart]
        for piece in going:
            piece.carriage.pieces += 1
        return going, [(piece.parts[0].labels, [piece]) for piece in mended if id(piece) in apart]

    def _odd_pieces(self, piece: Piece, part: StreamPart, need: Need) -> Iterable[tuple[str, list[Piece]]]:
        raw = self._cargo.raw
        if need is Need.MEND:
            body = self._mended(piece, raw(piece), part)
            if body is not None:
                yield part.labels, [piece.altered(body, mended=True)]
                return
        if need is Need.REDUCE:
            reduction = self._tenant.limits.reduction(part.labels)
            if reduction is not None:
                labels, body = with_labels(raw(piece), part, *reduction)
                with self._shared.lock:
                    add(self._shared.stats.mutated, str(Reason.STREAM_LIMIT), part.entries)
                    add(self._shared.stats.mutated_bytes, str(Reason.STREAM_LIMIT), part.length)
                yield labels, [piece.altered(body, mended=False)]
                return
        if part.length > self._tenant.limits.largest_part and part.entries > 1:
            yield part.labels, list(in_chunks(piece, raw(piece), part, self._tenant.limits.largest_part))
            return
        yield part.labels, [Piece(piece.carriage, (part,), whole=False, charged=need is Need.LAST)]

    def _bound_size(self) -> None:
        """Let the parcel be as large as Loki takes; what is over goes in parcels of its own."""
        parcel, tenant = self._parcel, self._tenant
        if not parcel.pieces:
            return
        room = tenant.room(parcel.size, parcel.entries)
        if tenant.body_limit < float("inf"):
            compressed = sum(len(self._cargo.block(piece)) for piece in parcel.pieces)
            room = min(room, parcel.size * tenant.body_limit / max(compressed, 1))
        waiting = [parcel]
        whole: list[Parcel] = []
        with self._shared.lock:
            while waiting:
                one = waiting.pop()
                pair = one.split() if one.size > room else None
                if pair is None:
                    whole.append(one)
                else:
                    waiting.extend(reversed(pair))
            if len(whole) > 1:
                parcel.pieces = whole[0].pieces
                tenant.retry.extend(whole[1:])

    def _put_new_last(self) -> None:
        """Let a new stream be the last of the push, for whose answer Loki has looked at its room for streams.

        Loki makes streams in the order of the push: if there was room for the last, there was for all.
        """
        pieces, new = self._parcel.pieces, self._parcel.new
        if not new or not (final := pieces[-1].parts) or final[-1].labels in new:
            return
        labels = next((p.labels for piece in reversed(pieces) for p in piece.parts if p.labels in new), None)
        if labels is None:
            return
        moved: list[Piece] = []
        with self._shared.lock:
            for piece in list(pieces):
                mine = tuple(part for part in piece.parts if part.labels == labels)
                others = tuple(part for part in piece.parts if part.labels != labels)
                if not mine:
                    continue
                if piece is pieces[-1] and not moved:
                    piece.parts, piece.whole = (*others, *mine), False
                    return
                if others:
                    piece.carriage.pieces += 1
                    moved.append(Piece(piece.carriage, mine, whole=False, body=piece.body, mended=piece.mended))
                    piece.parts, piece.whole = others, False
                else:
                    pieces.remove(piece)
                    moved.append(piece)
            pieces.extend(moved)

    def _mend_held(self) -> None:
        """Mend what has waited so long that Loki would now refuse it."""
        bounds = Bounds.of(self._shared.loki.limits, self._shared.now_ns(), 0.05)
        for piece in self._parcel.pieces:
            for part in piece.parts:
                with self._shared.lock:
                    behind = self._tenant.limits.too_far_behind(part)
                if (
                    behind or part.oldest_ns < bounds.oldest_ns or part.newest_ns > bounds.newest_ns
                ) and not piece.mended:
                    body = self._mended(piece, self._cargo.raw(piece), part)
                    if body is not None:
                        piece.body, piece.parts, piece.whole, piece.mended = body, tuple(scan(body)), False, True
                        piece.sliced = None
        with self._shared.lock:
            now, now_ns = self._shared.clock(), self._shared.now_ns()
            for piece in self._parcel.pieces:
                if not piece.charged:
                    piece.charged = True
                    for part in piece.parts:
                        self._tenant.limits.charge(part, now, now_ns)

    def _mended(self, piece: Piece, raw: bytes, part: StreamPart) -> bytes | None:
        """The part with the time stamps replaced that Loki would refuse; None if there are none."""
        bounds = Bounds.of(self._shared.loki.limits, self._shared.now_ns(), 0.1)
        with self._shared.lock:
            newest = self._tenant.limits.newest_ns(part.labels)
        edge = newest - self._tenant.limits.behind_ns
        stamp = self._stamp(piece, newest)
        counted: dict[str, int] = {}
        entries: list[bytes] = []
        for entry in raw_entries(raw, part):
            reason = out_of_time(entry.timestamp_ns, bounds, edge if newest else 0)
            if reason is None:
                entries.append(entry.field)
                continue
            add(counted, str(reason))
            entries.append(restamp(entry, bounds, stamp + sum(counted.values()), reason))
        if not counted:
            return None
        with self._shared.lock:
            for reason_name, number in counted.items():
                add(self._shared.stats.repaired, reason_name, number)
        return encode_raw(part.labels, entries)
