"""XCP-ng hosts: xapi writes one line into rsyslog's configuration, from a destination that is not checked."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder, Transport
from appliance.sources.recipe import Kind, Source, Variant


def by_udp(at: Forwarder) -> str:
    """Return the destination for a host that sends over UDP, which must be open."""
    return at.host if at.udp == 514 else f"{at.host}:{at.udp}"


def by_tcp(at: Forwarder) -> str:
    """Return the destination that becomes octet-counted RFC 5424 over TCP, which must be open."""
    return f"@(o){at.host}:{at.tcp};RSYSLOG_SyslogProtocol23Format"


def _variants(at: Forwarder) -> Iterator[Variant]:
    if at.udp is not None:
        target = by_udp(at)
        yield Variant("All hosts of the pool, on any of them", "udp", _all_hosts(target))
        yield Variant(
            "The same in Xen Orchestra", "udp",
            (f"Pool > Advanced > Remote syslog host: {target}",), "A single host has the same field.", "text",
        )  # fmt: skip
        yield Variant("Switch it off again, on any host", "udp", _off())
    if at.tcp is not None:
        target = by_tcp(at)
        yield Variant(
            "By TCP with time zones (XCP-ng does not document this)", "tcp", _all_hosts(target),
            "xe-syslog-reconfigure writes `*.* @` and then the destination as it stands, so this one becomes "
            "rsyslog's `@@(o)…`: octet-counted RFC 5424 by TCP. Try it on one host first; an update may refuse it.",
        )  # fmt: skip
    transport: Transport = "udp" if at.udp is not None else "tcp"
    note = "xapi and its kin log each step at debug level: this keeps the rest. The audit log is not touched."
    yield Variant("In appliance.yaml here: drop xapi's debug lines", transport, QUIET, note, "yaml")


def _all_hosts(target: str) -> tuple[str, ...]:
    return (
        "for uuid in $(xe host-list --minimal | tr ',' ' '); do",
        f"    xe host-param-set uuid=$uuid 'logging:syslog_destination={target}'",
        "    xe host-syslog-reconfigure host-uuid=$uuid",
        "done",
    )


def _off() -> tuple[str, ...]:
    return (
        "for uuid in $(xe host-list --minimal | tr ',' ' '); do",
        "    xe host-param-remove uuid=$uuid param-name=logging param-key=syslog_destination",
        "    xe host-syslog-reconfigure host-uuid=$uuid",
        "done",
    )


QUIET = (
    "labels:",
    "  relabel_configs:",
    "    - source_labels: [__syslog_message_app_name, __syslog_message_severity]",
    "      regex: '(xapi|xenopsd.*|xcp-networkd|squeezed|xcp-rrdd.*);debug'",
    "      action: drop",
)
"""The rule that drops what xapi and its kin say while debugging, which is most of it; for appliance.yaml here."""

KIND = Kind(
    name="xcp-ng",
    title="XCP-ng hosts (8.2, 8.3)",
    summary="XCP-ng hosts send RFC 3164 over UDP, port 514. `appliance sources xcp-ng --pool HOST` does it for a "
    "whole pool from here, and waits for each host's first line.",
    transports=("udp", "tcp"),
    variants=_variants,
    check=(
        "On a host: `logger -t forwarder-test hello`, then here `appliance status` shows the host as a sender.",
        "On a host: `cat /etc/rsyslog.d/remote.conf` holds one line that ends with this forwarder's address.",
    ),
    traps=(
        "Timestamps over UDP have no zone: hosts that do not run in UTC need an entry in relay.time.senders.",
        ("An IPv6 address stands in brackets, and the whole parameter in quotes; without brackets rsyslog takes "
        "its last group for a port."),
        "A host that joins the pool later is not set: run the lines again.",
        "Xen Orchestra's own log is another thing: `appliance sources xen-orchestra`.",
    ),
    sources=(
        Source("https://docs.xcp-ng.org/guides/logs/ (xcp-ng/xcp-ng-org, docs/guides/logs.md)", "2026-08"),
        Source("xapi-project/xen-api, scripts/xe-syslog-reconfigure and ocaml/xapi/xapi_host.ml", "2026-08"),
        Source("xapi-project/xen-api, ocaml/libs/log/debug.ml (severity of debug lines)", "2026-08"),
    ),
)  # fmt: skip
