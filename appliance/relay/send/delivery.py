"""One push's way to Loki: read, prepared, pushed, and its outcome applied to the queue.

The only place that changes queues, limits and counts for what became of a push. What is to go is decided
in `prepare.py`, what follows from Loki's answer in `settle.py`, both by value. Runs in a sender's thread;
reading, repairing and pushing are done without the lock. Which push goes when is `queue.py`.
"""

import itertools
import logging
from collections.abc import Iterable, Sequence

from appliance.relay.loki.push_format import StreamPart
from appliance.relay.loki.response import Diagnosis, Failure, Kind, diagnose
from appliance.relay.send.destination import Destination
from appliance.relay.send.outcome import (
    DeadLetter,
    Done,
    Hold,
    Lesson,
    Letter,
    Outcome,
    Queued,
    Replace,
    Retry,
    Ruling,
    Split,
    Tally,
    add,
)
from appliance.relay.send.prepare import View, new_last, repaired_waiting, set_apart, within
from appliance.relay.send.queue import LONGEST_HOLD, PushQueue
from appliance.relay.send.reading import load
from appliance.relay.send.refusals import Findings, Rules
from appliance.relay.send.request import NEW, PushRequest, SegmentBytes, SegmentRef, StreamSlice, request_body
from appliance.relay.send.settle import Situation, settle
from appliance.relay.spool.dead_letters import DeadLetter as KeptLetter

log = logging.getLogger(__name__)

READ_AGAIN = 5.0
"""Seconds until a batch that could not be read is tried again."""


