"""Web servers' access logs: `10.0.0.9 - frank [27/Nov/2026:06:30:01 +0100] "GET / HTTP/1.1" 200 2326`, by themselves.

Apache's Common and Combined Log Format ("Log Files" in its documentation) and nginx' `combined`. Only the
time is taken: the first field is the client, not the host, and the line stays whole.
"""

import re

from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_LINE = re.compile(rb'[^ ]{1,255} [^ ]{1,255} [^ "[]{1,255} (?=\[[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[^]]{8,15}\] ")')


def _read(message: Message) -> Record | None:
    found = _LINE.match(message.whole)
    if not found or message.stamp or not message.take_time(message.whole, found.end()):
        return None
    return message.record(message.whole, "notag")


DIALECT = Dialect("", "", (b'] "',), _read)
