"""Which entries of a push were refused, by value."""

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config import model
from appliance.relay.loki.limit_table import Reason, limit
from appliance.relay.loki.push_format import (
    Entry,
)
from appliance.relay.loki.rejections import Rejection
from appliance.relay.send.refusals import late

SECOND = 10**9
LIMITS = model.LokiLimits()
calmly = settings(deadline=None, max_examples=60)


@calmly
@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.one_of(st.none(), st.integers(0, 40)))
def test_entries_too_far_behind_are_found_as_loki_judged_them(stamps: list[int], before: int | None) -> None:
    """Against a plain model of Loki's ingester with a window of ten seconds; none that was refused is missed."""
    entries = [Entry(stamp * SECOND, str(index).encode()) for index, stamp in enumerate(stamps)]
    newest, refused, cutoffs = before, [], []
    for index, stamp in enumerate(stamps):
        if newest is not None and stamp < newest - 10:
            refused.append(index)
            cutoffs.append((newest - 10) * SECOND)
        else:
            newest = stamp if newest is None else max(newest, stamp)
    if not refused:
        return
    rejection = Rejection(
        limit(Reason.TOO_FAR_BEHIND), cutoff_ns=max(cutoffs[:10]), first_cutoff_ns=cutoffs[0], ignored=len(refused),
        stamps_ns=tuple(stamps[index] * SECOND for index in refused[:10]),
    )  # fmt: skip
    found = late(entries, rejection, 10 * SECOND)
    assert set(refused) <= found or len(found) == len(refused)
    if before is None or all(stamp >= before - 10 for stamp in stamps):
        assert found == set(refused)
