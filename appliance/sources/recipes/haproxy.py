"""HAProxy: log directly over UDP, or through a ring over TCP and TLS."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder
from appliance.sources.recipe import Kind, Source, Variant
from appliance.sources.rsyslog_action import AUTHORITY

_DEFAULTS = ("defaults", "    log global", "    mode http", "    option httplog")


def _ring(server: str) -> tuple[str, ...]:
    return (
        "ring forwarder",
        "    format rfc5424",
        "    maxlen 8192",
        "    size 16777216",
        "    timeout connect 5s",
        "    timeout server 10s",
        f"    server forwarder {server}",
        "",
        "global",
        "    log ring@forwarder len 8192 format rfc5424 local0 info",
        "    log-send-hostname",
        "",
        *_DEFAULTS,
    )


def _variants(at: Forwarder) -> Iterator[Variant]:
    if at.tls is not None:
        server = f"{at.named_host}:{at.tls} log-proto octet-count ssl verify required ca-file {AUTHORITY}"
        note = f"Put `appliance tls export-ca` there as {AUTHORITY}."
        yield Variant(
            "HAProxy 2.3 and later, over TLS", "tls", _ring(f"{server} verifyhost {at.name}"), note, "text"
        )  # fmt: skip
    if at.tcp is not None:
        server = f"{at.host}:{at.tcp} log-proto octet-count"
        yield Variant("HAProxy 2.3 and later, over TCP", "tcp", _ring(server), "", "text")
    if at.udp is not None:
        lines = (
            "global",
            f"    log {at.host}:{at.udp} len 8192 format rfc5424 local0 info",
            "    log-send-hostname",
            "",
            *_DEFAULTS,
        )
        yield Variant("Any HAProxy, over UDP", "udp", lines, "", "text")


KIND = Kind(
    name="haproxy",
    title="HAProxy",
    summary="HAProxy sends RFC 5424 over UDP, or from a ring in memory over TCP and TLS, octet-counted.",
    transports=("tls", "tcp", "udp"),
    variants=_variants,
    check=("haproxy -c -f /etc/haproxy/haproxy.cfg; reload; a request later `appliance status` shows it as a sender.",),
    traps=(
        "Without len a line is cut at 1,024 bytes; without format it is RFC 3164 without a zone.",
        "The ring is memory: what does not fit while this forwarder is away is overwritten.",
        "In a chroot `log /dev/log` needs the socket inside it; by network it does not.",
    ),
    sources=(
        Source("haproxy/haproxy, doc/configuration.txt (log, ring, log-proto)", "2026-08"),
    ),
)  # fmt: skip
