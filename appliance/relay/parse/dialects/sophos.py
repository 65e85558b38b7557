"""Sophos Firewall (SFOS), in its two forms.

    <30>device="SFW" date=2026-11-27 time=06:30:01 timezone="CET" device_name="XG135" … log_type="Firewall" …
    <30>device_name="SFW" timestamp="2026-11-27T06:30:01+0100" device_model="XGS136" … log_type="Firewall" …

The host is the device's name unless that is only `SFW`, which all of them say; the type of the log is the
application, and the line stays whole. Documented in Sophos' "Syslog guide" (central reporting and device
standard format). Sophos UTM writes RFC 3164 with `2026:11:27-06:30:01`, which `timestamps` reads.
"""

import re

from appliance.relay.parse import header, timestamps
from appliance.relay.parse.dialects import keyvalue
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_BEGINNING = re.compile(rb' {0,4}(?:(%b) {1,4})?(?=device(?:_name)?=")' % header.HOST)


def _read(message: Message) -> Record | None:
    found = _BEGINNING.match(message.body)
    if not found:
        return None
    text = message.body[found.end() :]
    kind = keyvalue.value(text, b"log_type")
    if not kind:
        return None
    written = keyvalue.value(text, b"timestamp") or b"%b %b %b" % (
        keyvalue.value(text, b"date"),
        keyvalue.value(text, b"time"),
        keyvalue.value(text, b"timezone"),
    )
    stamp = timestamps.leading(written.rstrip(), 0, message.now, message.utc_offset)
    if stamp and (stamp.has_zone or not message.stamp):
        message.stamp, message.has_zone = stamp.text, stamp.has_zone
        if stamp.uncertain_zone:
            message.words += ("zone",)
    name = keyvalue.value(text, b"device_name")
    return message.record(text, host=name if name and name != b"SFW" else found[1] or b"-", application=kind)


DIALECT = Dialect("Sophos", "Firewall", (b'device="', b'device_name="'), _read)
