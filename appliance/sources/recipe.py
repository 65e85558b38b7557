"""What a recipe is: a kind of sender, and the lines that make it send, each for one transport.

A recipe is one file in `recipes/`; nothing else knows its name. Pure values: how this forwarder is
reached is `forwarder.py`, finding the recipes `register.py`, writing them out `render.py`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from appliance.sources.forwarder import Forwarder, Transport

Language = Literal["shell", "text", "yaml", "ini", "alloy", "rsyslog", "toml", "xml"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to do it: for some versions of the device and one transport."""

    title: str
    transport: Transport
    lines: tuple[str, ...]
    note: str = ""
    language: Language = "shell"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a statement comes from, and when it was made or read (a year and a month)."""

    where: str
    seen: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sender.

    `transports` are those that it can use, best first; `variants` yields the ways for the transports
    that are open, in the order in which they should be tried.
    """

    name: str
    title: str
    summary: str
    transports: tuple[Transport, ...]
    variants: Callable[[Forwarder], Iterable[Variant]]
    check: tuple[str, ...]
    sources: tuple[Source, ...]
    traps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """A kind filled in with one forwarder's address, ports and authority.

    `first` are settings that must be made here before anything works; `better` are transports
    that would serve this kind better than those that are open.
    """

    kind: Kind
    variants: tuple[Variant, ...]
    first: tuple[str, ...] = ()
    better: tuple[str, ...] = ()


def fill_in(kind: Kind, at: Forwarder) -> Recipe:
    """Return the recipe for a kind at one forwarder, with what to switch on there."""
    variants = tuple(variant for variant in kind.variants(at) if at.port(variant.transport) is not None)
    served = {variant.transport for variant in variants}
    if not variants:
        return Recipe(kind, (), first=tuple(SWITCH_ON[transport] for transport in kind.transports))
    best = min(kind.transports.index(transport) for transport in served if transport in kind.transports)
    return Recipe(kind, variants, better=tuple(SWITCH_ON[transport] for transport in kind.transports[:best]))


SWITCH_ON: dict[Transport, str] = {
    "udp": "listeners: {udp: {}}",
    "tcp": "listeners: {tcp: {}}",
    "tls": "listeners: {tls: {}}",
    "relp": "listeners: {relp: {}}",
    "relp_tls": "listeners: {relp_tls: {}}",
    "push": "relay: {listen: {push: '0.0.0.0:3500'}, push: {tls: {}, clients: [{name: agents, "
    "token_file: /etc/appliance/secrets/agents}]}}   # appliance token new agents",
}
"""The setting that opens each transport, as it stands in appliance.yaml."""
