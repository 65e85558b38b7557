"""Windows' event log as agents forward it: Snare and NXLog's Snare form, and sources with spaces in their names.

    <13>TIME WIN01 MSWinEventLog<TAB>1<TAB>Security<TAB>…
    <14>TIME WIN01 Service Control Manager[604]: text

Documented in "Snare for Windows: Log format" and NXLog's xm_syslog (`to_syslog_snare`, `to_syslog_bsd`).
"""

import re

from appliance.relay.parse import header, structured
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_SNARE = re.compile(rb" {0,4}(?:(%b)[ \t]+)?(MSWinEventLog)[\t, ]" % header.HOST)
_SNARE_FIELDS = re.compile(rb"[0-9]*[\t,]([^\t,]{1,64})[\t,][0-9]*[\t,][^\t]{1,40}\t[0-9]*\t([^\t]{1,128})\t")
_SPACED = re.compile(
    rb" {0,4}(%b) ((?:[A-Z][A-Za-z0-9._-]{0,40} ){1,5}[A-Z][A-Za-z0-9._-]{0,40})\[([0-9]{1,10})\]: ?" % header.HOST
)


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
    found = _SPACED.match(message.body)
    if not found or not message.stamp:
        return None
    return message.record(message.body[found.end() :], host=found[1], application=found[2], process=found[3])


DIALECT = Dialect(
    "Microsoft", "Windows", (b"MSWinEventLog", b"]:"), _read, (b"Microsoft-Windows-Security-Auditing", b"MSWinEventLog")
)
