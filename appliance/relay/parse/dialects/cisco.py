"""Cisco IOS, IOS XE, IOS XR, NX-OS, ASA, FTD, AireOS and their like: `%FACILITY-SEVERITY-MNEMONIC: text`.

The facility is the application and the whole mnemonic the message's id; both stay in the text, where people
look for them. Before them stand, each optional, a counter, the host, a sequence number and a time whose
asterisk says that the clock is not set: `45: rtr1: 000123: *Nov 27 06:30:01.123 CET: %LINK-3-UPDOWN: text`.
A relay may have put its own time and host in front of all that.

Documented in Cisco's "System Message Guide" (IOS: `seq no:timestamp: %facility-severity-MNEMONIC:description`;
`logging origin-id`, `service sequence-numbers`, `service timestamps`), in "Cisco ASA Series Syslog Messages"
(`logging timestamp`, `logging device-id`), in the NX-OS and IOS XR "System Monitoring" guides (`node-id:timestamp :
process-name : %message-group-severity-message-code : message-text`).
"""

import re

from appliance.relay.parse import header, structured, timestamps
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

# %ASA-6-302013 · %ASA-session-6-302013 · %PKT_INFRA-LINK-3-UPDOWN · %LINK-W-Down (small business switches)
_MNEMONIC = (
    rb"%(?P<id>(?P<facility>[A-Z][A-Z0-9_]*+)(?:-[A-Za-z0-9_]++){0,6}?-(?:[0-7]|[A-Z])-[A-Za-z0-9_]++"
    rb"(?:-[A-Za-z0-9_]++){0,6})(?=[: ]|\Z)"
)
_UPTIME = rb"(?:[0-9]+[wdhy][0-9]+[wdhms]|[0-9]{1,3}:[0-9]{2}:[0-9]{2}): "
_NAME = rb"(?!%b)(?=[0-9]*[A-Za-z.:])[A-Za-z0-9_.:-]*[A-Za-z0-9]" % _UPTIME
_BEFORE_TIME = re.compile(
    rb"[: ]*(?:(?P<count>[0-9]++): )?(?:(?P<origin>%b) ?: )?(?:(?P<sequence>[0-9]++): )?"
    rb"(?:(?P<router>[A-Za-z0-9_.-]++) (?=[A-Z0-9]{1,8}/[A-Z0-9/]{1,24}:))?"
    rb"(?:\*(?P<task>[A-Za-z][A-Za-z0-9_.-]*+): )?(?:(?P<node>[A-Z0-9]{1,8}/[A-Z0-9/]{1,24}):)?(?P<mark>[*.: ]*+)"
    rb"(?P<uptime>%b)?" % (_NAME, _UPTIME)
)
_MESSAGE = re.compile(
    rb"(?:(?P<host>%b) ?:? )?[: ]*(?:(?P<process>[A-Za-z][A-Za-z0-9_-]*)\[(?P<number>[0-9]+)\] ?: )?%b"
    % (header.HOST, _MNEMONIC)
)
_RELAY = re.compile(rb" {0,4}(%b) {1,4}" % header.HOST)
_PRODUCTS = {b"ASA": "ASA", b"FTD": "Firepower", b"PIX": "PIX", b"FWSM": "FWSM", b"UCSM": "UCS"}


def _read(message: Message) -> Record | None:
    body = message.body
    if message.stamp:
        found = _MESSAGE.match(body)
        if found:
            return _record(message, found, found["host"])
        relay = _RELAY.match(body)
        if not relay:
            return None
        before = _BEFORE_TIME.match(body, relay.end())
        host = relay[1]
    else:
        before = _BEFORE_TIME.match(body)
        host = None
    assert before  # it takes nothing, too
    stamp = None if before["uptime"] else timestamps.leading(body, before.end(), message.now, message.utc_offset)
    found = _MESSAGE.match(body, stamp.end if stamp else before.end())
    if not found:
        return None
    unsynchronized = b"*" in before["mark"]
    if stamp and not (unsynchronized and message.stamp):
        message.take(stamp, body)
    if unsynchronized:
        message.words += ("unsynced",)
    data = structured.element(
        b"cisco",
        (b"sequence", before["sequence"] or before["count"]),
        (b"node", before["node"]),
        (b"task", before["task"]),
    )
    return _record(message, found, found["host"] or before["origin"] or before["router"] or host, data)


def _record(message: Message, found: re.Match[bytes], host: bytes | None, data: bytes = b"") -> Record:
    message.product = _PRODUCTS.get(found["facility"], "")
    return message.record(
        found.string[found.start("id") - 1 :],
        host=host or b"-",
        application=found["process"] or found["facility"],
        process=found["number"],
        message_id=found["id"],
        structured_data=data,
    )


DIALECT = Dialect("Cisco", "", (b"%",), _read)
