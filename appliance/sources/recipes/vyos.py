"""VyOS routers: which lines exist differs by version, and so does what they make rsyslog send."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder
from appliance.sources.recipe import Kind, Source, Variant

_ROLLING = "VyOS 1.5 and rolling since January 2025"
_LTS = "VyOS 1.4 LTS (1.4.1 and later)"
_END = ("commit", "save", "exit")


def _variants(at: Forwarder) -> Iterator[Variant]:
    for title, word in ((_ROLLING, "remote"), (_LTS, "host")):
        base = f"set system syslog {word} {at.address}"
        if at.tls is not None:
            yield Variant(
                f"{title}, over TLS: encrypted, timestamps with zone",
                "tls",
                _tls(at, base),
                "Builds since September 2025, 1.4 LTS since December 2025; where `tls` does not complete after the "
                "address, use TCP.",
            )
        if at.tcp is not None:
            yield Variant(
                f"{title}, over TCP: timestamps with zone, whole messages",
                "tcp",
                (
                    "configure",
                    f"{base} facility all level info",
                    f"{base} port {at.tcp}",
                    f"{base} protocol tcp",
                    f"{base} format octet-counted",
                    f"{base} format include-timezone",
                    *_END,
                ),
                "Both format lines are needed: octet-counted alone sends RFC 3164 without a zone, and builds of "
                "October and November 2024 send nothing at all over TCP without octet-counted (T6858).",
            )
        if at.udp is not None:
            lines = (
                "configure",
                f"{base} facility all level info",
                *((f"{base} port {at.udp}",) if at.udp != 514 else ()),
                f"{base} format include-timezone",
                *_END,
            )
            yield Variant(f"{title}, over UDP", "udp", lines, "Losses over UDP go unnoticed: prefer TCP.")
    yield from _before_include_timezone(at)


def _tls(at: Forwarder, base: str) -> tuple[str, ...]:
    client: tuple[str, ...] = ()
    if at.wants_client_certificate:
        client = (
            "# on the forwarder: appliance tls client <name of this router>; the Base64 of its files, one line",
            "set pki certificate FORWARDER-CLIENT certificate '<Base64 of NAME.crt>'",
            "set pki certificate FORWARDER-CLIENT private key '<Base64 of NAME.key>'",
            f"{base} tls certificate FORWARDER-CLIENT",
        )
    return (
        "configure",
        f"set pki ca FORWARDER certificate '{at.authority_base64()}'",
        f"{base} facility all level info",
        f"{base} port {at.tls}",
        f"{base} protocol tcp",
        f"{base} format octet-counted",
        f"{base} format include-timezone",
        f"{base} tls ca-certificate FORWARDER",
        f"{base} tls auth-mode name",
        f"{base} tls permitted-peer {at.name}",
        *client,
        *_END,
    )


def _before_include_timezone(at: Forwarder) -> Iterator[Variant]:
    base = f"set system syslog host {at.address}"
    lines: tuple[str, ...]
    if at.tcp is not None:
        lines = (
            "configure", f"{base} facility all level info", f"{base} port {at.tcp}", f"{base} protocol tcp",
            f"{base} format octet-counted", *_END,
        )  # fmt: skip
        note = "In this version octet-counted means RFC 5424, with the zone; include-timezone does not exist yet."
        yield Variant("VyOS 1.4.0, over TCP: timestamps with zone", "tcp", lines, note)
        lines = (
            "configure", f"{base} facility all level info", f"{base} facility all protocol tcp",
            f"{base} port {at.tcp}", *_END,
        )  # fmt: skip
        note = "The port line matters: without it VyOS 1.3 sends RFC 3164 by LF, without a zone."
        yield Variant("VyOS 1.3, over TCP: timestamps with zone", "tcp", lines, note)
    if at.udp is not None:
        lines = (
            "configure", f"{base} facility all level info", f"{base} facility all protocol udp",
            *((f"{base} port {at.udp}",) if at.udp != 514 else ()), *_END,
        )  # fmt: skip
        yield Variant("VyOS 1.3, over UDP: no time zone", "udp", lines, "Name its zone here in relay.time.senders.")


KIND = Kind(
    name="vyos",
    title="VyOS routers",
    summary="VyOS runs rsyslog. By TCP or TLS with both format lines it sends RFC 5424, whole and with a time zone.",
    transports=("tls", "tcp", "udp"),
    variants=_variants,
    check=(
        "On the router: `logger -t forwarder-test hello`, then here `appliance status` shows the router as a sender.",
        "On the router: `show log tail` shows what it logs; /run/rsyslog/rsyslog.conf (from 1.4 on) what it sends.",
    ),
    traps=(
        ("Lines that come twice: builds that have `facility all` and read the journal as well as /dev/log send "
        "each line but the kernel's twice, once without its process id (T9183, open in September 2026). On the "
        "router: `printf '[Journal]\\nForwardToSyslog=no\\n' | sudo tee /etc/systemd/journald.conf.d/forwarder.conf "
        "&& sudo systemctl restart systemd-journald`; an image upgrade takes it away again."),
        "With `facility all level all` or `debug` the router sends every debug line, too; `info` is usually meant.",
        ("`auth-mode anon`, the default, takes any certificate; `certvalid` takes any name of the same authority. "
        "`name` with `permitted-peer` is what VyOS recommends: the name must be one of this forwarder's "
        "certificate."),
        "An upgrade from 1.4 to 1.5 migrates `host` to `remote` by itself; scripts that paste `host` fail there.",
        ("In VyOS up to 2025 a destination written as address:port was possible; now the port is a line of its own "
        "(T8059), and one server can be given only one port."),
    ),
    sources=(
        Source("vyos/vyos-1x, data/templates/syslog/rsyslog.conf.tmpl (equuleus, 1.3)", "2024-07"),
        Source("vyos/vyos-1x, data/templates/rsyslog/rsyslog.conf.j2 (sagitta, 1.4)", "2024-10"),
        Source("https://github.com/vyos/vyos-1x/pull/4061 (include-timezone)", "2024-10"),
        Source("https://github.com/vyos/vyos-1x/pull/4305 (host becomes remote)", "2025-01"),
        Source("https://github.com/vyos/vyos-documentation/pull/1689 and 1701 (TLS, permitted-peer)", "2025-12"),
        Source("https://github.com/vyos/vyos-1x/pull/4886 (T8059, port)", "2025-12"),
        Source("https://github.com/vyos/vyos-1x/pull/5486 (T9183, twice)", "2026-09"),
    ),
)  # fmt: skip
