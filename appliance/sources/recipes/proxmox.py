"""Proxmox VE and Proxmox Backup Server: Debian machines that log to the journal, and some things to files."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder, Transport
from appliance.sources.recipe import Kind, Source, Variant
from appliance.sources.rsyslog_action import action, bring_certificates

_FIREWALL = (
    'module(load="imfile")',
    'input(type="imfile" File="/var/log/pve-firewall.log" Tag="pve-firewall:" Severity="info" Facility="local0")',
)
_PACKAGES: dict[Transport, str] = {
    "relp_tls": "rsyslog rsyslog-relp", "relp": "rsyslog rsyslog-relp", "tls": "rsyslog rsyslog-gnutls",
    "tcp": "rsyslog", "udp": "rsyslog",
}  # fmt: skip


def _variants(at: Forwarder) -> Iterator[Variant]:
    for transport, packages in _PACKAGES.items():
        if at.port(transport) is None or (transport == "udp" and at.tcp is not None):
            continue
        certificates = bring_certificates(at) if transport in ("tls", "relp_tls") else ()
        lines = (
            f"apt-get update && apt-get install -y {packages}",
            *certificates,
            "cat > /etc/rsyslog.d/90-forwarder.conf <<'END'",
            "# the firewall of Proxmox VE logs to a file; leave these two lines out on a Backup Server",
            *_FIREWALL,
            *action(at, transport),
            "END",
            "rsyslogd -N1 && systemctl restart rsyslog",
        )
        title = transport.upper().replace("_", " over ")
        yield Variant(f"On each node, as root, by {title}", transport, lines)


KIND = Kind(
    name="proxmox",
    title="Proxmox VE and Backup Server",
    summary="Debian underneath: rsyslog, which is not installed by default since Proxmox VE 8, reads the journal "
    "and sends it with a queue on disk.",
    transports=("relp_tls", "relp", "tls", "tcp", "udp"),
    variants=_variants,
    check=("On the node: `logger -t forwarder-test hello`, then here `appliance status` shows the node as a sender.",),
    traps=(
        "Each node of a cluster sends for itself: nothing of this is shared by the cluster's file system.",
        (
            "The task logs below /var/log/pve/tasks and /var/log/proxmox-backup/tasks are one file a task; their "
            "beginning and end stand in the journal, their text does not."
        ),
        "Containers and virtual machines log on their own: `appliance sources linux` inside each.",
    ),
    sources=(
        Source("https://pve.proxmox.com/wiki/Upgrade_from_7_to_8 (rsyslog no longer installed)", "2023-06"),
        Source("https://pve.proxmox.com/wiki/Firewall (Logging of firewall rules)", "2025-08"),
        Source("https://www.rsyslog.com/doc/configuration/modules/imfile.html", "2026-08"),
    ),
)
