"""Which ports are open to the network, as the configuration says. Pure."""

from dataclasses import dataclass
from typing import Literal

from appliance.config.model import Config
from appliance.host.layout import TLS


@dataclass(frozen=True, slots=True)
class OpenPort:
    protocol: Literal["tcp", "udp"]
    port: int
    address: str | None  # None: all addresses
    name: str  # the key in the configuration
    owner: Literal["rsyslog", "receiver", "relay", "ssh"]
    max_connections: int | None = None  # where the program itself keeps no bound

    @property
    def family(self) -> str:
        """Return the nftables family of the address: ip or ip6."""
        return "ip6" if self.address and ":" in self.address else "ip"


def open_ports(config: Config) -> list[OpenPort]:
    """Return every port that others may reach, in a stable order; loopback ones are not among them."""
    found: list[OpenPort] = []
    listeners = config.listeners
    if listeners.udp:
        found.append(OpenPort("udp", listeners.udp.port, listeners.udp.address, "listeners.udp", "rsyslog"))
    for name in ("tcp", "tls", "relp", "relp_tls"):
        listener = getattr(listeners, name)
        if listener is not None:
            # imrelp alone of rsyslog's inputs takes as many as come.
            bound = listener.max_connections if name in ("relp", "relp_tls") else None
            owner: Literal["receiver", "rsyslog"] = "receiver" if name == "tcp" else "rsyslog"
            found.append(OpenPort("tcp", listener.port, listener.address, f"listeners.{name}", owner, bound))
    for name in ("relp", "syslog_tcp", "push", "http"):
        endpoint = getattr(config.relay.listen, name)
        if endpoint is not None and not _is_loopback(endpoint.host):
            address = None if endpoint.host in ("", "0.0.0.0", "::") else endpoint.host
            found.append(OpenPort("tcp", endpoint.port, address, f"relay.listen.{name}", "relay"))
    if config.access.ssh:
        found.append(OpenPort("tcp", 22, None, "access.ssh", "ssh"))
    return found


def uses_own_certificate(config: Config) -> bool:
    """Return whether a listener uses the certificate that the appliance keeps itself."""
    push = config.relay.push.tls
    return rsyslog_uses_own_certificate(config) or (push is not None and push.cert_file.startswith(f"{TLS}/"))


def rsyslog_uses_own_certificate(config: Config) -> bool:
    """Return whether a listener of rsyslog uses the certificate that the appliance keeps itself."""
    listeners = (config.listeners.tls, config.listeners.relp_tls)
    return any(listener is not None and listener.tls.cert_file.startswith(f"{TLS}/") for listener in listeners)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
