"""WatchGuard Fireware: `<140>TIME M200 80BE0D4FC2C0C M200 (2026-11-27T06:30:01) http-proxy[1741]: msg_id="…" text`.

Between the host and the program stand the serial number, the cluster's name and the device's own time, which
are kept as structured data. Documented in "Fireware Help", Configure Syslog Server Settings (the serial
number and the syslog header are optional), and "Fireware Log Catalog".
"""

import re

from appliance.relay.parse import header, structured
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_LINE = re.compile(
    rb" {0,4}(?P<host>%b) {1,4}(?:(?P<serial>[0-9A-F]{13})(?: (?P<cluster>%b))? {1,4})?"
    rb"\((?P<time>[0-9T:.Z +-]{19,35})\) (?P<program>%b)(?:\[(?P<process>%b)\])?:(?: |\Z)"
    % (header.HOST, header.HOST, header.TAG, header.PROCESS)
)


def _read(message: Message) -> Record | None:
    found = _LINE.match(message.body)
    if not found:
        return None
    if not message.stamp:
        message.take_time(found["time"])
    return message.record(
        found.string[found.end() :],
        host=found["host"],
        application=found["program"],
        process=found["process"],
        structured_data=structured.element(
            b"watchguard",
            (b"serial", found["serial"]),
            (b"cluster", found["cluster"]),
            (b"time", found["time"]),
        ),
    )


DIALECT = Dialect("WatchGuard", "Firebox", (b" (",), _read)
