"""MikroTik RouterOS."""

from collections.abc import Iterator

from appliance.sources.forwarder import Forwarder
from appliance.sources.recipe import Kind, Source, Variant

_RULES = tuple(
    f"/system logging add action=forwarder topics={topic}" for topic in ("info", "warning", "error", "critical")
)


def _variants(at: Forwarder) -> Iterator[Variant]:
    new = "/system logging action add name=forwarder target=remote remote={} remote-port={} remote-protocol={} \\"
    end = "    remote-log-format=syslog syslog-time-format=iso8601 syslog-facility=daemon"
    note = "Where remote-log-format does not complete with Tab, use the older form."
    if at.udp is not None:
        yield Variant(
            "RouterOS 7, current, over UDP", "udp", (new.format(at.address, at.udp, "udp"), end, *_RULES), note, "text"
        )
        yield Variant(
            "RouterOS 6 and 7, older form, over UDP", "udp",
            (
                f"/system logging action add name=forwarder target=remote remote={at.address} remote-port={at.udp} \\",
                "    bsd-syslog=yes syslog-time-format=iso8601 syslog-facility=daemon",
                *_RULES,
            ),
            "syslog-time-format exists since 6.42; without it the lines have no time zone.", "text",
        )  # fmt: skip
    if at.tcp is not None:
        yield Variant(
            "RouterOS 7, current, over TCP", "tcp", (new.format(at.address, at.tcp, "tcp"), end, *_RULES), note, "text"
        )


KIND = Kind(
    name="mikrotik",
    title="MikroTik RouterOS",
    summary="RouterOS sends BSD syslog with ISO 8601 timestamps when asked to; current versions over TCP, too.",
    transports=("tcp", "udp"),
    variants=_variants,
    check=("On the router: `:log info forwarder-test`, then here `appliance status` shows it as a sender.",),
    traps=(
        "Topics in one rule are joined by and: each severity has a rule of its own.",
        "Without bsd-syslog or remote-log-format=syslog the lines have no header: neither severity nor name.",
        "The name in the lines is /system identity; routers that are all called MikroTik become one.",
    ),
    sources=(
        Source("https://help.mikrotik.com/docs/spaces/ROS/pages/328094/Log", "2026-03"),
        Source("terraform-routeros/terraform-provider-routeros, docs/resources/system_logging_action.md", "2026-03"),
    ),
)
