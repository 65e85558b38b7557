"""What follows from verdicts about single streams and entries of a push, of which the rest was stored.

Which entries were refused is found out in `send/sorting.py`; here they are sent again, mended or later,
or kept as dead letters, and what was learnt is remembered.
"""

from appliance.relay.loki.push_format import StreamPart, entries_of
from appliance.relay.loki.rejections import Reason
from appliance.relay.loki.response import Answer, Judgement
from appliance.relay.send.request import Piece, in_chunks
from appliance.relay.send.settlement import Settlement
from appliance.relay.send.sorting import Rules, Sorted, Sorter
from appliance.relay.send.stats import add

_NO_ROOM = 60.0
"""Seconds between tries for a stream that Loki has no room for."""


class VerdictSettlement(Settlement):
    """The settlement of a push that was stored in part."""

    def _partial(self, judgement: Judgement, answer: Answer) -> None:
        parcel, shared, tenant = self._parcel, self._shared, self._tenant
        streams = {part.labels for piece in parcel.pieces for part in piece.parts}
        edge = self._too_new_edge(judgement)
        rules = Rules(shared.loki.limits, self._pushed_ns, shared.drop_order, edge)
        with shared.lock:
            now = shared.clock()
            sorter = Sorter(judgement.verdicts, streams, parcel.new, tenant.limits, now, rules)
            for verdict in judgement.verdicts:
                tenant.limits.learn_bound(verdict)
            for verdict, named in sorter.named.items():
                for labels in named:
                    if verdict.reason is Reason.TOO_FAR_BEHIND:
                        tenant.limits.learn_cutoff(labels, verdict.cutoff_ns, now)
                    elif verdict.reason is Reason.STREAM_RATE:
                        tenant.limits.learn_rate(labels, verdict.limit, now)
                    elif verdict.reason is Reason.STREAM_LIMIT:
                        tenant.limits.learn_no_room(now)
                        tenant.limits.forget(labels)
            if all(verdict.reason is not Reason.STREAM_LIMIT for verdict in judgement.verdicts):
                self._confirm_new()
        all_parts = [(self._cargo.raw(piece), part) for piece in parcel.pieces for part in piece.parts]
        sorter.note_late(all_parts, merged=parcel.held is not None)
        sorted_pieces: list[tuple[Piece, Sorted]] = []
        for piece in parcel.pieces:
            newest = max((tenant.limits.newest_ns(part.labels) for part in piece.parts), default=0)
            stamp = self._stamp(piece, newest)
            found = sorter.sort(self._cargo.raw(piece), piece.parts, mended=piece.mended, stamp_ns=stamp)
            sorted_pieces.append((piece, found))
        if any(found.refused for _, found in sorted_pieces):
            self._bury(
                [(piece.carriage, labels, entry, str(reason)) for piece, found in sorted_pieces
                 for labels, entry, reason in found.dead],
                answer,
            )  # fmt: skip
            self._settle_sorted(sorted_pieces)
        else:
            self._take_apart(answer, str(judgement.verdicts[0].reason))

    def _too_new_edge(self, judgement: Judgement) -> int:
        """The newest time stamp that Loki took, when it refused as many as it says for being too new."""
        refused = sum(verdict.ignored for verdict in judgement.verdicts if verdict.reason is Reason.TOO_NEW)
        if not refused:
            return 0
        stamps = sorted(
            entry.timestamp_ns
            for piece in self._parcel.pieces
            for part in piece.parts
            if part.newest_ns > self._pushed_ns
            for entry in entries_of(self._cargo.raw(piece), part)
        )
        return stamps[-refused] - 1 if len(stamps) >= refused else 0

    def _settle_sorted(self, sorted_pieces: list[tuple[Piece, Sorted]]) -> None:
        parcel, shared, tenant = self._parcel, self._shared, self._tenant
        with shared.lock:
            now, stats = shared.clock(), shared.stats
            refused = 0
            queues: list[tuple[str, list[Piece], float]] = []
            for piece, found in sorted_pieces:
                for reason, number in found.reasons.items():
                    refused += number
                    add(stats.rejected, str(reason), number)
                    if reason is Reason.STREAM_LIMIT:
                        add(stats.mutated, str(reason), number)
                        add(stats.mutated_bytes, str(reason), sum(len(body) for _, body in found.mended))
                    elif reason is not Reason.STREAM_RATE and found.mended:
                        add(stats.repaired, str(reason), number)
                for length in found.cut:
                    add(stats.mutated, str(Reason.LINE_TOO_LONG))
                    add(stats.mutated_bytes, str(Reason.LINE_TOO_LONG), length)
                for labels, body in found.mended:
                    mended = piece.altered(
                        body, mended=not (found.reduced or found.reasons.keys() <= {Reason.STREAM_LIMIT})
                    )
                    queues.append((labels, [mended], 0.0))
                for before, (after, moved) in found.reduced.items():
                    tenant.limits.reduce(before, after, moved, now)
                for part in found.paced:
                    largest = tenant.limits.largest_part
                    ready = tenant.limits.ready_at(part.labels, min(part.length, largest), now)
                    again = [self._part_of(piece, part)]
                    if part.length > largest and part.entries > 1:
                        again = list(in_chunks(piece, self._cargo.raw(piece), part, largest))
                    queues.append((part.labels, again, max(ready - now, 0.05)))
                queues.extend((part.labels, [self._part_of(piece, part)], 0.0) for part in found.alone)
                queues.extend((part.labels, [self._part_of(piece, part)], _NO_ROOM) for part in found.no_room)
            self._works(parcel.size)
            stats.pushed_entries += max(parcel.entries - refused, 0)
            stats.pushed_bytes += parcel.size
            stats.sent_bytes += self._body_size
            if parcel.held is not None:
                tenant.take_out(parcel)
            for labels, pieces, delay in reversed(queues):
                for piece in pieces:
                    piece.carriage.pieces += 1
                tenant.queue(labels, pieces, now, first=True, delay=delay)
                if parcel.held is not None and labels == parcel.held.labels:
                    self._delay = max(self._delay, delay)
            for piece in parcel.pieces:
                self._taken(piece.carriage)

    def _part_of(self, piece: Piece, part: StreamPart) -> Piece:
        if piece.sliced is not None:
            return Piece(piece.carriage, (piece.sliced,), whole=False, solo=True)
        return Piece(piece.carriage, (part,), whole=False, body=piece.body, mended=piece.mended, solo=True)
