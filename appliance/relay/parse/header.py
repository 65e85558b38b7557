"""The pieces of a header before the text: host and tag, as expressions that every reader shares.

All of them are anchored where they are used and take each byte once: no input makes them slow.
"""

import re

from appliance.relay.parse import zones

HOST = rb"[A-Za-z0-9_\x80-\xff](?:[A-Za-z0-9._:%\x80-\xff-]*[A-Za-z0-9_\x80-\xff])?"
"""A name, an IPv4 or an IPv6 address; some are not ASCII."""
TAG = rb"(?:[-#](?=[A-Za-z]))?[A-Za-z0-9_./(][]A-Za-z0-9_./()@+#%,*~$-]*+"
PROCESS = rb"[^][ :]{1,128}"

_LONGEST = 255  # characters of a name (RFC 1035 section 2.3.4)
_ADDRESS = re.compile(rb"(?:[0-9]{1,3}\.){3}[0-9]{1,3}\Z|(?=[^:]*:[^:]*:)[0-9A-Fa-f:]+(?:\.[0-9.]+)?(?:%[\w.-]+)?\Z")
_MACHINE = re.compile(rb"[A-Za-z_]++[0-9]++\Z|(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_]*[0-9._-][A-Za-z0-9._-]*[A-Za-z0-9]\Z")
_PORT = re.compile(rb"((?:[0-9]{1,3}\.){3}[0-9]{1,3}):[0-9]{1,5}\Z")
_FULL_NAME = re.compile(rb"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}\.[A-Za-z]{2,24}\Z")
_NO_HOST = frozenset(
    b"ERROR ERR WARN WARNING INFO DEBUG NOTICE CRIT CRITICAL FATAL TRACE ALERT EMERG SEVERE FINE".split()
)


def is_address(word: bytes) -> bool:
    """Return whether this is an IPv4 or IPv6 address."""
    return bool(_ADDRESS.match(word))


def is_machine(word: bytes) -> bool:
    """Return whether a word without context is a machine's name or address rather than a word of a language."""
    return len(word) <= _LONGEST and (bool(_MACHINE.match(word)) or is_address(word))


def is_full_name(word: bytes) -> bool:
    """Return whether this is an address or a name with its domain, which no program is called."""
    return len(word) <= _LONGEST and (bool(_FULL_NAME.match(word)) or is_address(word))


def can_be_host(word: bytes) -> bool:
    """Return whether a word where the host stands can be one: zones and severities are none."""
    return word not in zones.NAMES and word.upper() not in _NO_HOST


def same_machine(one: bytes, other: bytes) -> bool:
    """Return whether two names are one machine's, with or without its domain."""
    return one.partition(b".")[0].lower() == other.partition(b".")[0].lower()


def name_of(host: bytes) -> bytes:
    """Return the machine's name of a host as relays write it.

    An address without its brackets or the sender's port, a name without the root's dot; of syslog-ng's chain
    `client/relay` the client, and of `source@client` too.
    """
    if host[:1] == b"[":
        return host.strip(b"[]")
    name = host.partition(b"/")[0].rpartition(b"@")[2].rstrip(b".")
    with_port = _PORT.match(name)
    return with_port[1] if with_port else name
