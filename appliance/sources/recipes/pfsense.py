"""pfSense firewalls: the built-in syslogd, over UDP only."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder
from appliance.sources.recipe import Kind, Source, Variant


def _variants(at: Forwarder) -> Iterator[Variant]:
    if at.udp is not None:
        lines = (
            "Status > System Logs > Settings:",
            "Log Message Format: syslog (RFC 5424, with RFC 3339 microsecond-precision timestamps)",
            "Enable Remote Logging: yes",
            f"IP Protocol: {'IPv6' if at.is_ipv6 else 'IPv4'}",
            f"Remote log servers: {at.host}:{at.udp}",
            "Remote Syslog Contents: Everything",
        )
        yield Variant("pfSense over UDP", "udp", lines, "", "text")


KIND = Kind(
    name="pfsense",
    title="pfSense",
    summary="pfSense sends over UDP. Set the RFC 5424 format: the default, BSD, has no time zone.",
    transports=("udp",),
    variants=_variants,
    check=("Save; here `appliance status` shows the firewall as a sender with the next log line.",),
    traps=(
        "The format is one setting for local and remote logs; scripts that read the local files see the new one.",
        "TCP and TLS need the syslog-ng package; its destination is `appliance sources syslog-ng`.",
        "Source Address must be one that this forwarder can be reached from, behind a VPN above all.",
    ),
    sources=(Source("https://docs.netgate.com/pfsense/en/latest/monitoring/logs/remote.html", "2026-08"),
             Source("https://docs.netgate.com/pfsense/en/latest/monitoring/logs/settings.html", "2026-08")),
)  # fmt: skip
