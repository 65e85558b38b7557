"""RFC 3164 as it is written in the wild: HOST TAG[PROCESS]: TEXT behind the time, as much of it as there is.

Section 4.1 describes what was seen in 2001 rather than prescribing it, so everything here is decided by
what can be certain: what is not stays in the text. A line without a priority is taken apart only if its
header is complete; otherwise it may be a line of any file, and is text as a whole, with its time.
"""

import re

from appliance.relay.parse import header, structured
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

# What the compiled path reads as well, and nothing that a dialect could claim: no tag of digits alone, with
# commas, parentheses or a percent sign.
_PLAIN = re.compile(
    rb"(?=[^ ]*[A-Za-z:.])([A-Za-z0-9](?:[A-Za-z0-9._:-]*[A-Za-z0-9])?) "
    rb"((?=[^ :[]*[A-Za-z])[A-Za-z0-9_./][A-Za-z0-9_./@+~-]*+)(?:\[([A-Za-z0-9_.-]++)\])?:(?: |\Z)"
)
_PLAIN_TAG = re.compile(rb"([A-Za-z_/][A-Za-z0-9_./-]*+)\[([0-9]++)\]: ")
# The general form. Before the host may stand `facility.level`; behind it its own name or address once more, or
# the level (F5 BIG-IP: `bigip1 notice mcpd[6760]:`).
_LEVEL = rb"(?:[a-z0-9]{2,8}\.(?:emerg|alert|crit|err|error|warn|warning|notice|info|debug) {1,4})?"
_HOST = rb"(%b(?:[/@]%b){0,4}\.?|\[[0-9A-Fa-f:.]+\]|-)" % (header.HOST, header.HOST)
_TAGGED = rb"(%b)(?:\[(%b)\])?(?: -)?(?: ?:(?: |\Z)|(?<=\])(?::| ))" % (header.TAG, header.PROCESS)
_HOST_TAG = re.compile(rb" {0,4}%b%b {0,2}:? {1,4}(?:(%b) {1,4})?%b" % (_LEVEL, _HOST, header.HOST, _TAGGED))
_NAME_TWICE = re.compile(rb" {0,4}(?P<name>[A-Za-z0-9_][^:[\]\0-\x1f]{0,62}?) (?P=name) %b" % _TAGGED)
_TAG_PROCESS = re.compile(rb" {0,4}(%b)\[(?:(%b)\](?: -)? ?: ?|([0-9]{1,10})\] )" % (header.TAG, header.PROCESS))
_TAG = re.compile(rb" {0,4}(%b)(?: -)?:(?: |\Z)" % header.TAG)
_EMPTY_TAG = re.compile(rb" {0,4}(%b) :(?: |\Z)" % header.HOST)
_DATE = re.compile(rb" {0,4}(%b) (?=(?:19|20)[0-9]{2} [A-Z][a-z]{2} [ 0-9][0-9]? )" % header.HOST)
_BRACKETS = re.compile(rb" {0,4}(%b) \[(?:([0-9]{1,10})|([A-Za-z_][A-Za-z0-9_.-]{0,63}))\]:(?: |\Z)" % header.HOST)
# A program with spaces in its name, as on desktops and Windows: `Service Control Manager[604]: `
_SPACED = re.compile(
    rb" {0,4}(%b) ([A-Z][A-Za-z0-9._-]{0,40}(?: [A-Za-z0-9._-]{1,40}){1,4})\[([0-9]{1,10})\]: ?" % header.HOST
)
_PAIRS = re.compile(
    rb" {0,4}(%b) (?=(?:[A-Za-z_][A-Za-z0-9_.-]{0,40}=(?:\"[^\"]{0,255}\"|[^ \"]{0,255}) ){4})" % header.HOST
)
_LOWER_TAG = re.compile(rb" ?([a-z0-9_./-]++): ")
_UNTIMED = re.compile(rb"(%b) (?=[A-Za-z_/])%b" % (header.HOST, _TAGGED))
_CUT_TAG = re.compile(rb"(%b) (?=[^ ]{32} )([^][ :]+)(?:\[[^] :]*)? " % header.HOST)
_JSON = re.compile(rb" {0,4}(%b) (%b) (?=\{[\"}])" % (header.HOST, header.TAG))
_COMMA = re.compile(rb"(%b),(?=[A-Za-z0-9_]{1,40}=)" % header.HOST)
_SYSLOGD = re.compile(rb" {0,4}(%b) (?=-- MARK --|last message repeated |message repeated )" % header.HOST)
_WORD = re.compile(rb" {0,4}([^ ]+?):?(?: |\Z)")
_LEVELS = frozenset(b"emerg alert crit critical err error warning warn notice info debug".split())
_PARENTHESES = re.compile(rb"([^()]+)\(([0-9]+)\)\Z")


