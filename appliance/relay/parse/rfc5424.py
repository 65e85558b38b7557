"""RFC 5424 with something missing or wrong: no time, no host, no priority, structured data that is none.

What is well-formed is read by the compiled path (`relay/hot/`); the results here are the same.
"""

import re

from appliance.relay.parse import structured
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_HEADER = re.compile(
    rb"[1-9][0-9]? (?:-|([0-9]{4}-[0-9]{1,2}-[0-9]{1,2}[Tt][^ ]*)) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+)(?: |\Z)",
)


_VERSION = re.compile(rb"[1-9][0-9]? (?=[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt])")


def take_time(message: Message) -> bool:
    """Take the time behind the version of a message whose header ends too early (`1 TIME HOST LEEF:1.0|…`)."""
    version = _VERSION.match(message.whole)
    return version is not None and message.take_time(message.whole, version.end())


def read(message: Message) -> Record | None:
    """Return the record of `1 TIME HOST APP PROCID MSGID [SD] TEXT`; None for what does not begin like that."""
    found = _HEADER.match(message.whole)
    if not found:
        return None
    stamp, host, application, process, message_id = found.groups()
    words: tuple[str, ...] = ()
    if stamp and not message.take_time(stamp):
        return None
    message.has_zone = bool(message.stamp)
    rest = message.whole[found.end() :]
    if message_id[:1] == b"[":  # the id was left out, and with it the structured data: text begins here
        rest, message_id = message.whole[found.start(5) :], b"-"
    data = b""
    if rest[:1] == b"[":
        end = structured.end_of(rest, 0)
        if end > 0:
            data, rest = rest[:end], rest[end:]
            if rest[:1] == b" ":
                rest = rest[1:]
        else:
            words = ("structured_data",)
    elif rest[:2] == b"- " or rest == b"-":
        rest = rest[2:]
    elif rest:
        words = ("structured_data",)
    return message.record(
        rest,
        *words,
        host=host,
        application=application,
        process=process,
        message_id=message_id,
        structured_data=data,
    )
