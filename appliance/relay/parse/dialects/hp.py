"""HP ProCurve and Aruba switches: `<14>TIME sw1 00179 mgr:  SME SSH from 10.0.0.9 - MANAGER Mode`.

The number is that of the event and becomes the message's id. Documented in HPE's "ArubaOS-Switch Event Log
Message Reference Guide".
"""

import re

from appliance.relay.parse import header
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_LINE = re.compile(rb" {0,4}(%b) {1,4}([0-9]{5}) ([A-Za-z][A-Za-z0-9_/-]{0,31}): {1,4}" % header.HOST)


def _read(message: Message) -> Record | None:
    found = _LINE.match(message.body) if message.stamp else None
    if not found:
        return None
    return message.record(message.body[found.end() :], host=found[1], application=found[3], message_id=found[2])


DIALECT = Dialect("HPE", "ArubaOS-Switch", (b": ",), _read)
