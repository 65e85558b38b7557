"""What waits for a tenant is bounded, and goes in order."""

from appliance.config import model
from appliance.relay.loki.push_format import StreamPart
from appliance.relay.send.queue import _PARTIAL_SLICES, PushQueue
from appliance.relay.send.request import SegmentRef, StreamSlice
from appliance.relay.spool.spool import Segment

NOW_MS = 1_790_000_000_000


def segment(sequence: int) -> Segment:
    stamp = NOW_MS * 10**6
    return Segment(sequence, NOW_MS, stamp, stamp, 1, 100, 60, 0, "")


def test_no_more_segments_are_begun_while_very_many_streams_of_others_wait() -> None:
    """Each of them takes memory; what is not begun takes none."""
    queue = PushQueue("", model.Loki(url="http://127.0.0.1:9/loki/api/v1/push"))
    begun = SegmentRef(segment(1))
    part = StreamPart('{job="slow"}', 0, 100, 1, NOW_MS * 10**6, NOW_MS * 10**6)
    waiting = [StreamSlice(begun, (part,), whole=False, solo=True) for _ in range(_PARTIAL_SLICES)]
    queue.enqueue(part.labels, waiting, 0.0, first=False, delay=0.0)
    queue.waiting.append(segment(2))
    slow, _ = queue.next(1.0, NOW_MS)
    assert slow is not None and slow.stream is not None
    assert queue.next(1.0, NOW_MS)[0] is None, "the next segment is not begun"
    queue.take_out(slow, slow.slices)
    following, _ = queue.next(1.0, NOW_MS)
    assert following is not None and following.slices[0].ref.segment.sequence == 2
