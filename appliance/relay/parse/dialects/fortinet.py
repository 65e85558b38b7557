"""Fortinet FortiGate: `date=2026-11-27 time=06:30:01 devname="FGT1" devid="FG…" logid="…" type="traffic" …`.

Sent without a header of syslog but for the priority; relays put one in front. The device's name is the host,
the type of the log (traffic, event, utm) the application, and the line stays whole. Its time is exact where it
says its zone (`tz`) or the seconds, later nanoseconds, since 1970 (`eventtime`).
Documented in Fortinet's "FortiOS Log Message Reference" (log field format, header fields).
"""

import re

from appliance.relay.parse import header, timestamps
from appliance.relay.parse.dialects import keyvalue
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_BEGINNING = re.compile(
    rb' {0,4}(?:(%b) {1,4})?(?=(?:logver=[0-9]+ |timestamp=[0-9]+ |tz="[^"]*" )*(?:date=|itime=|devname=))'
    % header.HOST
)


def _read(message: Message) -> Record | None:
    found = _BEGINNING.match(message.body)
    if not found:
        return None
    text = message.body[found.end() :]
    kind = keyvalue.value(text, b"type")
    if not kind or not (keyvalue.value(text, b"devid") or keyvalue.value(text, b"device_id")):
        return None
    zone = keyvalue.value(text, b"tz")
    stamp = timestamps.leading(
        b"%b %b%b" % (keyvalue.value(text, b"date"), keyvalue.value(text, b"time"), zone),
        0,
        message.now,
        message.utc_offset,
    )
    seconds = keyvalue.value(text, b"eventtime")
    if not zone and len(seconds) in (10, 13, 16, 19):
        stamp = timestamps.epoch(seconds, 0, message.now) or stamp
    if stamp and (stamp.has_zone or not message.stamp):
        message.stamp, message.has_zone = stamp.text, stamp.has_zone
    return message.record(text, host=keyvalue.value(text, b"devname") or found[1] or b"-", application=kind)


DIALECT = Dialect("Fortinet", "FortiGate", (b"devid=", b"device_id="), _read)
