"""Cisco IOS and IOS XE routers and switches."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder
from appliance.sources.recipe import Kind, Source, Variant

_BEFORE = (
    "configure terminal",
    "service timestamps log datetime msec year show-timezone",
    "service sequence-numbers",
    "logging origin-id hostname",
    "logging trap informational",
)
_AFTER = ("end", "write memory")


def _variants(at: Forwarder) -> Iterator[Variant]:
    host = f"logging host ipv6 {at.address}" if at.is_ipv6 else f"logging host {at.address}"
    if at.tls is not None:
        yield Variant(
            "IOS XE 17.2 and later, over TLS", "tls",
            (
                *_BEFORE[:1],
                "crypto pki trustpoint FORWARDER",
                " enrollment terminal",
                " revocation-check none",
                "crypto pki authenticate FORWARDER",
                *at.authority_lines(),
                "quit",
                "logging tls-profile FORWARDER",
                *_BEFORE[1:],
                f"{host} transport tls port {at.tls} profile FORWARDER",
                *_AFTER,
            ),
            language="text",
        )  # fmt: skip
    if at.tcp is not None:
        yield Variant(
            "By TCP", "tcp", (*_BEFORE, f"{host} transport tcp port {at.tcp}", *_AFTER), language="text"
        )  # fmt: skip
    if at.udp is not None:
        port = "" if at.udp == 514 else f" transport udp port {at.udp}"
        yield Variant("By UDP", "udp", (*_BEFORE, f"{host}{port}", *_AFTER), language="text")


KIND = Kind(
    name="cisco-ios",
    title="Cisco IOS and IOS XE",
    summary="IOS sends a syslog of its own, with sequence numbers and a timestamp as it is configured.",
    transports=("tls", "tcp", "udp"),
    variants=_variants,
    check=("On the device: `send log 6 forwarder-test`, then here `appliance status` shows it as a sender.",),
    traps=(
        "Without `service timestamps log datetime` lines have the time since boot, or none.",
        "A `*` or `.` before the time means that the clock was never set or lost its source: configure ntp server.",
        ("show-timezone writes a name (CET), which is no zone: let the device run in UTC, or give it an entry in "
        "relay.time.senders."),
        ("`logging origin-id hostname` puts the name in front of the text; without it the sender's address is all "
        "that is known."),
    ),
    sources=(
        Source("https://www.cisco.com/c/en/us/td/docs/ios-xml/ios/esm/command/esm-cr-book/esm-cr-a1.html", "2024-07"),
        Source("https://www.cisco.com/c/en/us/td/docs/ios-xml/ios/fundamentals/command/cf_book/S_through_setup.html",
               "2024-07"),
    ),
)  # fmt: skip
