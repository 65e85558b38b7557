"""The hot path, compiled: what is done for every message, between its bytes and a batch.

Written in Cython's pure Python mode: compiled for speed, and the same source runs uncompiled. In the
compiled modules `p` is a pointer into a buffer, uncompiled it is the buffer itself. What modules share
has its C types in a `.pxd` beside it. Sockets, clocks and the disk are elsewhere.
"""

from appliance.relay.hot.batch_streams import BatchStreams, batch_streams
from appliance.relay.hot.charge import Room, StreamState, charge_whole
from appliance.relay.hot.encoding import encode_pair, valid_name, varint
from appliance.relay.hot.framing import BATCH_FULL, NEED_MORE, PROTOCOL_ERROR, RELP_COMMAND, Conn, Framing
from appliance.relay.hot.packer import ROUTE_META_ROOM, Packer, Route, Tally, Target
from appliance.relay.hot.push_scan import scan_push
from appliance.relay.hot.record_writer import RecordWriter
from appliance.relay.hot.relp_acknowledge import relp_acknowledge
from appliance.relay.hot.timestamps import compiled, parse_timestamp

__all__ = [
    "BATCH_FULL", "NEED_MORE", "PROTOCOL_ERROR", "RELP_COMMAND", "ROUTE_META_ROOM", "BatchStreams", "Conn",
    "Framing", "Packer", "RecordWriter", "Room", "Route", "StreamState", "Tally", "Target", "batch_streams",
    "charge_whole", "compiled", "encode_pair", "parse_timestamp", "relp_acknowledge", "scan_push", "valid_name",
    "varint",
]  # fmt: skip
