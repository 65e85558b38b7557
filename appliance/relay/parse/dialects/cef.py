"""CEF and LEEF, the event formats of ArcSight and QRadar, which many devices put behind a header or send alone.

    <134>TIME gw1 CEF:0|Check Point|VPN-1 & FireWall-1|Check Point|Log|Accept|5|src=…
    <13>TIME fw2: LEEF:2.0|Vendor|Product|1.0|EventID|^|src=…

The product is the application unless a tag stands before it, and the event stays whole with its prefix.
Documented in "ArcSight Common Event Format (CEF) Implementation Standard" and IBM's "LEEF overview".
"""

import re

from appliance.relay.parse import header
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_FIELD = rb"([^|\\]{0,255}(?:\\.[^|\\]{0,255}){0,16})"
_EVENT = re.compile(
    rb" {0,4}(?:(?P<host>%b) ?:? {1,4})??(?:(?P<tag>%b)(?:\[(?P<process>%b)\])?(?: -)?:? {1,4})?"
    rb"(?P<event>(?:CEF: ?[0-9]|LEEF:[0-9.]{1,4})\|)(?:%b\|%b\|)?"
    % (header.HOST, header.TAG, header.PROCESS, _FIELD, _FIELD)
)
_SPACED_HOST = re.compile(rb" {0,4}([A-Za-z0-9_\x80-\xff][^:|\0-\x1f]{0,62}?) (?=(?:CEF: ?[0-9]|LEEF:[0-9.]{1,4})\|)")


def _read(message: Message) -> Record | None:
    found = _EVENT.match(message.body)
    spaced = _SPACED_HOST.match(message.body) if message.stamp and not found else None
    if spaced:  # UniFi consoles are called as their owner likes
        found = _EVENT.match(message.body, spaced.end())
    if not found:
        return None
    host, tag, process, _, vendor, product = found.groups()
    host = host or (spaced[1] if spaced else None)
    if host and tag and not process and header.same_machine(host, tag):
        tag = None  # consoles say their name twice
    if host is None and tag and message.stamp and not process:
        host, tag = tag, None  # one word: the host, with or without a colon
    message.vendor = (vendor or b"").decode("utf-8", "replace")
    message.product = (product or b"").decode("utf-8", "replace")
    text = message.whole if message.headless else message.body[found.start("event") :]
    return message.record(text, host=host or b"-", application=tag or product or b"-", process=process)


DIALECT = Dialect("", "", (b"CEF:", b"LEEF:"), _read)
