"""How senders reach this forwarder: its address, its name, its open ports and its authority. Pure."""

from dataclasses import dataclass, field
from typing import Literal

from appliance.config.model import Config

Transport = Literal["relp_tls", "relp", "tls", "tcp", "udp", "push"]
USUAL_PORTS: dict[Transport, int] = {
    "udp": 514, "tcp": 514, "tls": 6514, "relp": 2514, "relp_tls": 2515, "push": 3500,
}  # fmt: skip
CA_PLACEHOLDER = "<the output of: appliance tls export-ca>"


@dataclass(frozen=True, slots=True)
class Forwarder:
    """A forwarder as its senders see it. A port that is None is closed.

    `name` is the name in its certificate, `authority` the PEM text of the certificate that senders
    have to trust, empty when it is not known here.
    """

    address: str
    name: str
    udp: int | None = None
    tcp: int | None = None
    tls: int | None = None
    relp: int | None = None
    relp_tls: int | None = None
    push: int | None = None
    push_tls: bool = False
    push_token: bool = False
    wants_client_certificate: bool = False
    authority: str = field(default="", repr=False)

    @property
    def is_ipv6(self) -> bool:
        """Return whether the address is an IPv6 address, not a name and not IPv4."""
        return ":" in self.address

    @property
    def host(self) -> str:
        """Return the address as it stands before a port in URLs and rsyslog's targets: IPv6 in brackets."""
        return _bracketed(self.address)

    @property
    def named_host(self) -> str:
        """The name on our certificate as it stands before a port; an address when that is all we are known by."""
        return _bracketed(self.name)

    @property
    def push_url(self) -> str:
        """Return the URL for agents that push as they would to Loki."""
        where = f"https://{self.named_host}" if self.push_tls else f"http://{self.host}"
        return f"{where}:{self.push}/loki/api/v1/push"

    def port(self, transport: Transport) -> int | None:
        """Return the port of a transport, None when it is closed."""
        port: int | None = getattr(self, transport)
        return port

    def authority_lines(self) -> tuple[str, ...]:
        """Return the authority's PEM, or what to put there, line by line."""
        return tuple(self.authority.strip().splitlines()) or (CA_PLACEHOLDER,)

    def authority_base64(self) -> str:
        """Return the authority as VyOS and others want it: the Base64 of the PEM on one line."""
        lines = [line for line in self.authority.strip().splitlines() if "CERTIFICATE" not in line]
        return "".join(lines) or "<the output of: appliance tls export-ca | grep -v CERTIFICATE | tr -d '\\n'>"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def forwarder(config: Config, addresses: list[str], authority: str = "") -> Forwarder:
    """Return how senders reach the forwarder that this configuration describes."""
    listeners, push = config.listeners, config.relay.listen.push
    static = config.system.network.ipv4.address or config.system.network.ipv6.address
    address = addresses[0] if addresses else static.partition("/")[0] if static else config.system.hostname
    reachable = push is not None and not push.host.startswith("127.") and push.host not in ("localhost", "::1")
    servers = [listener.tls for listener in (listeners.tls, listeners.relp_tls) if listener]
    return Forwarder(
        address=address,
        name=config.system.hostname,
        udp=listeners.udp.port if listeners.udp else None,
        tcp=listeners.tcp.port if listeners.tcp else None,
        tls=listeners.tls.port if listeners.tls else None,
        relp=listeners.relp.port if listeners.relp else None,
        relp_tls=listeners.relp_tls.port if listeners.relp_tls else None,
        push=push.port if push is not None and reachable else None,
        push_tls=config.relay.push.tls is not None,
        push_token=any(client.token_file for client in config.relay.push.clients),
        wants_client_certificate=any(tls.client_certificates != "none" for tls in servers),
        authority=authority,
    )


def assumed(address: str, ports: dict[Transport, int], authority: str = "") -> Forwarder:
    """Return a forwarder of which only the address and the open ports are known.

    Its push listener is taken to speak TLS and to want a token, as one that is open to the network should.
    """
    return Forwarder(
        address=address,
        name=address,
        udp=ports.get("udp"),
        tcp=ports.get("tcp"),
        tls=ports.get("tls"),
        relp=ports.get("relp"),
        relp_tls=ports.get("relp_tls"),
        push=ports.get("push"),
        push_tls=True,
        push_token=True,
        authority=authority,
    )
