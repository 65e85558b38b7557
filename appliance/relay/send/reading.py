"""Reads from the spool what a push carries, into memory that lives as long as the push.

What cannot be read is set aside and reported; what that means for the push is `delivery.py`.
"""

import cramjam

from appliance.relay.loki.push_format import MalformedPush
from appliance.relay.send.destination import Destination
from appliance.relay.send.request import PushRequest, SegmentBytes, StreamSlice
from appliance.relay.spool.errors import SegmentUnreadable


def load(push: PushRequest, source: Destination, data: SegmentBytes) -> list[StreamSlice]:
    """Read the slices of a push; returns those whose segment is no more. Raise OSError if it may succeed later."""
    loaded: set[int] = set()
    missing: list[StreamSlice] = []
    for one in push.slices:
        segment = one.ref.segment
        if not source.spool.holds(segment):  # dropped meanwhile, and counted as such
            missing.append(one)
        elif one.body is None and segment.sequence not in loaded:
            try:
                if push.stream is None:
                    _load_segment(one, source, data)
                    loaded.add(segment.sequence)
                else:
                    _load_stream(one, source, data)
            except (SegmentUnreadable, MalformedPush, cramjam.DecompressionError) as error:
                source.spool.set_aside(segment, str(error))
                missing.append(one)
    return missing


def _load_segment(one: StreamSlice, source: Destination, data: SegmentBytes) -> None:
    found = source.spool.load(one.ref.segment)
    data.put(one.ref, found.compressed)
    if not one.known:
        one.streams = found.streams or source.opener.streams(found.compressed)


def _load_stream(one: StreamSlice, source: Destination, data: SegmentBytes) -> None:
    """Slices of many segments may go together: only what goes is kept in memory."""
    sequence = one.ref.segment.sequence
    raw = source.raw.get(sequence)
    if raw is None:
        _load_segment(one, source, data)
        raw = data.raw(one)
        source.raw.put(sequence, raw)
        data.forget(one.ref)
    one.slice(raw)
