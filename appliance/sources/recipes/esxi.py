"""VMware ESXi hosts and vCenter."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder, Transport
from appliance.sources.recipe import Kind, Source, Variant

_LONG = "esxcli system syslog config set --remote-host-max-msg-len=16384"
_RELOAD = (
    "esxcli network firewall ruleset set --ruleset-id=syslog --enabled=true",
    "esxcli network firewall refresh",
    "esxcli system syslog reload",
)
_FORM = "?formatter=RFC_5424&framing=octet_counting"


def _variants(at: Forwarder) -> Iterator[Variant]:
    if at.tls is not None:
        log_host = f"ssl://{at.named_host}:{at.tls}{_FORM}"
        yield Variant(
            "ESXi 8, over TLS", "tls",
            (
                "cat > /tmp/forwarder-ca.crt <<'END'", *at.authority_lines(), "END",
                "esxcli system security certificatestore add --filename=/tmp/forwarder-ca.crt",
                f"esxcli system syslog config set --loghost='{log_host}' --check-ssl-certs=true",
                _LONG,
                *_RELOAD,
            ),
            "The firewall's rule set syslog lets out ports 514 and 1514 only: for another port give "
            "listeners.tls port 1514 here, or add a rule there.",
        )  # fmt: skip
    if at.tcp is not None:
        yield Variant(
            "ESXi 8, over TCP",
            "tcp",
            (f"esxcli system syslog config set --loghost='tcp://{at.host}:{at.tcp}{_FORM}'", _LONG, *_RELOAD),
        )  # fmt: skip
        yield Variant(
            "ESXi 6.7 and 7, over TCP", "tcp",
            (f"esxcli system syslog config set --loghost='tcp://{at.host}:{at.tcp}'", *_RELOAD),
        )  # fmt: skip
    if at.udp is not None:
        yield Variant(
            "Any ESXi, over UDP", "udp",
            (f"esxcli system syslog config set --loghost='udp://{at.host}:{at.udp}'", *_RELOAD),
            "UDP cuts lines at about 1 KiB, and ESXi's are often longer.",
        )  # fmt: skip
    transports: tuple[Transport, ...] = ("tls", "tcp", "udp")
    for transport in transports:
        if (port := at.port(transport)) is not None:
            where = (
                "https://<vCenter>:5480 > Syslog > Configure:",
                (
                    f"Server address {at.name if transport == 'tls' else at.address}, Protocol {transport.upper()}, "
                    f"Port {port}"
                ),
            )
            yield Variant(f"vCenter 7 and 8, over {transport.upper()}", transport, where, "", "text")


KIND = Kind(
    name="esxi",
    title="VMware ESXi and vCenter",
    summary="ESXi sends over UDP, TCP or TLS, to several servers; ESXi 8 in RFC 5424 when asked to.",
    transports=("tls", "tcp", "udp"),
    variants=_variants,
    check=("On the host: `esxcli system syslog mark --message=forwarder-test`, then here `appliance status`.",),
    traps=(
        "Without --remote-host-max-msg-len (7.0 U1 and later) lines are cut at 1 KiB; 16 KiB is the most.",
        "After a TCP connection broke, ESXi before 7.0 U2 does not come back by itself: `esxcli system syslog reload`.",
        "Without --remote-host-max-msg-len (7.0 U1 and later) lines are cut at 1 KiB; 16 KiB is the most.",
        "Several servers are one setting, separated by commas: this command replaces those that are there.",
        "Syslog.global.logLevel and hostd's own level decide how much comes; `info` is usual.",
    ),
    sources=(
        Source("https://developer.broadcom.com/xapis/esxcli-command-reference/latest/namespace/esxcli_system.html",
               "2025-06"),
        Source("https://docs.vmware.com/en/VMware-vSphere/8.0/vsphere-esxi-installation/", "2025-06"),
        Source("https://developer.broadcom.com/xapis/vsphere-automation-api/latest/appliance/ (LogForwarding)",
               "2025-06"),
    ),
)  # fmt: skip
