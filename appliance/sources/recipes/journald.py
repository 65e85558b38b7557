"""Linux machines that have only the systemd journal: systemd-netlogd forwards it by syslog, from its own position."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder, Transport
from appliance.sources.recipe import Kind, Source, Variant
from appliance.sources.rsyslog_action import AUTHORITY

FILE = "/etc/systemd/netlogd.conf.d/forwarder.conf"


def _variants(at: Forwarder) -> Iterator[Variant]:
    transports: tuple[Transport, ...] = ("tls", "tcp", "udp")
    for transport in transports:
        if (port := at.port(transport)) is None or (transport == "udp" and at.tcp is not None):
            continue
        if transport == "tls" and at.wants_client_certificate:
            continue  # it has no client certificate to show
        trust = (f"cat > {AUTHORITY} <<'END'", *at.authority_lines(), "END") if transport == "tls" else ()
        settings = (
            "[Network]",
            f"Address={at.host}:{port}",
            f"Protocol={transport}",
            f"LogFormat={'rfc5425' if transport == 'tls' else 'rfc5424'}",
            *((f"TLSServerCertificate={AUTHORITY}", "TLSCertificateAuthMode=deny") if transport == "tls" else ()),
            *(("KeepAlive=yes", "KeepAliveTimeSec=60") if transport != "udp" else ()),
        )
        lines = (
            "apt-get update && apt-get install -y systemd-netlogd",
            *trust,
            f"mkdir -p {FILE.rpartition('/')[0]} && cat > {FILE} <<'END'",
            *settings,
            "END",
            "systemctl enable --now systemd-netlogd && systemctl restart systemd-netlogd",
        )
        yield Variant(f"systemd-netlogd over {transport.upper()}", transport, lines)


KIND = Kind(
    name="journald",
    title="Linux machines (journal only)",
    summary="Where no rsyslog is wanted: systemd-netlogd (Debian 13, Ubuntu 25.04 and later) reads the journal from "
    "where it stopped and sends RFC 5424. What the journal keeps is its queue.",
    transports=("tls", "tcp", "udp"),
    variants=_variants,
    check=(
        "On the machine: `logger -t forwarder-test hello`, then here `appliance status` shows it as a sender.",
        "On the machine: `systemctl status systemd-netlogd` shows it connected.",
    ),
    traps=(
        (
            "An address, not a name: netlogd asks no name server, so the certificate must contain the address for TLS "
            "(`appliance tls show` lists what it contains)."
        ),
        "It can show no client certificate: with listeners.tls.tls.client_certificates on it is kept out.",
        "A small journal (SystemMaxUse= in journald.conf) is a short queue; a volatile one ends with a restart.",
        "systemd-journal-upload speaks a protocol of its own, which this forwarder does not take.",
        "Older distributions have no package: `appliance sources linux` with rsyslog, or Alloy or Fluent Bit.",
    ),
    sources=(
        Source("systemd/systemd-netlogd, doc/index.rst", "2026-03"),
        Source("https://packages.debian.org/trixie/systemd-netlogd", "2025-08"),
    ),
)
