"""TrueNAS: CORE and SCALE differ by version in format, default port and in where the authority goes."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder, Transport
from appliance.sources.recipe import Kind, Source, Variant

_WHERE = "System > Advanced Settings > Syslog > Configure"
_CORE = "System > Advanced > Syslog"


def _variants(at: Forwarder) -> Iterator[Variant]:
    if at.tls is not None:
        yield from _tls(at)
    transports: tuple[Transport, ...] = ("tcp", "udp")
    for transport in transports:
        if (port := at.port(transport)) is None:
            continue
        word = transport.upper()
        yield Variant(
            f"TrueNAS 25.10 and later, by {word}", transport,
            (f"{_WHERE}", "Syslog Level: Info", f"Syslog Servers > Add: {at.host}:{port}, Transport {word}"),
            "Two servers are possible; this forwarder is one of them.", "text",
        )  # fmt: skip
        yield Variant(
            f"TrueNAS 24.10 and 25.04, by {word}", transport,
            (f"{_WHERE}", "Syslog Level: Info", f"Syslog Server: {at.host}:{port}", f"Syslog Transport: {word}"),
            "RFC 5424 with a time zone.", "text",
        )  # fmt: skip
        yield Variant(
            f"TrueNAS SCALE up to 24.04 and CORE, by {word}", transport,
            (
                f"{_WHERE}   (CORE: {_CORE})",
                "Syslog Level: Info", f"Syslog Server: {at.host}:{port}", f"Syslog Transport: {word}",
            ),
            "RFC 3164 without a time zone: a machine that does not run in UTC needs an entry in relay.time.senders.",
            "text",
        )  # fmt: skip


def _tls(at: Forwarder) -> Iterator[Variant]:
    client = (
        ("Certificates > Import: the client certificate of `appliance tls client <name of the NAS>`",)
        if at.wants_client_certificate
        else ()
    )
    chosen = ("TLS Client Certificate: the one imported",) if at.wants_client_certificate else ()
    yield Variant(
        "TrueNAS 25.10 and later, over TLS", "tls",
        (
            "Credentials > Certificates > Import: paste the certificate below, no private key needed,",
            "  and tick 'Add to trusted store'",
            *at.authority_lines(),
            *client,
            _WHERE,
            "Syslog Level: Info",
            f"Syslog Servers > Add: {at.named_host}:{at.tls}, Transport TLS",
            *chosen,
        ),
        "There is no Certificate Authorities page any more: the system's trusted store is what counts. Two servers "
        "are possible.", "text",
    )  # fmt: skip
    for title, where in (("24.10 and 25.04", _WHERE), ("SCALE up to 24.04 and CORE", f"{_WHERE}   (CORE: {_CORE})")):
        yield Variant(
            f"TrueNAS {title}, over TLS", "tls",
            (
                "Credentials > Certificates > Certificate Authorities > Add, Type: Import CA   (CORE: System > CAs):",
                *at.authority_lines(),
                *client,
                where,
                "Syslog Level: Info",
                f"Syslog Server: {at.named_host}:{at.tls}",
                "Syslog Transport: TLS",
                "Syslog TLS Certificate Authority: the one imported",
                *chosen,
            ),
            "These versions take port 514 when none is given, over TLS too: keep the port in the field.", "text",
        )  # fmt: skip


KIND = Kind(
    name="truenas",
    title="TrueNAS",
    summary="TrueNAS runs syslog-ng and sends over UDP, TCP or TLS; over TLS always RFC 5424 with a time zone.",
    transports=("tls", "tcp", "udp"),
    variants=_variants,
    check=(
        "In a shell there: `logger -t forwarder-test hello`, then here `appliance status` shows the NAS as a sender.",
        "In a shell there: `syslog-ng-ctl stats | grep dst` shows queued and dropped lines of loghost.",
    ),
    traps=(
        ("An IPv6 address without brackets and port is cut at its last colon, and the rest treated as a port: "
        "write [address]:port."),
        "The name in the field must be one of this forwarder's certificate: `appliance tls show` lists them.",
        "Audit lines (TNAUDIT_*, JSON after @cee:) come only with 'Include Audit Logs' on; they are many.",
        "With TCP and UDP up to 25.04 the sender's port is 514: a firewall between has to let it through.",
        "The Info level leaves out debug; the level is for all programs, so less than Info hides logins.",
    ),
    sources=(
        Source("truenas/middleware, etc_files/syslogd.py (13.1)", "2023-09"),
        Source("truenas/middleware, etc_files/syslog-ng/syslog-ng.conf.mako (24.04, 25.04)", "2025-03"),
        Source("truenas/middleware, etc_files/syslog-ng/syslog-ng.conf.mako (25.10 and master)", "2026-08"),
        Source("truenas/middleware, api/v25_10_0/certificate.py (add_to_trusted_store)", "2026-08"),
    ),
)  # fmt: skip
