# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=False, auto_pickle=False
"""The common case of `send/stream_limits.py`: a push of which no stream is near a limit, in one pass."""

import cython

if cython.compiled:
    from cython.cimports.appliance.relay.hot.batch_streams import BatchStreams  # type: ignore[import-not-found]
else:
    from appliance.relay.hot.batch_streams import BatchStreams


@cython.cclass
class StreamState:
    """What Loki was sent of one stream; what follows from it is in `send/stream_limits.py`."""

    full_at = cython.declare(cython.double, visibility="public")
    sent_ns = cython.declare(cython.longlong, visibility="public")
    newest_ns = cython.declare(cython.longlong, visibility="public")
    exists = cython.declare(cython.bint, visibility="public")
    generation = cython.declare(cython.longlong, visibility="public")
    marked: cython.bint

    def __init__(self, full_at: float, sent_ns: int, newest_ns: int, generation: int) -> None:
        self.full_at = full_at
        self.sent_ns = sent_ns
        self.newest_ns = newest_ns
        self.exists = False
        self.generation = generation
        self.marked = False


@cython.cclass
class Room:
    """What a part of a stream has to keep within to be sent without a further thought."""

    now = cython.declare(cython.double, visibility="public")
    per_byte = cython.declare(cython.double, visibility="public")
    near = cython.declare(cython.double, visibility="public")
    window = cython.declare(cython.longlong, visibility="public")
    jump = cython.declare(cython.longlong, visibility="public")
    floor = cython.declare(cython.longlong, visibility="public")
    ceiling = cython.declare(cython.longlong, visibility="public")
    large = cython.declare(cython.longlong, visibility="public")

    def __init__(
        self, now: float, per_byte: float, near: float, *, window: int, floor: int, ceiling: int, large: int
    ) -> None:
        self.now = now
        self.per_byte = per_byte
        self.near = near
        self.window = window
        self.jump = window // 8
        self.floor = floor
        self.ceiling = ceiling
        self.large = large


def charge_whole(streams: BatchStreams, states: dict, held: dict, room: Room, generation: cython.longlong) -> int:
    """Charge all streams of a push to their states, if all are known and within `room` and none is in `held`.

    Returns how many of them had not been used in this generation; -1 with nothing charged otherwise.
    """
    found: list = []
    number: cython.Py_ssize_t = len(streams.labels)
    k: cython.Py_ssize_t
    state: StreamState
    full_at: cython.double
    fits: cython.bint = True
    waiting: cython.bint = len(held) > 0
    renewed: cython.longlong = 0
    for k in range(number):
        labels: object = streams.labels[k]
        one: object = states.get(labels)
        if one is None or (waiting and labels in held):
            fits = False
            break
        state = cython.cast(StreamState, one)
        full_at = (state.full_at if state.full_at > room.now else room.now) + streams.size[k] * room.per_byte
        if (
            full_at > room.near
            or not state.exists
            or state.marked
            or streams.oldest[k] < state.newest_ns - room.window
            or streams.newest[k] > state.newest_ns + room.jump
            or streams.oldest[k] < room.floor
            or streams.newest[k] > room.ceiling
            or streams.size[k] > room.large
        ):
            fits = False
            break
        state.marked = True  # a stream that comes twice needs a closer look
        found.append(one)
    for k in range(len(found)):
        state = cython.cast(StreamState, found[k])
        state.marked = False
        if not fits:
            continue
        state.full_at = (state.full_at if state.full_at > room.now else room.now) + streams.size[k] * room.per_byte
        if streams.newest[k] > state.sent_ns:
            state.sent_ns = streams.newest[k]
            if streams.newest[k] > state.newest_ns:
                state.newest_ns = streams.newest[k]
        if state.generation != generation:
            state.generation = generation
            renewed += 1
    return renewed if fits else -1
