"""Synology DSM: the package Log Center."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder, Transport
from appliance.sources.recipe import Kind, Source, Variant


def _variants(at: Forwarder) -> Iterator[Variant]:
    transports: tuple[Transport, ...] = ("tls", "tcp", "udp")
    for transport in transports:
        if (port := at.port(transport)) is None:
            continue
        secure = (
            ("Enable secure connection (SSL): yes; Import certificate:", *at.authority_lines())
            if transport == "tls"
            else ()
        )
        lines = (
            "Package Center: install Log Center. Then Log Center > Log Sending:",
            "Send logs to a syslog server: yes",
            f"Server: {at.name if transport == 'tls' else at.address}",
            f"Port: {port}",
            f"Transfer protocol: {'UDP' if transport == 'udp' else 'TCP'}",
            "Log format: IETF (RFC 5424)",
            *secure,
        )
        yield Variant(f"DSM 6 and 7, by {transport.upper()}", transport, lines, "", "text")


KIND = Kind(
    name="synology",
    title="Synology DSM",
    summary="Log Center sends the NAS's own log over UDP, TCP or TLS; IETF is RFC 5424 with a time zone.",
    transports=("tls", "tcp", "udp"),
    variants=_variants,
    check=("Log Center > Log Sending > Send test log, then here `appliance status` shows the NAS as a sender.",),
    traps=(
        "File transfer logs come only when they are switched on for each service (SMB, AFP, WebDAV).",
        "Docker containers' output is not in Log Center: `appliance sources docker`.",
    ),
    sources=(Source("https://kb.synology.com/en-global/DSM/help/LogCenter/logcenter_client", "2025-05"),),
)
