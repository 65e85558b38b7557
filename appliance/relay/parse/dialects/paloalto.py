"""Palo Alto Networks PAN-OS: `<14>TIME PA-220 1,2026/11/27 06:30:01,013201001234,TRAFFIC,end,…`.

The type of the log is the application; the line of comma-separated values stays whole.
Documented in "PAN-OS Administrator's Guide", Syslog Field Descriptions (FUTURE_USE, Receive Time, Serial
Number, Type, Threat/Content Type, …).
"""

import re

from appliance.relay.parse import header
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_LINE = re.compile(
    rb" {0,4}(?:(%b) {1,4})?(?:(%b)(?:\[[^] ]*\])?: )?"
    rb"(?=[0-9]{0,2},([0-9]{4}/[0-9]{2}/[0-9]{2} [0-9:]{8}),[0-9A-Za-z]{1,24},([A-Z][A-Z0-9-]{1,24}),)"
    % (header.HOST, header.TAG)
)


def _read(message: Message) -> Record | None:
    found = _LINE.match(message.body)
    if not found:
        return None
    text = message.body[found.end() :]
    if not message.stamp and message.take_time(found[3]):
        message.body = b""
    return message.record(text, host=found[1] or b"-", application=found[4])


DIALECT = Dialect("Palo Alto Networks", "PAN-OS", (b",20",), _read)