def plain(message: Message) -> Record | None:
    """Return the record of a well-formed header, which no dialect has a claim to."""
    found = _PLAIN.match(message.body)
    if found:
        host, tag, process = found.groups()
        if not header.can_be_host(host) or not _certain(message, host, process):
            return None
        return message.record(message.body[found.end() :], host=host, application=tag, process=process)
    found = _PLAIN_TAG.match(message.body)
    if found:
        return message.record(message.body[found.end() :], application=found[1], process=found[2])
    return None


def _certain(message: Message, host: bytes, process: bytes | None) -> bool:
    """Return whether `host tag:` is a header for sure: `Starting server: ready` of some file is none."""
    return not message.headless or process is not None or header.is_machine(host)


def read(message: Message) -> Record:
    """Return the record of any message."""
    body = message.body
    found = _HOST_TAG.match(body) if message.stamp else None
    if found and header.can_be_host(found[1]) and _certain(message, found[1], found[4]):
        host, twice, tag, process = found.groups()
        if twice is None or header.same_machine(host, twice) or header.is_address(twice):
            return _tagged(message, tag, process, body[found.end() :], host=host)
        if twice in _LEVELS:
            return _tagged(message, tag, process, body[found.end() :], host=host, level=twice)
    found = _NAME_TWICE.match(body) if message.stamp else None
    if found:
        return _tagged(message, found[2], found[3], body[found.end() :], host=found[1])
    found = _SPACED.match(body) if message.stamp else None
    if found and header.can_be_host(found[1]):
        return _tagged(message, found[2], found[3], body[found.end() :], host=found[1])
    found = _BRACKETS.match(body) if message.stamp and not message.headless else None
    if found and header.can_be_host(found[1]):
        return _tagged(message, found[3] or b"-", found[2], body[found.end() :], host=found[1])
    found = _TAG_PROCESS.match(body)
    if found and (found[2] or message.stamp):
        return _tagged(message, found[1], found[2] or found[3], body[found.end() :])
    found = (_TAG if message.stamp else _LOWER_TAG).match(body)
    if found and not (message.stamp and (message.headless or header.is_full_name(found[1]))):
        return _tagged(message, found[1], None, body[found.end() :])
    return _untagged(message, body) if message.stamp else _untimed(message, body)


def _untimed(message: Message, body: bytes) -> Record:
    """Return what has neither a time nor a tag in front; a host is certain by its address or full name only."""
    found = _UNTIMED.match(body)
    if found and header.is_full_name(found[1]) and not message.headless:
        return _tagged(message, found[2], found[3], body[found.end() :], host=found[1])
    return message.record(message.whole, "unparsed")


def _untagged(message: Message, body: bytes) -> Record:
    """Return what has a time and no tag."""
    found = _CUT_TAG.match(body)
    if found:
        # XCP-ng's rsyslog cuts the tag at 32 characters, which takes its colon.
        return message.record(body[found.end() :], "cuttag", host=found[1], application=found[2])
    if message.headless:
        return message.record(message.whole, "notag")
    found = _JSON.match(body)
    if found and header.is_machine(found[1]):
        return message.record(body[found.end() :], host=found[1], application=found[2])
    found = _SYSLOGD.match(body) or _DATE.match(body) or _EMPTY_TAG.match(body)
    found = found or _PAIRS.match(body) or _COMMA.match(body)
    if found and header.can_be_host(found[1]):
        return message.record(body[found.end() :], "notag", host=found[1])
    found = _WORD.match(body)
    if found and header.is_machine(found[1]) and header.can_be_host(found[1]):
        return message.record(body[found.end() :], "notag", host=found[1])
    return message.record(body, "notag")


def _tagged(
    message: Message, tag: bytes, process: bytes | None, text: bytes, host: bytes = b"-", level: bytes | None = None
) -> Record:
    if tag[-1:] == b")" and process is None:
        number = _PARENTHESES.match(tag)
        if number:
            tag, process = number.groups()
    name = header.name_of(host)
    chain = None if name == host or host[:1] == b"[" else host
    data = structured.element(b"header", (b"host", chain), (b"level", level)) if chain or level else b""
    return message.record(text, host=name, application=tag, process=process, structured_data=data)
