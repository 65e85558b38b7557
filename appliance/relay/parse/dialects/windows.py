"""Windows' event log as agents forward it in Snare's form: `<13>TIME WIN01 MSWinEventLog<TAB>1<TAB>Security<TAB>…`.

Sources with spaces in their names (`Service Control Manager[604]: text`) are read by `rfc3164`.

Documented in "Snare for Windows: Log format" and NXLog's xm_syslog (`to_syslog_snare`, `to_syslog_bsd`).
"""

import re

from appliance.relay.parse import header, structured
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_SNARE = re.compile(rb" {0,4}(?:(%b)[ \t]+)?(MSWinEventLog)(?:[\t, ]|#011)" % header.HOST)
_SNARE_FIELDS = re.compile(rb"[0-9]*[\t,]([^\t,]{1,64})[\t,][0-9]*[\t,][^\t]{1,40}\t[0-9]*\t([^\t]{1,128})\t")


def _read(message: Message) -> Record | None:
    found = _SNARE.match(message.body)
    if found:
        text = message.body[found.end() :]
        fields = _SNARE_FIELDS.match(text)
        return message.record(
            text,
            host=found[1] or b"-",
            application=found[2],
            structured_data=structured.element(
                b"windows", (b"log", fields and fields[1]), (b"source", fields and fields[2])
            ),
        )
    return None


DIALECT = Dialect(
    "Microsoft", "Windows", (b"MSWinEventLog",), _read, (b"Microsoft-Windows-Security-Auditing", b"MSWinEventLog")
)
