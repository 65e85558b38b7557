"""Fortinet FortiGate firewalls."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder
from appliance.sources.recipe import Kind, Source, Variant


def _lines(server: str, port: int, *settings: str) -> tuple[str, ...]:
    return (
        "config log syslogd setting",
        "    set status enable",
        f'    set server "{server}"',
        f"    set port {port}",
        *(f"    set {setting}" for setting in settings),
        "    set format rfc5424",
        "end",
        "config log syslogd filter",
        "    set severity information",
        "end",
    )


def _variants(at: Forwarder) -> Iterator[Variant]:
    if at.tls is not None:
        yield Variant(
            "With TLS", "tls",
            (
                "# System > Certificates > Create/Import > CA Certificate > File:",
                *at.authority_lines(),
                *_lines(at.name, at.tls, "mode reliable", "enc-algorithm high"),
            ),
            language="text",
        )  # fmt: skip
    if at.tcp is not None:
        yield Variant("By TCP, octet-counted", "tcp", _lines(at.address, at.tcp, "mode reliable"), language="text")
    if at.udp is not None:
        yield Variant("By UDP", "udp", _lines(at.address, at.udp, "mode udp"), language="text")


KIND = Kind(
    name="fortigate",
    title="FortiGate",
    summary="FortiOS sends key=value lines; mode reliable is RFC 6587 over TCP, with enc-algorithm over TLS.",
    transports=("tls", "tcp", "udp"),
    variants=_variants,
    check=("On the firewall: `diagnose log test`, then here `appliance status` shows it as a sender.",),
    traps=(
        ("format rfc5424 exists since FortiOS 7.0.2; before, leave the line out: the lines then have no header but "
        "date= and tz= fields."),
        "mode legacy-reliable is RFC 3195, which nobody else speaks: use reliable.",
        "Traffic logs of `all sessions` on each policy are most of the volume.",
    ),
    sources=(
        Source("https://docs.fortinet.com/document/fortigate/7.6.0/cli-reference (config log syslogd setting)",
               "2025-09"),
        Source("https://docs.fortinet.com/document/fortigate/6.0.0/cli-reference/260508 (mode reliable, RFC 6587)",
               "2020-01"),
    ),
)  # fmt: skip
