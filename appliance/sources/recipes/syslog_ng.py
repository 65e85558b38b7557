"""Machines with syslog-ng 3.38 and later, and AxoSyslog: its syslog() destination with a reliable queue on disk."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder, Transport
from appliance.sources.recipe import Kind, Source, Variant
from appliance.sources.rsyslog_action import AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY, bring_certificates

FILE = "/etc/syslog-ng/conf.d/forwarder.conf"


def _variants(at: Forwarder) -> Iterator[Variant]:
    transports: tuple[Transport, ...] = ("tls", "tcp", "udp")
    for transport in transports:
        if (port := at.port(transport)) is None or (transport == "udp" and at.tcp is not None):
            continue
        lines = (
            *(bring_certificates(at) if transport == "tls" else ()),
            f"cat > {FILE} <<'END'",
            *_destination(at, transport, port),
            "log { source(s_src); destination(d_forwarder); };",
            "END",
            "syslog-ng --syntax-only && systemctl restart syslog-ng",
        )
        note = "The source is s_src on Debian and Ubuntu, s_sys on RHEL, src on SUSE: use the name in syslog-ng.conf."
        yield Variant(f"syslog-ng by {transport.upper()}", transport, lines, note)


def _destination(at: Forwarder, transport: Transport, port: int) -> Iterator[str]:
    yield "destination d_forwarder {"
    yield f'  syslog("{at.name if transport == "tls" else at.address}" port({port}) transport("{transport}")'
    if at.is_ipv6:
        yield "    ip-protocol(6)"
    if transport == "tls":
        yield f'    tls(ca-file("{AUTHORITY}") peer-verify(required-trusted)'
        if at.wants_client_certificate:
            yield f'      cert-file("{CLIENT_CERTIFICATE}") key-file("{CLIENT_KEY}")'
        yield "    )"
    if transport != "udp":
        yield "    disk-buffer(reliable(yes) disk-buf-size(1073741824) mem-buf-size(16777216))"
    yield "    time-reopen(10));"
    yield "};"


KIND = Kind(
    name="syslog-ng",
    title="syslog-ng and AxoSyslog",
    summary="The syslog() destination sends RFC 5424, octet-counted on TCP and TLS, from a queue on disk.",
    transports=("tls", "tcp", "udp"),
    variants=_variants,
    check=(
        "On the machine: `logger -t forwarder-test hello`, then here `appliance status` shows it as a sender.",
        "On the machine: `syslog-ng-ctl stats | grep d_forwarder` shows written, queued and dropped.",
    ),
    traps=(
        "network() with the default template sends RFC 3164 without a zone: use syslog(), as here.",
        "The reliable disk buffer takes its size on disk at once on some versions: 1 GiB must be free.",
        "keep-hostname(yes) on a relay keeps the names of the machines behind it.",
    ),
    sources=(
        Source("https://syslog-ng.github.io/admin-guide/070_Destinations/210_Syslog/README", "2026-08"),
        Source("https://syslog-ng.github.io/admin-guide/070_Destinations/210_Syslog/001_syslog_options", "2026-08"),
    ),
)
