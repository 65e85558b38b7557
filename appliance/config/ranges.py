"""Addresses and address ranges of a configuration: whether a text is one, and which are this machine's own. Pure."""

import ipaddress
from collections.abc import Iterator

from appliance.config.problems import Problem, shown


def is_address(text: str) -> bool:
    """Return whether a text is an IPv4 or IPv6 address, without zone (`%eth0`), which could hold anything."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def is_loopback(host: str) -> bool:
    """Return whether a listening address can be reached from this machine alone."""
    if host == "localhost":
        return True
    return is_address(host) and ipaddress.ip_address(host).is_loopback


def check_range(text: str, where: str) -> Iterator[Problem]:
    """Yield problems with an address or range."""
    if "%" in text:
        yield Problem(where, "not an address or range", "leave out the zone, which is what follows %", shown(text))
        return
    try:
        ipaddress.ip_network(text)
    except ValueError:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            yield Problem(where, "not an address or range", "such as 10.1.0.0/16 or 10.1.2.3", shown(text))
        else:
            yield Problem(where, "not the first address of its range", f"did you mean {network}?", shown(text))
