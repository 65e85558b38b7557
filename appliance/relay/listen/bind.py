"""Opening listening TCP sockets."""

import contextlib
import socket

from appliance.config.units import Endpoint
from appliance.errors import ApplianceError

BACKLOG = 2000
"""Connections that the kernel accepts ahead of us; it keeps to net.core.somaxconn as well."""


def open_listener(endpoint: Endpoint, *, section: str = "relay.listen") -> socket.socket:
    """Return a listening TCP socket; `:port` and `[::]:port` take IPv4 and IPv6.

    Raise ApplianceError, with a hint that names the configuration's `section`, when it cannot be had.
    """
    host, port = endpoint.host, endpoint.port
    try:
        if host in ("", "::") and socket.has_dualstack_ipv6():
            with contextlib.suppress(OSError):  # IPv6 may be switched off
                return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
        family, _, _, _, address = socket.getaddrinfo(
            host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise ApplianceError(
            f"cannot listen on {endpoint}: {error.strerror or error}",
            hint=f"see who holds the port with `ss -ltnp`, or set another address under {section}",
        ) from error
