"""What follows from Loki's answer for a parcel that was not simply stored: later, smaller, or held.

Verdicts about single streams and entries are settled in `send/verdict_settlement.py`.
"""

from appliance.relay.loki.push_format import encode_stream, entries_of, halves
from appliance.relay.loki.rejections import Reason
from appliance.relay.loki.response import Answer, Failure, Judgement
from appliance.relay.send.errand import HOLD, Errand
from appliance.relay.send.repair import Bounds, cut, mend, mend_labels
from appliance.relay.send.sorting import with_labels
from appliance.relay.send.stats import add

_FIRST_HOLD = 3.0
_MAX_REFUSALS = 40
"""Pushes refused in a row, for reasons not understood, before the configuration is suspected."""
_ENTRY_TRIES = 3
_SPLIT_AFTER = 8
"""Failures of one push, while others succeed, before it is taken apart."""
_GIVE_UP_AFTER = 50
"""The same for a push of a single entry."""
_SMALL = 64 * 1024
"""Bytes of an entry that nothing can honestly call too large."""


class Settlement(Errand):
    """The ways of a parcel that Loki did not take."""

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
            first.failures += 1
            first.tries += others_succeed
            shared.backoff.failed(shared.clock(), judgement.retry_after)
            if answer.failure is not None or not others_succeed or first.tries < _SPLIT_AFTER:
                # Every other time another parcel is tried, lest one that cannot be sent stand before all.
                delay = shared.backoff.until - shared.clock() + (0.2 if first.failures % 2 == 0 else 0.0)
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
            self._tenant.holds += 1
            self._tenant.hold_until = shared.clock() + min(_FIRST_HOLD * 2.0 ** (self._tenant.holds - 1), HOLD)
            self._put_back()

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
        part = piece.parts[0]
        entry = entries_of(self._cargo.raw(piece), part)[0]
        shorter = entry._replace(line=cut(entry.line, max(len(entry.line) // 2, 1024)))
        body = encode_stream(part.labels, [mend(shorter, Bounds(), 0)])
        with self._shared.lock:
            add(self._shared.stats.repaired, "too_large")
            add(self._shared.stats.mutated, str(Reason.LINE_TOO_LONG))
            add(self._shared.stats.mutated_bytes, str(Reason.LINE_TOO_LONG), len(entry.line) - len(shorter.line))
            self._replace([(part.labels, [piece.altered(body, mended=len(entry.line) <= 2 * _SMALL)])])

    def _refused(self, judgement: Judgement, answer: Answer) -> None:
        """Nothing was stored, for something that single streams or entries carry."""
        parcel, shared = self._parcel, self._shared
        reason = next((verdict.reason for verdict in judgement.verdicts), None)
        piece = parcel.pieces[0]
        parts = piece.parts
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
        part = piece.parts[0]
        pair_of_bodies = halves(self._cargo.raw(piece), part)
        assert pair_of_bodies is not None
        pieces = [piece.altered(body, mended=False) for body in pair_of_bodies]
        with self._shared.lock:
            self._replace([(part.labels, pieces)])

    def _single_refused(self, answer: Answer, reason: str) -> None:
        """A single entry is refused, and not for what it is, as far as we know."""
        shared, piece = self._shared, self._parcel.pieces[0]
        part = piece.parts[0]
        with shared.lock:
            piece.tries += 1
            # While Loki takes nothing else, the fault may as well be Loki's, or of what stands before it.
            if piece.tries < _ENTRY_TRIES or shared.stored == piece.doubted_at:
                self._put_back(min(2.0**piece.tries * 0.25, HOLD))
                return
        entries = entries_of(self._cargo.raw(piece), part)
        self._bury([(piece.carriage, part.labels, entry, reason) for entry in entries], answer)
        with shared.lock:
            self._replace([])
