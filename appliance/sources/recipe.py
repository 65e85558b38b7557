"""Recipes as values, and what they are filled in with: this forwarder's address and open listeners. Pure."""

from dataclasses import dataclass, field

from appliance.config.model import Config


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to do it: for some versions of the device, or for one protocol."""

    title: str
    lines: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    device: str
    summary: str  # what the device sends, and what is best
    variants: tuple[Variant, ...] = ()
    missing: tuple[str, ...] = ()  # listeners to switch on first, and why
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forwarder:
    """How senders reach this forwarder: its address or name, and the ports that are open; None is off."""

    address: str
    name: str
    udp: int | None = None
    tcp: int | None = None
    tls: int | None = None
    relp: int | None = None
    push: int | None = None
    permitted_names: tuple[str, ...] = field(default=())
    wants_client_certificate: bool = False

    @property
    def host(self) -> str:
        """The address as it stands in URLs and rsyslog targets: IPv6 in brackets."""
        return f"[{self.address}]" if ":" in self.address else self.address


def forwarder(config: Config, addresses: list[str]) -> Forwarder:
    """Return how senders reach the forwarder that this configuration describes."""
    listeners, push = config.listeners, config.relay.listen.push
    static = config.system.network.ipv4.address or config.system.network.ipv6.address
    address = addresses[0] if addresses else static.partition("/")[0] if static else config.system.hostname
    reachable = push is not None and not push.host.startswith("127.") and push.host not in ("localhost", "::1")
    tls = listeners.tls.tls if listeners.tls else None
    return Forwarder(
        address=address,
        name=config.system.hostname,
        udp=listeners.udp.port if listeners.udp else None,
        tcp=listeners.tcp.port if listeners.tcp else None,
        tls=listeners.tls.port if listeners.tls else None,
        relp=listeners.relp.port if listeners.relp else None,
        push=push.port if push is not None and reachable else None,
        wants_client_certificate=bool(tls and tls.client_certificates != "none"),
    )
