"""Tells from a connection's first bytes that its sender does not speak syslog but another protocol.

Pure. Only what no syslog sender writes is recognized: whatever is in doubt is a message. An answer, where
the protocol has a short one, makes the other side report the problem at once instead of waiting.
"""

import re
from typing import NamedTuple

LOOK = 2100
"""Bytes that `recognize` looks at; the first line of an HTTP request may be long."""


class Foreign(NamedTuple):
    """A protocol: its key in counters, its name, the key of the listener that speaks it, and an answer."""

    key: str
    name: str
    listener: str = ""
    answer: bytes = b""


TLS = Foreign("tls", "TLS", "listeners.tls", b"\x15\x03\x01\x00\x02\x02\x46")
"""Answered by a fatal alert, protocol_version (RFC 8446, section 6)."""
HTTP = Foreign(
    "http",
    "HTTP",
    "relay.listen.push",
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 41\r\n\r\n"
    b"This port takes syslog over TCP, no HTTP\n",
)
SSH = Foreign("ssh", "SSH", "access.ssh")
RDP = Foreign("rdp", "RDP")
RELP = Foreign("relp", "RELP", "listeners.relp", b"0 serverclose 0\n")

ALL = {each.key: each for each in (TLS, HTTP, SSH, RDP, RELP)}

_PATTERNS = (
    (re.compile(rb"\x16\x03[\x00-\x04]"), TLS),  # a handshake record: RFC 8446, section 5.1
    (re.compile(rb"\x80.\x01\x03[\x00-\x03]", re.DOTALL), TLS),  # SSL 2's way to say hello: RFC 5246, E.2
    (re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE) [!-~]+ HTTP/1\.[01]\r?\n"), HTTP),
    (re.compile(rb"PRI \* HTTP/2\.0\r\n"), HTTP),  # RFC 9113, section 3.4
    (re.compile(rb"SSH-(?:2\.0|1\.\d+)-"), SSH),  # RFC 4253, section 4.2
    (re.compile(rb"\x03\x00\x00[\x0b-\xff][\x06-\xfe]\xe0"), RDP),  # a connection request in a TPKT: RFC 2126
    (re.compile(rb"[01] open \d+ relp_version="), RELP),
)
_CONTROL = frozenset(range(32)) - frozenset(b"\0\t\n\r")
_FIRST = frozenset(b"\x16\x80GHPDOCTS\x0301")


def is_unreadable(first: bytes) -> bool:
    """Return whether no text begins so; what stands between frames may come before it."""
    return bool(first) and first[0] in _CONTROL


def recognize(first: bytes) -> Foreign | None:
    """Return the protocol of a connection that begins with these bytes; None for syslog and too few bytes."""
    if not first or first[0] not in _FIRST:
        return None
    for pattern, protocol in _PATTERNS:
        if pattern.match(first):
            return protocol
    return None
