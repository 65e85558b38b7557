"""MikroTik RouterOS: topics, joined by commas, in front of the text, with and without RFC 3164's header.

    <30>system,info,account user admin logged in from 10.0.0.9 via ssh
    <30>TIME MikroTik firewall,info forward: in:ether1 out:ether2 …

The first topic is the application; all of them stay in the text, where people look for them. Documented in
MikroTik's "Log" (topics, actions of type remote, bsd-syslog).
"""

import re

from appliance.relay.parse import header
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_TOPICS = re.compile(
    rb" {0,4}(?:(%b) {1,4})?(?=([a-z][a-z0-9-]{1,24})((?:,!?[a-z][a-z0-9-]{1,24}){1,8})(?:[: ]|\Z))" % header.HOST
)
_LEVELS = frozenset(b"info error warning critical debug raw packet event account state read write calc".split())


def _read(message: Message) -> Record | None:
    found = _TOPICS.match(message.body)
    if not found or message.headless or _LEVELS.isdisjoint(found[3].split(b",")):
        return None
    return message.record(message.body[found.end() :], host=found[1] or b"-", application=found[2])


DIALECT = Dialect("MikroTik", "RouterOS", (b",",), _read)
