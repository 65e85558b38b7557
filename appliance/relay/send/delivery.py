"""One parcel's way to Loki: prepared, pushed, counted, settled.

Runs in a sender's thread. Reading the spool, mending and pushing are done without the lock. Which
parcel goes when is `send/queue.py`, threads and waiting are `send/sender.py`.
"""

import logging

from appliance.relay.loki.rejections import Reason
from appliance.relay.loki.response import Answer, Failure, Judgement, Kind, judge
from appliance.relay.send.errand import HOLD
from appliance.relay.send.preparation import Preparation
from appliance.relay.send.request import request_body
from appliance.relay.send.stats import Histogram, LastError, add
from appliance.relay.send.verdict_settlement import VerdictSettlement

log = logging.getLogger(__name__)

_KIND_429 = {Reason.STREAM_RATE: "stream", Reason.STREAM_LIMIT: "streams"}


class Delivery(Preparation, VerdictSettlement):
    """One parcel under way."""

    def run(self) -> None:
        """Deliver; whatever happens, every piece is then taken, waiting again, or a dead letter."""
        parcel = self._parcel
        try:
            self._load()
            if parcel.pieces and not parcel.planned:
                self._plan()
            if parcel.held is not None:
                self._mend_held()
            if parcel.pieces and not self._again:
                self._put_new_last()
                self._push()
        except BaseException:
            # A fault of ours: what the parcel carries must not be lost, nor tried again at once.
            self._put_back(HOLD)
            raise
        finally:
            with self._shared.lock:
                for piece in parcel.pieces:
                    piece.unslice()
                if self._again and parcel.held is None:
                    self._tenant.retry.append(parcel)
                self._tenant.landed(parcel, self._shared.clock(), delay=self._delay)
            self._remove_done()

    def _push(self) -> None:
        parcel, shared = self._parcel, self._shared
        json = shared.loki.encoding == "json"
        body = request_body(parcel.pieces, self._cargo, json=json, merged=parcel.held is not None)
        self._body_size = len(body)
        self._pushed_ns = shared.now_ns()
        with shared.lock:
            self._tenant.pace.charge(parcel.size, shared.clock())
        answer = self._client.push(body, parcel.tenant, json=json)
        judgement = judge(answer, shared.now())
        with shared.lock:
            if answer.failure is not Failure.STOPPED:
                self._count(answer, judgement)
        self._settle(answer, judgement)

    def _count(self, answer: Answer, judgement: Judgement) -> None:
        stats = self._shared.stats
        stats.pushes += 1
        stats.encoded_bytes += self._body_size
        if self._parcel.refusals or any(piece.tries or piece.failures for piece in self._parcel.pieces):
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
                    for part in piece.parts:
                        tenant.limits.confirm(part)
            self._confirm_new()
            for piece in parcel.pieces:
                self._taken(piece.carriage)
