"""VMware ESXi, vCenter and NSX.

    <166>2026-11-27T06:30:01.123Z esx01.example.org Hostd: info hostd[2099] [Originator@6876 sub=Vimsvc] text
    <134>2026-11-27T06:30:01.123Z esx01 FIREWALL-PKTLOG - - - INET TERM PASS …

The first is RFC 3164 with another timestamp, which needs nothing here; the second is RFC 5424 without its
version. Documented in Broadcom's "Configure ESXi Syslog" and "ESXi Log Files" (names of the programs).
"""

import re

from appliance.relay.parse import header, structured
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_UNVERSIONED = re.compile(
    rb" {0,4}(%b) ([A-Za-z0-9_./-]{1,48}) (-|[0-9]{1,10}) (-|[A-Za-z0-9_]{1,32}) (?:-(?= |\Z)|(?=\[))" % header.HOST
)


def _read(message: Message) -> Record | None:
    found = _UNVERSIONED.match(message.body)
    if not found or not message.has_zone or message.headless:
        return None
    text = message.body[found.end() :]
    end = structured.end_of(text, 0)
    data = b""
    if end > 0:
        data, text = text[:end], text[end:]
    elif text[:1] == b"[":
        return None
    return message.record(
        text.removeprefix(b" "),
        host=found[1],
        application=found[2],
        process=found[3],
        message_id=found[4],
        structured_data=data,
    )


DIALECT = Dialect(
    "VMware",
    "ESXi",
    (b" - ", b" [", b" -"),
    _read,
    (b"Hostd", b"hostd", b"Vpxa", b"vpxa", b"vmkernel", b"vmkwarning", b"vobd", b"Rhttpproxy", b"Fdm", b"hostd-probe",
     b"dfwpktlogs", b"FIREWALL-PKTLOG", b"vmauthd"),
)  # fmt: skip
