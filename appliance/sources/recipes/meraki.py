"""Cisco Meraki networks: set in the dashboard, sent over UDP by each device."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder
from appliance.sources.recipe import Kind, Source, Variant


def _variants(at: Forwarder) -> Iterator[Variant]:
    if at.udp is not None:
        lines = (
            "Network-wide > Configure > General > Reporting > Syslog servers > Add a syslog server:",
            f"Server IP: {at.address}",
            f"Port: {at.udp}",
            "Roles: Appliance event log, Security events, Switch event log, Wireless event log, Flows, URLs as wanted",
        )
        yield Variant("Meraki over UDP", "udp", lines, "", "text")


KIND = Kind(
    name="meraki",
    title="Cisco Meraki",
    summary="Meraki devices send lines of their own form over UDP: version 1, an epoch time, name, kind, fields.",
    transports=("udp",),
    variants=_variants,
    check=("Save; within a few minutes `appliance status` here shows the devices as senders.",),
    traps=(
        "Roles Flows and URLs send a line for each connection and page: that is most of the volume.",
        "Since MX 18.101 `flows` is called firewall, vpn_firewall or cellular_firewall.",
        "Through a VPN the sender's address is 6.x.x.x: the name in the line is what tells devices apart.",
    ),
    sources=(
        Source("https://documentation.meraki.com/General_Administration/Monitoring_and_Reporting/"
               "Syslog_Server_Overview_and_Configuration", "2025-06"),
    ),
)  # fmt: skip
