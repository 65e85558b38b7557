"""What waits for a tenant is bounded, and goes in order."""

from appliance.config import model
from appliance.relay.loki.push_format import StreamPart
from appliance.relay.send.queue import _PARTIAL_PIECES, Tenant
from appliance.relay.send.request import Carriage, Piece
from appliance.relay.spool.spool import Segment

NOW_MS = 1_790_000_000_000


def segment(sequence: int) -> Segment:
    stamp = NOW_MS * 10**6
    return Segment(sequence, NOW_MS, stamp, stamp, 1, 100, 60, 0, "")


def test_no_more_segments_are_begun_while_very_many_streams_of_others_wait() -> None:
    """Each of them takes memory; what is not begun takes none."""
    tenant = Tenant("", model.Loki(url="http://127.0.0.1:9/loki/api/v1/push"))
    begun = Carriage(segment(1))
    part = StreamPart('{job="slow"}', 0, 100, 1, NOW_MS * 10**6, NOW_MS * 10**6)
    waiting = [Piece(begun, (part,), whole=False, solo=True) for _ in range(_PARTIAL_PIECES)]
    tenant.queue(part.labels, waiting, 0.0)
    tenant.waiting.append(segment(2))
    slow, _ = tenant.next(1.0, NOW_MS)
    assert slow is not None and slow.held is not None
    assert tenant.next(1.0, NOW_MS)[0] is None, "the next segment is not begun"
    tenant.take_out(slow)
    following, _ = tenant.next(1.0, NOW_MS)
    assert following is not None and following.pieces[0].carriage.segment.sequence == 2
