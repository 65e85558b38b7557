"""Cisco ASA firewalls, and FTD by its platform settings."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder
from appliance.sources.recipe import Kind, Source, Variant

_BEFORE = (
    "configure terminal",
    "logging enable",
    "logging timestamp rfc5424",
    "logging device-id hostname",
    "logging trap informational",
)
_AFTER = ("logging permit-hostdown", "end", "write memory")


def _variants(at: Forwarder) -> Iterator[Variant]:
    if at.tls is not None and at.tls > 1024:
        lines = (
            *_BEFORE[:1],
            "crypto ca trustpoint FORWARDER",
            " enrollment terminal",
            "crypto ca authenticate FORWARDER",
            *at.authority_lines(),
            "quit",
            *_BEFORE[1:],
            f"logging host inside {at.address} tcp/{at.tls} secure",
            *_AFTER,
        )
        yield Variant("With TLS (`inside` is the interface that leads here)", "tls", lines, language="text")
    if at.tcp is not None and at.tcp > 1024:
        lines = (*_BEFORE, f"logging host inside {at.address} tcp/{at.tcp}", *_AFTER)
        yield Variant("By TCP", "tcp", lines, language="text")
    if at.udp is not None:
        port = "" if at.udp == 514 else f" udp/{at.udp}"
        note = "" if at.udp == 514 or at.udp > 1024 else "ASA takes 514 and ports from 1025 on: this one is refused."
        yield Variant("By UDP", "udp", (*_BEFORE, f"logging host inside {at.address}{port}", *_AFTER[1:]), note, "text")


KIND = Kind(
    name="cisco-asa",
    title="Cisco ASA",
    summary="ASA sends over UDP 514, or over TCP and TLS to a port from 1025 on; with `timestamp rfc5424` in UTC.",
    transports=("tls", "udp", "tcp"),
    variants=_variants,
    check=("On the firewall: `show logging | include host`, then here `appliance status` shows it as a sender.",),
    traps=(
        ("Over TCP or TLS the ASA refuses new connections through it while its log server is away, unless "
        "`logging permit-hostdown` is set. Keep that line."),
        ("TCP port 514 is not possible: the ASA takes ports 1025 to 65535 (UDP: also its default, 514). Set "
        "listeners.tcp.port to 1470 if all TCP senders can change, or use UDP."),
        "`logging timestamp rfc5424` exists since 9.10; before, `logging timestamp` has no zone.",
        "Level informational logs each connection; `logging message 302013 level debugging` and its kin quieten it.",
    ),
    sources=(
        Source("https://www.cisco.com/c/en/us/td/docs/security/asa/asa-cli-reference/I-R/asa-command-ref-I-R/"
               "la-log-commands.html", "2025-03"),
        Source("https://www.cisco.com/c/en/us/td/docs/security/asa/asa920/configuration/general/"
               "asa-920-general-config/monitor-syslog.html", "2025-03"),
    ),
)  # fmt: skip
