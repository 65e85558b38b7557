"""OPNsense firewalls."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder, Transport
from appliance.sources.recipe import Kind, Source, Variant


def _variants(at: Forwarder) -> Iterator[Variant]:
    family = "6" if at.is_ipv6 else "4"
    transports: tuple[Transport, ...] = ("tls", "tcp", "udp")
    for transport in transports:
        if (port := at.port(transport)) is None:
            continue
        trust = (
            ("System > Trust > Authorities > Add, 'Import an existing Certificate Authority':", *at.authority_lines())
            if transport == "tls"
            else ()
        )
        lines = (
            *trust,
            "System > Settings > Logging > Remote > Add:",
            "Enabled: yes",
            f"Transport: {transport.upper()}({family})",
            "Applications, Levels, Facilities: empty, which is all",
            f"Hostname: {at.name if transport == 'tls' else at.address}",
            f"Port: {port}",
            "RFC5424: yes",
            *(("Certificate: a certificate of this firewall (the field is needed for TLS)",) if trust else ()),
        )
        yield Variant(f"By {transport.upper()}", transport, lines, "", "text")


KIND = Kind(
    name="opnsense",
    title="OPNsense",
    summary="OPNsense runs syslog-ng and sends over UDP, TCP or TLS; with 'RFC5424' ticked in a form with time zone.",
    transports=("tls", "tcp", "udp"),
    variants=_variants,
    check=("Save and apply; here `appliance status` shows the firewall as a sender with the next log line.",),
    traps=(
        "Without RFC5424 the lines have neither zone nor, in old versions, a host name.",
        "The transport's digit is the IP version: UDP(6) to an IPv4 address sends nothing.",
        (
            "filterlog, the packet filter's lines, are most of the volume: leave out filterlog under Applications if "
            "they are not wanted."
        ),
        "IDS alerts (eve.json) come only with 'Enable eve syslog output' in Services > Intrusion Detection.",
    ),
    sources=(
        Source("opnsense/core, src/opnsense/mvc/app/models/OPNsense/Syslog/Syslog.xml", "2026-08"),
        Source("opnsense/core, src/opnsense/service/templates/OPNsense/Syslog/syslog-ng-destinations.conf", "2026-08"),
        Source("https://docs.opnsense.org/manual/logging.html", "2026-08"),
    ),
)
