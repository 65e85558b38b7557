"""RFC 3164 as it is written in the wild: HOST TAG[PROCESS]: TEXT behind the time, as much of it as there is.

Section 4.1 describes what was seen in 2001 rather than prescribing it, so everything here is decided by
what can be certain: what is not stays in the text. A line without a priority is taken apart only if its
header is complete; otherwise it may be a line of any file, and is text as a whole, with its time.
"""

import re

from appliance.relay.parse import header
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

# What the compiled path reads as well, and nothing that a dialect could claim: no tag of digits alone, with
# commas, parentheses or a percent sign.
_PLAIN = re.compile(
    rb"(?=[^ ]*[A-Za-z:.])([A-Za-z0-9](?:[A-Za-z0-9._:-]*[A-Za-z0-9])?) "
    rb"((?=[^ :[]*[A-Za-z])[A-Za-z0-9_./][A-Za-z0-9_./@+~-]*+)(?:\[([A-Za-z0-9_.-]++)\])?:(?: |\Z)"
)
# The general form; the host may be `-` or an address in brackets, and may be followed by its own name or address.
_HOST = rb"(%b|\[[0-9A-Fa-f:.]+\]|-)" % header.HOST
_HOST_TAG = re.compile(
    rb" *%b +(?:(%b) +)?(%b)(?:\[(%b)\])?:(?: |\Z)" % (_HOST, header.HOST, header.TAG, header.PROCESS)
)
_TAG_PROCESS = re.compile(rb" *(%b)\[(%b)\]:(?: |\Z)" % (header.TAG, header.PROCESS))
_TAG = re.compile(rb" *(%b):(?: |\Z)" % header.TAG)
_LOWER_TAG = re.compile(rb"([a-z0-9_./-]++): ")
_CUT_TAG = re.compile(rb"(%b) (?=[^ ]{32} )([^][ :]+)(?:\[[^] :]*)? " % header.HOST)
_WORD = re.compile(rb" *([^ ]+)(?: |\Z)")
_PARENTHESES = re.compile(rb"([^()]+)\(([0-9]+)\)\Z")


def plain(message: Message) -> Record | None:
    """Return the record of a well-formed header, which no dialect has a claim to."""
    found = _PLAIN.match(message.body)
    if not found:
        return None
    host, tag, process = found.groups()
    if not header.can_be_host(host):
        return None
    return message.record(message.body[found.end() :], host=host, application=tag, process=process)


def read(message: Message) -> Record:
    """Return the record of any message."""
    body = message.body
    if message.stamp:
        found = _HOST_TAG.match(body)
        if found and header.can_be_host(found[1]):
            host, twice, tag, process = found.groups()
            if twice is None or header.same_machine(host, twice) or header.is_address(twice):
                return _tagged(message, tag, process, body[found.end() :], host=header.name_of(host))
    found = _TAG_PROCESS.match(body)
    if found:
        return _tagged(message, found[1], found[2], body[found.end() :])
    found = (_TAG if message.stamp else _LOWER_TAG).match(body)
    if found:
        return _tagged(message, found[1], None, body[found.end() :])
    if not message.stamp:
        return message.record(message.whole, "unparsed")
    found = _CUT_TAG.match(body)
    if found:
        # XCP-ng's rsyslog cuts the tag at 32 characters, which takes its colon.
        return message.record(body[found.end() :], "cuttag", host=found[1], application=found[2])
    if message.headless:
        return message.record(message.whole, "notag")
    found = _WORD.match(body)
    if found and header.is_machine(found[1]):
        return message.record(body[found.end() :], "notag", host=found[1])
    return message.record(body, "notag")


def _tagged(message: Message, tag: bytes, process: bytes | None, text: bytes, host: bytes = b"-") -> Record:
    if tag[-1:] == b")" and process is None:
        number = _PARENTHESES.match(tag)
        if number:
            tag, process = number.groups()
    return message.record(text, host=host, application=tag, process=process)
