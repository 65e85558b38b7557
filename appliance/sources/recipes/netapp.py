"""NetApp ONTAP: its audit log and its events (EMS) are two settings."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder, Transport
from appliance.sources.recipe import Kind, Source, Variant


def _variants(at: Forwarder) -> Iterator[Variant]:
    words: dict[Transport, str] = {"tls": "tcp-encrypted", "tcp": "tcp-unencrypted", "udp": "udp-unencrypted"}
    for transport, word in words.items():
        if (port := at.port(transport)) is None:
            continue
        address = at.name if transport == "tls" else at.address
        verify = " -verify-server true" if transport == "tls" else ""
        trust = (
            ("security certificate install -type server-ca -vserver <cluster>", *at.authority_lines())
            if transport == "tls"
            else ()
        )
        lines = (
            *trust,
            (
                f"cluster log-forwarding create -destination {address} -port {port} -protocol {word}{verify} "
                "-facility user -message-format rfc-5424"
            ),
            (
                f"event notification destination create -name forwarder -syslog {address} -syslog-port {port} "
                f"-syslog-transport {word} -syslog-message-format rfc-5424"
            ),
            "event notification create -filter-name important-events -destinations forwarder",
        )
        yield Variant(f"ONTAP 9.12.1 and later, by {transport.upper()}", transport, lines, "", "text")


KIND = Kind(
    name="netapp",
    title="NetApp ONTAP",
    summary="The audit log goes by log forwarding, events by EMS notifications; both can send RFC 5424.",
    transports=("tls", "tcp", "udp"),
    variants=_variants,
    check=(("`event notification destination check -node <node> -destination-name forwarder`, or log in once; then "
           "`appliance status`."),),
    traps=(
        "legacy-netapp, the default format, has no zone.",
        "Before 9.12.1 event destinations know a syslog address only: UDP, port 514.",
        "important-events leaves out most; `event notification filter show` lists what it takes.",
    ),
    sources=(
        Source("https://docs.netapp.com/us-en/ontap-cli/cluster-log-forwarding-create.html", "2026-02"),
        Source("https://docs.netapp.com/us-en/ontap-cli/event-notification-destination-create.html", "2026-02"),
    ),
)  # fmt: skip
