"""UniFi consoles and devices."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder
from appliance.sources.recipe import Kind, Source, Variant


def _variants(at: Forwarder) -> Iterator[Variant]:
    if at.udp is not None:
        lines = (
            "Network 9 and later: Settings > CyberSecure > Traffic Logging > Activity Logging: SIEM Server",
            "Network 7 and 8:     Settings > System > Advanced > Remote Logging: Remote Logging Server",
            f"Server Address: {at.address}",
            f"Port: {at.udp}",
            "Contents: all categories; Debug Logs off",
        )
        yield Variant("UniFi Network over UDP", "udp", lines, "", "text")


KIND = Kind(
    name="unifi",
    title="UniFi",
    summary="UniFi sends over UDP: the console's events in CEF, access points and switches in a syslog of their own.",
    transports=("udp",),
    variants=_variants,
    check=("Restart an access point; here `appliance status` shows its address as a sender.",),
    traps=(
        "Access points and switches send for themselves, from their own addresses.",
        "Their lines have no time zone: an entry in relay.time.senders if they do not run in UTC.",
        "CEF events put names and MAC addresses into the text, which is where they stay: they are no labels.",
    ),
    sources=(
        Source("https://help.ui.com/hc/en-us/articles/33349041044119-UniFi-System-Logs-SIEM-Integration", "2025-11"),
        Source("https://github.com/grafana/alloy/issues/2286 (CEF lines)", "2024-12"),
    ),
)