class Delivery:
    """One push under way."""

    def __init__(self, destination: Destination, queue: PushQueue, push: PushRequest) -> None:
        self._to, self._queue, self._push = destination, queue, push
        self._data = SegmentBytes()
        self._client = destination.client
        self._body_size = 0
        self._answered = ""
        """What Loki said to the push."""
        self._pushed_ns = 0
        self._delay = 0.0
        """Seconds after which the rest of the stream's queue goes on."""
        self._done: list[SegmentRef] = []

    def run(self) -> None:
        """Deliver; whatever happens, every slice is then taken, waiting again, or a dead letter."""
        # A fault of ours: what the push carries must not be lost, nor tried again at once.
        ruling: Ruling | None = Ruling(Retry(LONGEST_HOLD))
        try:
            ruling = self._deliver()
        finally:
            if ruling is not None:
                self._apply(ruling)
            with self._to.lock:
                for one in self._push.slices:
                    one.unslice()
                self._queue.landed(self._push, self._to.clock(), delay=self._delay)
            self._remove_done()

    def _deliver(self) -> Ruling | None:
        """Return what became of the push; None if nothing is left of it."""
        push = self._push
        try:
            missing = load(push, self._to, self._data)
        except OSError as error:  # it may succeed later; until then what else is in the push must not wait
            log.error("a batch cannot be read", extra={"key": "reading", "reason": error.strerror})
            if push.stream is not None or len(push.slices) == 1:
                return Ruling(Retry(READ_AGAIN))
            return Ruling(Split(tuple((one,) for one in push.slices)))
        for one in missing:
            with self._to.lock:
                self._queue.take_out(push, [one])
                push.slices.remove(one)
        if push.slices and not push.planned and not self._plan():
            return Ruling(Retry())
        if push.stream is not None:
            self._repair_waiting()
        if not push.slices:
            return None
        moved = new_last(push.slices, push.new)
        if moved is not None:
            with self._to.lock:
                self._exchange(push.slices, moved)
                push.slices = moved
        return self._send()

    # ---- before the push -----------------------------------------------------------------------

    def _view(self) -> View:
        return View(self._to.loki.limits, self._queue.limits, self._data.raw, self._to.now_ns())

    def _plan(self) -> bool:
        """Keep in the push what may go as it is, the rest queues by stream; False if it has to wait for an answer."""
        push, to, limits = self._push, self._to, self._queue.limits
        with to.lock:
            if self._queue.settling:
                return False
            now, now_ns, unanswered_ns = to.clock(), to.now_ns(), self._queue.unanswered_ns
            # Most segments go as they are: those are not even listed.
            closer = list(
                itertools.dropwhile(
                    lambda one: (
                        one.streams is not None
                        and limits.charge_whole(one.streams, now, now_ns, self._queue.held, unanswered_ns)
                    ),
                    push.slices,
                )
            )
            plan = limits.plan(
                (part for one in closer for part in one.parts), now, now_ns, self._queue.held, self._busy, unanswered_ns
            )
            push.new = plan.new
            push.planned = True
        if plan.odd:
            prepared = set_apart(push.slices, plan, self._view(), together=to.clock() >= limits.contradicted_until)
            with to.lock:
                joining, queued = self._may_join(prepared.joining)
                after = [*prepared.slices, *joining]
                self._enqueue((*queued, *prepared.queued), first=False)  # before anything is let go of
                self._exchange(push.slices, after)
                push.slices = after
                self._count_tally(prepared.tally)
        if push.slices:
            self._bound_size()
        return True

    def _busy(self, labels: str) -> bool:
        """Return whether a push that is not answered yet keeps the stream from going; a fresh push goes beside it."""
        return not self._push.fresh and self._queue.busy(labels)

    def _may_join(self, repaired: Sequence[StreamSlice]) -> tuple[list[StreamSlice], list[Queued]]:
        """Repaired streams that may go with this push, after all others, and those that have to queue."""
        to, queue = self._to, self._queue
        owner: dict[int, StreamSlice] = {}
        parts: list[StreamPart] = []
        for one in repaired:
            for part in one.parts:
                owner[id(part)] = one
                parts.append(part)
        plan = queue.limits.plan(parts, to.clock(), to.now_ns(), queue.held, self._busy)
        self._push.new |= plan.new
        apart = {id(owner[id(part)]) for part, _ in plan.odd}
        going = [one for one in repaired if id(one) not in apart]
        return going, [Queued(one.parts[0].labels, (one,)) for one in repaired if id(one) in apart]

    def _bound_size(self) -> None:
        """Let the push be as large as Loki takes; what is over goes in others."""
        push, queue = self._push, self._queue
        room = queue.room(push.size, push.entries)
        if queue.body_limit < float("inf"):
            compressed = sum(len(self._data.block(one)) for one in push.slices)
            room = min(room, push.size * queue.body_limit / max(compressed, 1))
        if push.size <= room:
            return
        groups = within(push.slices, room)
        with self._to.lock:
            self._exchange(push.slices, [one for group in groups for one in group])
            push.slices = list(groups[0])
            self._push_again(groups[1:])

    def _repair_waiting(self) -> None:
        """Repair what has waited so long that Loki would refuse it by now, and charge what goes."""
        push, to, limits = self._push, self._to, self._queue.limits
        view, tally = self._view(), Tally()
        for one in list(push.slices):
            repaired = repaired_waiting(one, view, tally)
            if repaired is not None:
                with to.lock:
                    self._queue.swap(push, one, repaired)
        with to.lock:
            self._count_tally(tally)
            now, now_ns = to.clock(), to.now_ns()
            for one in push.slices:
                if not one.charged:
                    one.charged = True
                    for part in one.parts:
                        limits.charge(part, now, now_ns)

    # ---- the push ------------------------------------------------------------------------------

    def _send(self) -> Ruling:
        push, to = self._push, self._to
        json = to.loki.encoding == "json"
        body = request_body(push.slices, self._data, json=json, merged=push.stream is not None)
        self._body_size = len(body)
        self._pushed_ns = to.now_ns()
        with to.lock:
            self._queue.pace.charge(push.size, to.clock())
        answer = self._client.push(body, push.tenant, json=json)
        diagnosis = diagnose(answer, to.now())
        self._answered = answer.body
        findings = self._findings(diagnosis) if diagnosis.kind is Kind.PARTIAL else None
        with to.lock:
            if answer.failure is not Failure.STOPPED:
                tried = any(one.history is not NEW and one.history.tried for one in push.slices)
                to.note_answer(answer, diagnosis, self._body_size, again=tried)
                self._slow_down(diagnosis)
            if findings is not None:
                self._learn(findings.lessons())
                if not findings.short_of_streams:
                    self._confirm_new()
            situation = Situation(
                to.loki, to.drop_order, self._queue.limits, self._data.raw, to.now_ns(), self._pushed_ns,
                self._body_size, to.stored, to.refused_in_a_row, max(to.backoff.until - to.clock(), 0.0),
                to.stats.clock_skew,
            )  # fmt: skip
        return settle(push, answer, diagnosis, findings, situation)

    def _findings(self, diagnosis: Diagnosis) -> Findings:
        push, to = self._push, self._to
        rules = Rules(to.loki.limits, self._pushed_ns, to.drop_order, to.stats.clock_skew)
        return Findings(
            diagnosis.rejections, push.slices, push.new, self._queue.limits, to.clock(), rules, self._data.raw
        )

    def _slow_down(self, diagnosis: Diagnosis) -> None:
        """Let the next pushes wait, if the answer asks for it."""
        now = self._to.clock()
        if diagnosis.kind is Kind.RETRY:
            self._to.backoff.failed(now, diagnosis.retry_after)
        elif diagnosis.kind is Kind.TENANT_RATE:
            self._queue.pace.refused(diagnosis.allowed, diagnosis.retry_after, now)

    # ---- the outcome ---------------------------------------------------------------------------

    def _apply(self, ruling: Ruling) -> None:
        """Do to queue, limits and counts what the outcome says. Nothing else does."""
        push, to, queue = self._push, self._to, self._queue
        outcome: Outcome = ruling.outcome
        with to.lock:
            for one, history in zip(push.slices, ruling.histories, strict=False):
                one.history = history
            self._learn(ruling.lessons)
            self._count_tally(ruling.tally)
            to.refused_in_a_row += ruling.unexplained
            match outcome:
                case Done():
                    self._stored(push.entries)
                    if push.stream is not None:
                        for one in push.slices:
                            for part in one.parts:
                                queue.limits.confirm(part)
                    self._confirm_new()
                    self._over()
                case Retry(delay, recharge):
                    for one in push.slices:
                        one.charged = one.charged and not recharge
                    self._again(delay)
                case Hold():
                    queue.hold(to.clock())
                    self._again(0.0)
                case Split(groups) if push.stream is None:
                    self._exchange(push.slices, [one for group in groups for one in group])
                    self._push_again(groups)
                case Split(groups):  # in its stream's queue they are in order already
                    for one in itertools.chain.from_iterable(groups):
                        one.solo = True
                    self._again(0.0)
                case Replace(queued, letters, stored):
                    if stored is not None:
                        self._stored(stored)
                    self._keep(letters)
                    self._over(queued)
                case DeadLetter(letters):
                    self._keep(letters)
                    self._over()
        if isinstance(outcome, Replace | DeadLetter) and outcome.letters:
            self._write(outcome.letters)

    def _stored(self, entries: int) -> None:
        stats, size = self._to.stats, self._push.size
        self._to.worked(self._queue, size)
        stats.pushed_entries += entries
        stats.pushed_bytes += size
        stats.sent_bytes += self._body_size

    def _again(self, delay: float) -> None:
        """The push is tried again as it is."""
        self._delay = delay
        if self._push.slices:
            self._queue.again(self._push, self._to.clock() + delay)

    def _over(self, queued: Sequence[Queued] = ()) -> None:
        """The push is over; others, of single streams, take its place."""
        push = self._push
        self._queue.take_out(push, push.slices)
        self._enqueue(queued, first=True)
        for after in queued:
            if push.stream is not None and after.labels == push.stream.labels:
                self._delay = max(self._delay, after.delay)
        for one in push.slices:
            self._release(one.ref)

    def _enqueue(self, queued: Iterable[Queued], *, first: bool) -> None:
        now = self._to.clock()
        for labels, slices, delay in queued:
            for one in slices:
                one.ref.outstanding += 1
            self._queue.enqueue(labels, slices, now, first=first, delay=delay)

    def _push_again(self, groups: Iterable[Sequence[StreamSlice]]) -> None:
        for group in groups:
            push = PushRequest(self._push.tenant, list(group), planned=self._push.planned, new=self._push.new)
            self._queue.again(push, self._to.clock())

    def _learn(self, lessons: Iterable[Lesson]) -> None:
        for lesson in lessons:
            self._queue.learn(lesson, self._to.clock())

    def _confirm_new(self) -> None:
        """Loki answered for the last stream; if that was new, it had room for all new ones before it."""
        push = self._push
        final = push.slices[-1].parts if push.new and push.slices else ()
        if final and final[-1].labels in push.new:
            self._queue.limits.confirm_streams(labels for one in push.slices for labels in one.labels())

    def _count_tally(self, tally: Tally) -> None:
        for name in Tally.__slots__:
            counts = getattr(self._to.stats, name)
            for reason, number in getattr(tally, name).items():
                add(counts, reason, number)

    # ---- what is left of segments --------------------------------------------------------------

    def _exchange(self, before: Sequence[StreamSlice], after: Sequence[StreamSlice]) -> None:
        """Slices take the place of others of the same segments."""
        for one in after:
            one.ref.outstanding += 1
        for one in before:
            self._release(one.ref)

    def _release(self, ref: SegmentRef) -> None:
        ref.outstanding -= 1
        if ref.outstanding == 0:
            self._done.append(ref)

    def _remove_done(self) -> None:
        done, self._done = self._done, []
        for ref in done:
            try:
                self._to.spool.remove(ref.segment)
            except OSError as error:
                log.error("a batch that was sent cannot be removed", extra={"reason": error.strerror})

    # ---- dead letters --------------------------------------------------------------------------

    def _keep(self, letters: Iterable[Letter]) -> None:
        """Until the letters are written their segments stay, though nothing of them is sent."""
        for ref in {letter.ref for letter in letters}:
            ref.outstanding += 1

    def _write(self, letters: Sequence[Letter]) -> None:
        to, refs = self._to, {letter.ref for letter in letters}
        tenant = self._push.tenant or to.loki.tenant or ""

        def written() -> None:
            with to.lock:
                for letter in letters:
                    add(to.stats.dead_lettered, letter.reason)
                    add(to.stats.dead_lettered_bytes, letter.reason, len(letter.entry.line))
                for ref in refs:
                    self._release(ref)
                self._remove_done()

        kept = [KeptLetter(tenant, letter.labels, letter.entry, letter.reason, self._answered) for letter in letters]
        to.dead_letters.keep(kept, written)
