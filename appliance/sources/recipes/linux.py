"""Linux machines with rsyslog: Debian, Ubuntu, RHEL and its kin, SUSE, Alpine; and with the journal only."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder, Transport
from appliance.sources.recipe import Kind, Source, Variant
from appliance.sources.rsyslog_action import action, bring_certificates

FILE = "/etc/rsyslog.d/90-forwarder.conf"
_TITLES: dict[Transport, str] = {
    "relp_tls": "rsyslog over RELP with TLS: acknowledged and encrypted",
    "relp": "rsyslog over RELP: acknowledged, nothing is lost when either side restarts",
    "tls": "rsyslog over TLS: encrypted",
    "tcp": "rsyslog over TCP",
    "udp": "rsyslog over UDP",
}
_NOTES: dict[Transport, str] = {
    "tls": "What is in flight when the connection breaks can be lost: RELP over TLS is better.",
    "tcp": "What is in flight when the connection breaks can be lost: RELP is better.",
    "udp": "Nothing tells of losses on the way: use this only where TCP is impossible.",
}
# The package that has the module, by transport, for each family of distributions.
_PACKAGES: dict[Transport, tuple[str, str, str, str]] = {
    "relp_tls": ("rsyslog-relp", "rsyslog-relp", "rsyslog-module-relp", "rsyslog-relp"),
    "relp": ("rsyslog-relp", "rsyslog-relp", "rsyslog-module-relp", "rsyslog-relp"),
    "tls": ("rsyslog-gnutls", "rsyslog-gnutls", "rsyslog-module-gtls", "rsyslog-tls"),
    "tcp": ("", "", "", ""),
    "udp": ("", "", "", ""),
}


def _install(transport: Transport) -> tuple[str, ...]:
    debian, red_hat, suse, alpine = (f"rsyslog {extra}".strip() for extra in _PACKAGES[transport])
    return (
        f"if   command -v apt-get >/dev/null; then apt-get update && apt-get install -y {debian}",
        f"elif command -v dnf     >/dev/null; then dnf install -y {red_hat}",
        f"elif command -v zypper  >/dev/null; then zypper --non-interactive install {suse}",
        f"elif command -v apk     >/dev/null; then apk add {alpine}; fi",
    )


_RESTART = (
    "rsyslogd -N1 && if command -v systemctl >/dev/null; then systemctl enable rsyslog && systemctl restart rsyslog",
    "else rc-update add rsyslog default; rc-service syslog stop; rc-update del syslog boot",
    "     rc-service rsyslog restart; fi",
)


def _variants(at: Forwarder) -> Iterator[Variant]:
    for transport, title in _TITLES.items():
        if at.port(transport) is None:
            continue
        if transport == "udp" and at.tcp is not None:
            continue  # a machine with rsyslog loses by it and gains nothing
        certificates = bring_certificates(at) if transport in ("tls", "relp_tls") else ()
        lines = (*_install(transport), *certificates, f"cat > {FILE} <<'END'", *action(at, transport), "END", *_RESTART)
        yield Variant(title, transport, lines, _NOTES.get(transport, ""))


KIND = Kind(
    name="linux",
    title="Linux machines (rsyslog)",
    summary="Debian, Ubuntu, RHEL, Rocky, Alma, SUSE and Alpine: rsyslog, which queues on disk while this "
    "forwarder cannot be reached. It is installed where it is absent (Debian 12 and later, RHEL minimal images).",
    transports=("relp_tls", "relp", "tls", "tcp", "udp"),
    variants=_variants,
    check=(
        "On the machine: `logger -t forwarder-test hello`, then here `appliance status` shows the machine as a sender.",
        "On the machine: `rsyslogd -N1` finds no error, `journalctl -u rsyslog -n 20` shows no suspended action.",
    ),
    traps=(
        ("A machine that has only the journal (no rsyslog, and none wanted): `appliance sources journald`, or an "
        "agent that reads the journal, `appliance sources alloy` or `appliance sources fluent-bit`."),
        ("With TLS the name in the lines must be one of this forwarder's certificate, and the machine has to "
        "resolve it: `appliance tls show` lists the names."),
        ("RHEL with SELinux lets rsyslog connect only to known ports: for a port other than 514, 601, 6514 and "
        "2514 run `semanage port -a -t syslogd_port_t -p tcp PORT`."),
        ("Journald's rate limit drops lines of a service in a loop before rsyslog sees them (RateLimitBurst= in "
        "journald.conf)."),
        ("Without the queue lines rsyslog blocks or drops when this forwarder is away; with them up to 1 GB waits "
        "on the machine's disk."),
    ),
    sources=(
        Source("https://www.rsyslog.com/doc/configuration/modules/omfwd.html", "2026-08"),
        Source("https://www.rsyslog.com/doc/configuration/modules/omrelp.html", "2026-08"),
        Source("https://www.debian.org/releases/bookworm/amd64/release-notes/ch-information.en.html", "2023-06"),
    ),
)  # fmt: skip
