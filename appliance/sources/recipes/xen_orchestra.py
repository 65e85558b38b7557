"""Xen Orchestra's own log, as it stands in the journal of its appliance."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder, Transport
from appliance.sources.recipe import Kind, Source, Variant


def _variants(at: Forwarder) -> Iterator[Variant]:
    transports: tuple[Transport, ...] = ("tcp", "udp")
    for transport in transports:
        if (port := at.port(transport)) is not None:
            lines = (
                "# in /etc/xo-server/config.toml (from sources: ~/.config/xo-server/config.toml)",
                "[logs.transport.syslog]",
                f"target = '{transport}://{at.host}:{port}'",
            )
            note = "Then: systemctl restart xo-server"
            yield Variant(f"Xen Orchestra by {transport.upper()}", transport, lines, note, "toml")


KIND = Kind(
    name="xen-orchestra",
    title="Xen Orchestra",
    summary="What `journalctl -u xo-server` shows, by syslog. The hosts' own logs are `appliance sources xcp-ng`.",
    transports=("tcp", "udp"),
    variants=_variants,
    check=("Restart xo-server; here `appliance status` shows its machine as a sender within a minute.",),
    traps=(
        "TLS is not offered: keep it in the management network.",
        "Lines have facility user and no process id.",
    ),
    sources=(
        Source("https://docs.xen-orchestra.com/backups (vatesfr/xen-orchestra, docs/docs/xo5/backups.md)", "2026-08"),
        Source("vatesfr/xen-orchestra, @xen-orchestra/log/transports/syslog.js", "2026-08"),
    ),
)
