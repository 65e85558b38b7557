"""One parcel's way to Loki and what follows from the answer: stored, later, smaller, mended, dead.

Runs in a sender's thread. What is shared between threads (`Shared`) is touched under its lock;
reading the spool, mending and pushing are done without it. Which parcel goes when is `tenant.py`,
threads and waiting are `sender.py`.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import cramjam

from appliance.config import model
from appliance.relay.answers import Answer, Failure, Judgement, Kind, judge
from appliance.relay.dead_letter import DeadLetter, DeadLetters
from appliance.relay.limits import Need, Plan
from appliance.relay.logproto import Entry, MalformedPush, StreamPart, encode_stream, entries_of, halves, scan
from appliance.relay.loki_client import LokiClient
from appliance.relay.pace import Backoff
from appliance.relay.parcel import Cargo, Carriage, Parcel, Piece, in_chunks, request_body
from appliance.relay.repair import Bounds, broken, cut, mend, mend_labels
from appliance.relay.sender_stats import Histogram, LastError, SenderStats, add
from appliance.relay.sorting import Rules, Sorted, Sorter, with_labels
from appliance.relay.spool import SegmentUnreadable, Spool
from appliance.relay.tenant import Tenant
from appliance.relay.verdicts import Reason

log = logging.getLogger(__name__)

HOLD = 30.0
"""Seconds between tries while the configuration is wrong."""
_NO_ROOM = 60.0
"""Seconds between tries for a stream that Loki has no room for."""
_MAX_REFUSALS = 40
"""Pushes refused in a row, for reasons not understood, before the configuration is suspected."""
_ENTRY_TRIES = 3
_SPLIT_AFTER = 8
"""Failures of one push, while others succeed, before it is taken apart."""
_GIVE_UP_AFTER = 50
"""The same for a push of a single entry."""
_SMALL = 64 * 1024
"""Bytes of an entry that nothing can honestly call too large."""
_KIND_429 = {Reason.STREAM_RATE: "stream", Reason.STREAM_LIMIT: "streams"}


@dataclass(slots=True)
class Shared:
    """What all threads of a sender share."""

    loki: model.Loki
    client: LokiClient
    spool: Spool
    dead_letters: DeadLetters
    drop_order: Sequence[str]
    backoff: Backoff
    now: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    lock: threading.RLock = field(default_factory=threading.RLock)
    stats: SenderStats = field(default_factory=SenderStats)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    stored: int = 0
    """Pushes that Loki took."""
    refused_in_a_row: int = 0

    def now_ns(self) -> int:
        return int(self.now() * 1e9)


class Delivery:
    """One parcel under way."""

    def __init__(self, shared: Shared, tenant: Tenant, parcel: Parcel) -> None:
        self._shared, self._tenant, self._parcel = shared, tenant, parcel
        self._cargo = Cargo()
        self._done: list[Carriage] = []
        self._delay = 0.0
        """Seconds after which the rest of a held stream goes on."""
        self._client = shared.client
        self._body_size = 0
        self._pushed_ns = 0

    def run(self) -> None:
        """Deliver; whatever happens, every piece is then taken, waiting again, or a dead letter."""
        parcel = self._parcel
        try:
            self._load()
            if parcel.pieces and not parcel.planned:
                self._plan()
            if parcel.held is not None:
                self._mend_held()
            if parcel.pieces:
                self._push()
        except BaseException:
            self._delay = HOLD
            raise
        finally:
            with self._shared.lock:
                self._tenant.landed(parcel, self._shared.clock(), delay=self._delay)
            self._remove_done()

    # ---- from the spool ------------------------------------------------------------------------

    def _load(self) -> None:
        """Read what the parcel carries; a segment that cannot be read is set aside."""
        loaded: set[int] = set()
        for piece in list(self._parcel.pieces):
            segment = piece.carriage.segment
            if piece.body is not None or segment.sequence in loaded:
                continue
            try:
                found = self._shared.spool.load(segment)
                self._cargo.put(piece.carriage, found.compressed)
                if piece.parts is None:
                    piece.parts = found.parts if found.parts is not None else tuple(scan(self._cargo.raw(piece)))
                loaded.add(segment.sequence)
            except (SegmentUnreadable, MalformedPush, cramjam.DecompressionError) as error:
                log.error("a segment of the spool cannot be read and is set aside", extra={"reason": str(error)})
                self._shared.spool.set_aside(segment, str(error))
                with self._shared.lock:
                    if self._parcel.held is not None:
                        self._tenant.take_out(Parcel(self._tenant.name, [piece], held=self._parcel.held))
                    self._parcel.pieces.remove(piece)

    def _plan(self) -> None:
        """Keep in the parcel what may go as it is; the rest queues by stream."""
        parcel, tenant, shared = self._parcel, self._tenant, self._shared
        owner = [(part, piece) for piece in parcel.pieces for part in piece.parts or ()]
        with shared.lock:
            busy: Callable[[str], bool] = (lambda labels: False) if parcel.fresh else tenant.busy
            plan = tenant.limits.plan((p for p, _ in owner), shared.clock(), shared.now_ns(), tenant.held, busy)
            parcel.new = plan.new
            parcel.planned = True
        if plan.odd:
            self._set_odd_apart(plan, {id(part): piece for part, piece in owner})
        self._bound_size()

    def _set_odd_apart(self, plan: Plan, owner: dict[int, Piece]) -> None:
        parcel = self._parcel
        last = next(
            (part for part, need in plan.odd if need is Need.LAST and owner[id(part)] is parcel.pieces[-1]), None
        )
        queued: list[tuple[str, list[Piece]]] = []
        leaving: dict[int, set[int]] = {}
        for part, need in plan.odd:
            if part is not last:
                piece = owner[id(part)]
                queued.extend(self._odd_pieces(piece, part, need))
                leaving.setdefault(id(piece), set()).add(part.offset)
        with self._shared.lock:
            now = self._shared.clock()
            for labels, pieces in queued:
                for piece in pieces:
                    piece.carriage.pieces += 1
                self._tenant.queue(labels, pieces, now)
            kept = []
            for piece in parcel.pieces:
                gone = leaving.get(id(piece), set())
                parts = tuple(p for p in piece.parts or () if p.offset not in gone and p is not last)
                if last is not None and piece is parcel.pieces[-1]:
                    parts = (*parts, last)
                if not parts:
                    self._taken(piece.carriage)
                    continue
                if parts != piece.parts:
                    piece.parts, piece.whole = parts, False
                kept.append(piece)
            parcel.pieces = kept

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
                    add(self._shared.stats.mutated, "streams", part.entries)
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

    # ---- mending beforehand --------------------------------------------------------------------

    def _mend_held(self) -> None:
        """Mend what has waited so long that Loki would now refuse it."""
        bounds = Bounds.of(self._shared.loki.limits, self._shared.now_ns(), 0.05)
        for piece in self._parcel.pieces:
            for part in piece.parts or ():
                with self._shared.lock:
                    behind = self._tenant.limits.too_far_behind(part)
                if (
                    behind or part.oldest_ns < bounds.oldest_ns or part.newest_ns > bounds.newest_ns
                ) and not piece.mended:
                    body = self._mended(piece, self._cargo.raw(piece), part)
                    if body is not None:
                        piece.body, piece.parts, piece.whole, piece.mended = body, tuple(scan(body)), False, True
        with self._shared.lock:
            now, now_ns = self._shared.clock(), self._shared.now_ns()
            for piece in self._parcel.pieces:
                if not piece.charged:
                    piece.charged = True
                    for part in piece.parts or ():
                        self._tenant.limits.charge(part, now, now_ns)

    def _mended(self, piece: Piece, raw: bytes, part: StreamPart) -> bytes | None:
        """The part with the time stamps replaced that Loki would refuse; None if there are none."""
        bounds = Bounds.of(self._shared.loki.limits, self._shared.now_ns(), 0.1)
        with self._shared.lock:
            newest = self._tenant.limits.newest_ns(part.labels)
        edge = newest - self._tenant.limits.behind_ns
        stamp = self._stamp(piece, newest)
        entries = entries_of(raw, part)
        counted: dict[str, int] = {}
        for index, entry in enumerate(entries):
            reason = broken(entry, bounds)
            word = Reason.TOO_FAR_BEHIND if reason is None and newest and entry.timestamp_ns < edge else None
            if word or reason in (Reason.TOO_OLD, Reason.TOO_NEW):
                add(counted, str(word or reason))
                entries[index] = mend(entry, bounds, stamp + sum(counted.values()), str(word) if word else "")
        if not counted:
            return None
        with self._shared.lock:
            for reason_name, number in counted.items():
                add(self._shared.stats.repaired, reason_name, number)
        return encode_stream(part.labels, entries)

    def _stamp(self, piece: Piece, newest_ns: int) -> int:
        """The time stamp for entries whose own is refused: when they were received, as near as Loki takes it."""
        now_ns = self._shared.now_ns()
        limits = self._shared.loki.limits
        received = piece.carriage.segment.created_ms * 1_000_000
        if received < now_ns - round(limits.oldest * 0.8e9):
            received = now_ns
        return min(max(received, newest_ns - self._tenant.limits.behind_ns // 2), max(now_ns, newest_ns))

    # ---- the push ------------------------------------------------------------------------------

    def _push(self) -> None:
        parcel, shared = self._parcel, self._shared
        body = request_body(parcel.pieces, self._cargo, json=shared.loki.encoding == "json")
        self._body_size = len(body)
        self._pushed_ns = shared.now_ns()
        with shared.lock:
            self._tenant.pace.charge(parcel.size, shared.clock())
        answer = self._client.push(body, parcel.tenant, json=shared.loki.encoding == "json")
        judgement = judge(answer, shared.now())
        with shared.lock:
            if answer.failure is not Failure.STOPPED:
                self._count(answer, judgement)
        self._settle(answer, judgement)

    def _count(self, answer: Answer, judgement: Judgement) -> None:
        stats = self._shared.stats
        stats.pushes += 1
        stats.encoded_bytes += self._body_size
        if self._parcel.tries or self._parcel.refusals or any(piece.tries for piece in self._parcel.pieces):
            stats.retries += 1
        add(stats.status_codes, answer.code)
        stats.request_seconds.setdefault(answer.code, Histogram()).observe(answer.seconds)
        if judgement.kind is Kind.TENANT_RATE:
            add(stats.rate_limited, "tenant")
        for kind in {_KIND_429[v.reason] for v in judgement.verdicts if v.reason in _KIND_429}:
            add(stats.rate_limited, kind)
        if judgement.kind is not Kind.STORED:
            stats.last_error = LastError(self._shared.now(), answer.code, judgement.cause, judgement.remedy)
            level = logging.ERROR if judgement.kind is Kind.CONFIGURATION else logging.WARNING
            log.log(
                level,
                "Loki did not take a push",
                extra={"key": str(judgement.kind), "cause": judgement.cause, "remedy": judgement.remedy},
            )

    def _settle(self, answer: Answer, judgement: Judgement) -> None:
        match judgement.kind:
            case Kind.STORED:
                self._stored()
            case Kind.PARTIAL:
                self._partial(judgement, answer)
            case Kind.TENANT_RATE:
                self._too_fast(judgement)
            case Kind.TOO_LARGE:
                self._too_large(judgement, answer)
            case Kind.REFUSED:
                self._refused(judgement, answer)
            case Kind.CONFIGURATION:
                self._hold()
            case Kind.RETRY:
                self._later(answer, judgement)

    def _stored(self) -> None:
        parcel, shared, tenant = self._parcel, self._shared, self._tenant
        with shared.lock:
            self._works(parcel.size)
            shared.stats.pushed_entries += parcel.entries
            shared.stats.pushed_bytes += parcel.size
            shared.stats.sent_bytes += self._body_size
            if parcel.held is not None:
                tenant.take_out(parcel)
                for piece in parcel.pieces:
                    for part in piece.parts or ():
                        tenant.limits.confirm(part)
            for piece in parcel.pieces:
                self._taken(piece.carriage)

    def _works(self, size: int) -> None:
        """Loki answered and stored something."""
        shared = self._shared
        shared.stored += 1
        shared.refused_in_a_row = 0
        shared.backoff.succeeded()
        self._tenant.hold_until = 0.0
        self._tenant.pace.stored(size, shared.clock())
        shared.stats.last_success = shared.now()

    def _taken(self, carriage: Carriage) -> None:
        carriage.pieces -= 1
        if carriage.pieces == 0:
            self._done.append(carriage)

    def _remove_done(self) -> None:
        for carriage in self._done:
            try:
                self._shared.spool.remove(carriage.segment)
            except OSError as error:
                log.error("a segment that was sent cannot be removed", extra={"reason": error.strerror})
        self._done.clear()

    # ---- not now -------------------------------------------------------------------------------

    def _put_back(self, delay: float = 0.0) -> None:
        parcel = self._parcel
        parcel.ready_at = self._shared.clock() + delay
        self._delay = delay
        if parcel.held is None:
            self._tenant.retry.append(parcel)

    def _later(self, answer: Answer, judgement: Judgement) -> None:
        parcel, shared = self._parcel, self._shared
        if answer.failure is Failure.STOPPED:
            with shared.lock:
                self._put_back()
            return
        with shared.lock:
            if answer.failure in (Failure.TIMEOUT, Failure.RESET):
                for piece in parcel.pieces:
                    piece.charged = False  # Loki may have counted it, and will again
            first = parcel.pieces[0]
            others_succeed = 0 <= first.stored_seen < shared.stored
            first.stored_seen = shared.stored
            parcel.tries += 1
            first.tries += others_succeed
            shared.backoff.failed(shared.clock(), judgement.retry_after)
            if answer.failure is not None or not others_succeed or first.tries < _SPLIT_AFTER:
                # Every other time another parcel is tried, lest one that cannot be sent stand before all.
                delay = shared.backoff.until - shared.clock() + (0.2 if parcel.tries % 2 == 0 else 0.0)
                if others_succeed:
                    delay = min(shared.loki.backoff.min * 2.0**first.tries, shared.loki.backoff.max)
                self._put_back(delay)
                return
        # This push alone fails again and again.
        if parcel.entries > 1 or first.tries >= _GIVE_UP_AFTER:
            self._take_apart(answer, "server_error")
        else:
            with shared.lock:
                self._put_back(shared.loki.backoff.max)

    def _too_fast(self, judgement: Judgement) -> None:
        parcel, shared = self._parcel, self._shared
        with shared.lock:
            self._tenant.pace.refused(judgement.limit, judgement.retry_after, shared.clock())
            parcel.refusals += 1
            # A push over the tenant's burst would be refused for ever.
            smaller = parcel.refusals >= 3 and parcel.refusals % 3 == 0 and parcel.entries > 1
            if not smaller:
                self._put_back()
        if smaller:
            self._halve()

    def _hold(self) -> None:
        shared = self._shared
        with shared.lock:
            self._tenant.hold_until = shared.clock() + HOLD
            self._put_back()

    # ---- smaller -------------------------------------------------------------------------------

    def _too_large(self, judgement: Judgement, answer: Answer) -> None:
        parcel, tenant = self._parcel, self._tenant
        with self._shared.lock:
            if judgement.limit:
                tenant.push_limit = max(min(tenant.push_limit, judgement.limit * 0.9), 16384.0)
            elif answer.status == 413 and self._body_size > 32768:
                tenant.body_limit = max(min(tenant.body_limit, self._body_size * 0.75), 16384.0)
        if parcel.entries > 1:
            self._halve()
            return
        piece = parcel.pieces[0]
        if parcel.size < _SMALL or piece.mended:
            with self._shared.lock:
                self._doubt()
            self._single_refused(answer, "too_large")
            return
        part = (piece.parts or ())[0]
        entry = entries_of(self._cargo.raw(piece), part)[0]
        shorter = entry._replace(line=cut(entry.line, max(len(entry.line) // 2, 1024)))
        body = encode_stream(part.labels, [mend(shorter, Bounds(), 0)])
        with self._shared.lock:
            add(self._shared.stats.repaired, "too_large")
            self._replace([(part.labels, [piece.altered(body, mended=len(entry.line) <= 2 * _SMALL)])])

    def _refused(self, judgement: Judgement, answer: Answer) -> None:
        """Nothing was stored, for something that single streams or entries carry."""
        parcel, shared = self._parcel, self._shared
        reason = next((verdict.reason for verdict in judgement.verdicts), None)
        piece = parcel.pieces[0]
        parts = piece.parts or ()
        if reason is Reason.LABEL_SYNTAX and len(parcel.pieces) == len(parts) == 1 and not piece.mended:
            mended = mend_labels(parts[0].labels, shared.loki.limits, shared.drop_order)
            if mended[0] != parts[0].labels:
                labels, body = with_labels(self._cargo.raw(piece), parts[0], *mended)
                with shared.lock:
                    add(shared.stats.rejected, str(reason), parcel.entries)
                    add(shared.stats.repaired, str(reason), parcel.entries)
                    self._replace([(labels, [piece.altered(body, mended=True)])])
                return
        self._take_apart(answer, str(reason or "refused"))

    def _take_apart(self, answer: Answer, reason: str) -> None:
        """Find out by halving which entry it is that is refused without a reason we know."""
        with self._shared.lock:
            self._shared.refused_in_a_row += 1
            self._doubt()
            if self._shared.refused_in_a_row > _MAX_REFUSALS:
                self._hold()
                return
        if self._parcel.entries > 1:
            self._halve()
        elif self._parcel.entries == 1:
            self._single_refused(answer, reason)
        else:
            with self._shared.lock:  # nothing in it that could be lost
                self._replace([])

    def _doubt(self) -> None:
        for piece in self._parcel.pieces:
            if piece.doubted_at < 0:
                piece.doubted_at = self._shared.stored

    def _halve(self) -> None:
        parcel = self._parcel
        with self._shared.lock:
            if parcel.held is None and (pair := parcel.split()) is not None:
                self._tenant.retry.extend(pair)
                return
            if len(parcel.pieces) > 1:  # of one stream
                for piece in parcel.pieces:
                    piece.solo = True
                self._put_back()
                return
        piece = parcel.pieces[0]
        part = (piece.parts or ())[0]
        pair_of_bodies = halves(self._cargo.raw(piece), part)
        assert pair_of_bodies is not None
        pieces = [piece.altered(body, mended=False) for body in pair_of_bodies]
        with self._shared.lock:
            self._replace([(part.labels, pieces)])

    def _replace(self, streams: Iterable[tuple[str, list[Piece]]], delay: float = 0.0) -> None:
        """The parcel's pieces are done; others, of single streams, take their place before what waits."""
        parcel, now = self._parcel, self._shared.clock()
        if parcel.held is not None:
            self._tenant.take_out(parcel)
        self._delay = max(self._delay, delay)
        for labels, pieces in streams:
            for piece in pieces:
                piece.carriage.pieces += 1
            self._tenant.queue(labels, pieces, now, first=True, delay=delay)
        for piece in parcel.pieces:
            self._taken(piece.carriage)

    def _single_refused(self, answer: Answer, reason: str) -> None:
        """A single entry is refused, and not for what it is, as far as we know."""
        shared, piece = self._shared, self._parcel.pieces[0]
        part = (piece.parts or ())[0]
        with shared.lock:
            piece.tries += 1
            # While Loki takes nothing else, the fault may as well be Loki's, or of what stands before it.
            if piece.tries < _ENTRY_TRIES or shared.stored == piece.doubted_at:
                self._put_back(min(2.0**piece.tries * 0.25, HOLD))
                return
        entries = entries_of(self._cargo.raw(piece), part)
        if self._bury([(part.labels, entry, reason) for entry in entries], answer):
            with shared.lock:
                self._replace([])

    # ---- partly stored -------------------------------------------------------------------------

    def _partial(self, judgement: Judgement, answer: Answer) -> None:
        parcel, shared, tenant = self._parcel, self._shared, self._tenant
        streams = {part.labels for piece in parcel.pieces for part in piece.parts or ()}
        edge = self._too_new_edge(judgement)
        rules = Rules(shared.loki.limits, self._pushed_ns, shared.drop_order, edge)
        with shared.lock:
            now = shared.clock()
            sorter = Sorter(judgement.verdicts, streams, parcel.new, tenant.limits, now, rules)
            for verdict, named in sorter.named.items():
                for labels in named:
                    if verdict.reason is Reason.TOO_FAR_BEHIND:
                        tenant.limits.learn_cutoff(labels, verdict.cutoff_ns)
                    elif verdict.reason is Reason.STREAM_RATE:
                        tenant.limits.learn_rate(labels, verdict.limit, now)
                    elif verdict.reason is Reason.STREAM_LIMIT:
                        tenant.limits.learn_no_room(now)
                        tenant.limits.forget(labels)
        sorted_pieces: list[tuple[Piece, Sorted]] = []
        for piece in parcel.pieces:
            newest = max((tenant.limits.newest_ns(part.labels) for part in piece.parts or ()), default=0)
            stamp = self._stamp(piece, newest)
            found = sorter.sort(self._cargo.raw(piece), piece.parts or (), mended=piece.mended, stamp_ns=stamp)
            sorted_pieces.append((piece, found))
        dead = [(labels, entry, str(reason)) for _, found in sorted_pieces for labels, entry, reason in found.dead]
        if not any(found.refused for _, found in sorted_pieces):
            self._take_apart(answer, str(judgement.verdicts[0].reason))
        elif self._bury(dead, answer):
            self._settle_sorted(sorted_pieces)

    def _too_new_edge(self, judgement: Judgement) -> int:
        """The newest time stamp that Loki took, when it refused as many as it says for being too new."""
        refused = sum(verdict.ignored for verdict in judgement.verdicts if verdict.reason is Reason.TOO_NEW)
        if not refused:
            return 0
        stamps = sorted(
            entry.timestamp_ns
            for piece in self._parcel.pieces
            for part in piece.parts or ()
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
                        add(stats.mutated, "streams", number)
                    elif reason is not Reason.STREAM_RATE and found.mended:
                        add(stats.repaired, str(reason), number)
                for labels, body in found.mended:
                    again = piece.altered(
                        body, mended=not (found.reduced or found.reasons.keys() <= {Reason.STREAM_LIMIT})
                    )
                    queues.append((labels, [again], 0.0))
                for before, (after, moved) in found.reduced.items():
                    tenant.limits.reduce(before, after, moved, now)
                for part in found.paced:
                    ready = tenant.limits.ready_at(part.labels, part.length, now)
                    queues.append((part.labels, [self._again(piece, part)], max(ready - now, 0.05)))
                queues.extend((part.labels, [self._again(piece, part)], 0.0) for part in found.alone)
                queues.extend((part.labels, [self._again(piece, part)], _NO_ROOM) for part in found.no_room)
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

    def _again(self, piece: Piece, part: StreamPart) -> Piece:
        return Piece(piece.carriage, (part,), whole=False, body=piece.body, mended=piece.mended, solo=True)

    def _bury(self, dead: list[tuple[str, Entry, str]], answer: Answer) -> bool:
        """Keep entries as dead letters; if that fails, put the parcel back, for nothing may be lost."""
        shared, tenant = self._shared, self._parcel.tenant or self._shared.loki.tenant or ""
        try:
            shared.dead_letters.keep(DeadLetter(tenant, labels, entry, why, answer.body) for labels, entry, why in dead)
        except OSError as error:
            log.error(
                "dead letters cannot be written; the entries stay in the spool",
                extra={"reason": error.strerror, "path": str(shared.dead_letters.directory)},
            )
            with shared.lock:
                self._put_back(HOLD)
            return False
        with shared.lock:
            for _, _, why in dead:
                add(shared.stats.dead_lettered, why)
        return True
