"""A table of tags without a colon, for the small modules that have nothing else to say of their devices."""

import re
from collections.abc import Callable

from appliance.relay.parse import header
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record


def reader(tag: bytes) -> Callable[[Message], Record | None]:
    """Return what reads `HOST TAG TEXT` behind a time, for tags that the expression `tag` describes."""
    line = re.compile(rb" {0,4}(%b) {1,4}(%b)(?: |\Z)" % (header.HOST, tag))

    def read(message: Message) -> Record | None:
        found = line.match(message.body) if message.stamp else None
        if not found:
            return None
        return message.record(message.body[found.end() :], host=found[1], application=found[2])

    return read
