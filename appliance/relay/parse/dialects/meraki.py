"""Cisco Meraki: `<134>1 1650972789.426960608 MX84 urls src=… request: …`.

Version 1 as in RFC 5424, but the time in seconds since 1970, the name of the device and the kind of the
event, which is the application. Documented in Meraki's "Syslog Event Types and Log Samples".
"""

import re

from appliance.relay.parse import timestamps
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_EVENT = re.compile(
    rb"(?:1 )?(?=[0-9]{10}(?:\.|[0-9]{3} ))([0-9.]{11,20}) ([^ ]{1,255}) ([a-z][a-z0-9]*(?:[_-][a-z0-9]+)*)(?: |\Z)"
)


def _read(message: Message) -> Record | None:
    found = _EVENT.match(message.whole)
    if not found:
        return None
    stamp = timestamps.epoch(message.whole, found.start(1), message.now)
    if stamp is None:
        return None
    message.take(stamp, message.whole)
    return message.record(message.whole[found.end() :], host=found[2], application=found[3])


DIALECT = Dialect("Cisco", "Meraki", (b"1",), _read)
