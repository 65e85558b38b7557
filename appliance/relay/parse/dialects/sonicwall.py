"""SonicWall SonicOS: `<134>id=fw1 sn=0017C5000000 time="2026-11-27 06:30:01 UTC" fw=10.0.0.1 pri=6 … msg="text"`.

`id` is the name it was given (`firewall` where nobody gave one: then the sender's address is the host). The
line stays whole. Documented in SonicWall's "SonicOS Log Events Reference Guide" (syslog tags).
"""

import re

from appliance.relay.parse import header, timestamps
from appliance.relay.parse.dialects import keyvalue
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_BEGINNING = re.compile(rb" {0,4}(?:(%b) {1,4})?(?=id=[^ ]{1,255} {1,4}sn=)" % header.HOST)


def _read(message: Message) -> Record | None:
    found = _BEGINNING.match(message.body)
    if not found:
        return None
    text = message.body[found.end() :]
    stamp = timestamps.leading(keyvalue.value(text, b"time"), 0, message.now, message.utc_offset)
    if stamp and (stamp.has_zone or not message.stamp):
        message.stamp, message.has_zone = stamp.text, stamp.has_zone
    name = keyvalue.value(text, b"id")
    return message.record(text, "notag", host=name if name != b"firewall" else found[1] or b"-")


DIALECT = Dialect("SonicWall", "SonicOS", (b" sn=",), _read)
