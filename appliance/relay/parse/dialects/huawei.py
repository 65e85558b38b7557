"""Huawei VRP and H3C Comware: `<189>TIME HUAWEI %%01IFNET/4/LINK_STATE(l)[12]:text`.

The module is the application, `MODULE/LEVEL/NAME` the message's id; both stay in the text. Documented in
Huawei's "Log Reference" (log format) and H3C's "System Log Messages Reference" (`%%10` and `%%01`: versions).
"""

import re

from appliance.relay.parse import header
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_LINE = re.compile(
    rb" {0,4}(?:(%b) {1,4})?(?:\([A-Za-z0-9 ]{1,32}\) {1,4})?(?=%%%%[0-9]{2}(([A-Z0-9_]{1,64})/[0-9]/[A-Z0-9_]{1,128}))"
    % header.HOST
)


def _read(message: Message) -> Record | None:
    found = _LINE.match(message.body)
    if not found:
        return None
    if found.string[found.end() : found.end() + 4] == b"%%10":
        message.vendor, message.product = "H3C", "Comware"
    return message.record(message.body[found.end() :], host=found[1] or b"-", application=found[3], message_id=found[2])


DIALECT = Dialect("Huawei", "VRP", (b"%%01", b"%%10"), _read)
