"""NetApp ONTAP: events of the EMS in its own form, and the audit log.

    <5>TIME [node-01:raid.spares.media_scrub.start:notice]: text        legacy-netapp
    <14>TIME cluster-01: cluster-01: 00000030.00c8f1e2 11e5347f Thu Oct 03 2024 … [kern_audit:info:3167] text

The node is the host, the event the message's id, and the process or, without one, the event's first part, the
subsystem, the application. Of the
audit log the application is the log's name (`kern_audit`), and the text is whole.
Documented in NetApp's "event notification destination create" (`-syslog-message-format legacy-netapp`) and
"cluster log-forwarding create"; samples in splunk/splunk-connect-for-syslog issues 1725 and 2610.
"""

import re

from appliance.relay.parse import header, structured
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_EVENT = re.compile(
    rb" {0,4}(?:%b:? {1,4})?\[ ?(?P<node>[A-Za-z0-9][A-Za-z0-9._-]*+): ?"
    rb"(?:(?P<process>[A-Za-z][A-Za-z0-9_-]{0,63}): ?(?=[A-Za-z0-9_-]+\.))?"
    rb"(?P<event>(?P<subsystem>[A-Za-z][A-Za-z0-9_-]*)(?:\.[A-Za-z0-9_-]+)*)"
    rb"(?:: ?(?P<severity>[A-Za-z_]+))? ?\]:?(?: |\Z)" % header.HOST
)
_AUDIT = re.compile(rb" {0,4}(%b): (?:%b: )?(?=[0-9a-f]{8}\.[0-9a-f]{8} [0-9a-f]{8} )" % (header.HOST, header.HOST))
_LOG = re.compile(rb" \[([a-z_]{1,64})(?::[a-z]+)?(?::?[0-9]+)?\] ")


def _read(message: Message) -> Record | None:
    body = message.body
    found = _EVENT.match(body)
    if found and (message.stamp or b"." in found["event"]):
        return message.record(
            body[found.end() :],
            host=found["node"],
            application=found["process"] or found["subsystem"],
            message_id=found["event"],
            structured_data=structured.element(b"netapp", (b"severity", found["severity"])),
        )
    found = _AUDIT.match(body)
    if not found:
        return None
    log = _LOG.search(body, found.end(), found.end() + 160)
    return message.record(body[found.end() :], host=found[1], application=log[1] if log else b"audit")


DIALECT = Dialect("NetApp", "ONTAP", (b":",), _read)
