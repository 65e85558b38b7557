"""Lines that a relay wrapped in a header of its own: the device's host, time and priority count, not the relay's.

A relay that does not know what it forwards puts `<PRI>TIME HOST ` in front of it (RFC 3164 section 4.3.2,
and so rsyslog's and syslog-ng's `keep_hostname(no)`), priority of the device included or not, RFC 5424
inside RFC 3164 too. Kiwi Syslog Server writes `Original Address=10.0.0.1 ` behind its header or, without
one, behind the priority (SolarWinds, "Add an action to forward messages to another host"; Kiwi's help on
SyslogGen, "Source IP address"). AIX says `Message forwarded from HOST: ` behind its time (rsyslog, pmaixforwardedfrom).
"""

import re
from collections.abc import Callable

from appliance.relay.parse import header, structured, timestamps
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

DEPTH = 4
"""How many headers around a message are taken off."""

_PRIORITY = rb"<[0-9]{1,3}>"
_KIWI = rb"(?i:original address) ?= ?(?P<address>[0-9A-Fa-f.:]+) "
_MODERN = rb"1 (?:[0-9]{4}-|[0-9]{10}\.)"
_OUTER = re.compile(
    rb" {0,4}(?:(?P<host>%b(?:[/@]%b){0,4}|\[[0-9A-Fa-f:.]+\]) {0,2}:? {1,4})?(?:%b|(?=%b)|(?=%b))"
    % (header.HOST, header.HOST, _KIWI, _PRIORITY, _MODERN)
)
_AIX = re.compile(rb" {0,4}Message forwarded from (%b): ?" % header.HOST)
_HOST = re.compile(
    rb" {0,4}(%b(?:[/@]%b){0,4}|\[[0-9A-Fa-f:.]+\]) {0,2}:? {1,4}(?=[A-Za-z0-9*])" % (header.HOST, header.HOST)
)

Reader = Callable[[bytes, Message], Record]
"""Reads what is inside, given with the message around it."""


def read(message: Message, inner: Reader) -> Record | None:
    """Return the record of what is wrapped in this message, None if nothing is."""
    if message.depth >= DEPTH or (message.headless and not message.stamp):
        return None
    body = message.body
    found = _OUTER.match(body)
    if found:
        if message.stamp or not found["host"]:
            host = found["address"] or found["host"] or b"-"
            return _merged(message, inner(body[found.end() :], message), host, found["host"])
        return None
    if not message.stamp:
        return None
    found = _AIX.match(body)
    if found:
        return _merged(message, inner(body[found.end() :], message), found[1], None)
    found = _HOST.match(body)
    if not found or not header.can_be_host(found[1]):
        return None
    if timestamps.leading(body, found.end(), message.now, message.utc_offset) is None:
        return None
    record = inner(body[found.end() :], message)
    if record.application == b"-" or (record.host == b"-" and record.process == b"-"):
        # A time in the text, as many programs write it; what stands between two times is a host.
        return message.record(body[found.end() :], "notag", host=header.name_of(found[1]))
    return _merged(message, record, found[1], found[1])


def _merged(message: Message, record: Record, host: bytes, relay: bytes | None) -> Record:
    """Return the inner record, completed by what only the header around it says."""
    words = [word for word in record.words if word not in ("nopri", "unparsed")]
    unset = "unsynced" in words and bool(message.stamp)
    stamp, has_zone = record.stamp, record.has_zone
    if (not stamp or unset) and message.stamp:
        stamp, has_zone = message.stamp, message.has_zone
    if stamp and "notime" in words:
        words.remove("notime")
    known = record.host if record.host != b"-" else header.name_of(host)
    if known != b"-" and "nohost" in words:
        words.remove("nohost")
    if "unparsed" in record.words and "notag" not in words:
        words.append("notag")
    data = record.structured_data
    if relay and header.name_of(relay) != known:
        data += structured.element(b"relay", (b"host", header.name_of(relay)))
    words = [word for word in message.words if word not in words] + words
    return record._replace(host=known, stamp=stamp, has_zone=has_zone, words=tuple(words), structured_data=data)
