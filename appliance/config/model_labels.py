"""The `labels` section: what becomes a label, what becomes structured metadata, and the limits.

Only types, defaults and meanings; whether a rule makes sense is checked by `check_relabel.py`.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from appliance.config.section import Section
from appliance.config.units import Duration


class RelabelRule(Section):
    """One rule of `relabel_configs`, as Prometheus defines it."""

    source_labels: Annotated[
        list[str], Meta(description="Labels whose values, joined by the separator, are matched.")
    ] = field(default_factory=list)
    separator: Annotated[str, Meta(description="Separator placed between the values of source_labels.")] = ";"
    regex: Annotated[str, Meta(description="RE2 expression, anchored at both ends.")] = "(.*)"
    modulus: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="Modulus of hashmod.")] = None
    target_label: Annotated[str | None, Meta(description="Label to write.")] = None
    replacement: Annotated[str, Meta(description="Value to write; $1 or ${name} are groups of the regex.")] = "$1"
    action: Annotated[
        Literal[
            "replace",
            "keep",
            "drop",
            "keepequal",
            "dropequal",
            "hashmod",
            "labelmap",
            "labeldrop",
            "labelkeep",
            "lowercase",
            "uppercase",
        ],
        Meta(description="What the rule does."),
    ] = "replace"


class Metadata(Section):
    """Which fields are sent as Loki's structured metadata."""

    process_id: Annotated[bool, Meta(description="PROCID, as process_id.")] = True
    message_id: Annotated[bool, Meta(description="MSGID, as message_id.")] = True
    facility: Annotated[bool, Meta(description="Facility, as facility, unless it is a label.")] = True
    sender: Annotated[bool, Meta(description="Address of the sender, as sender.")] = True
    input: Annotated[bool, Meta(description="Listener that received the message, as input.")] = False
    structured_data: Annotated[bool, Meta(description="RFC 5424 structured data, as <id>_<name>.")] = True
    device: Annotated[bool, Meta(description="Vendor and product of recognized devices, as vendor and product.")] = True
    repairs: Annotated[
        bool, Meta(description="What was repaired or not understood in a message, as repaired and original_timestamp.")
    ] = True


class Guard(Section):
    """Limits on what becomes a label, so that one sender cannot use up Loki's streams."""

    max_streams: Annotated[
        int,
        Meta(description="Maximum number of active streams; beyond it, labels are moved to metadata.", ge=10),
    ] = 4000
    max_values_per_label: Annotated[
        int, Meta(description="Maximum number of distinct values of one label; further values become metadata.", ge=10)
    ] = 1000
    idle: Annotated[
        Duration, Meta(description="A stream without entries for this long no longer counts as active, in seconds.")
    ] = Duration(3600)
    drop_order: Annotated[
        list[str],
        Meta(description="Order in which labels are dropped when streams run out; unlisted labels go first, job last."),
    ] = field(default_factory=lambda: ["facility", "level", "application", "host"])


class Labels(Section):
    static: Annotated[dict[str, str], Meta(description="Labels added to every entry.")] = field(
        default_factory=lambda: {"job": "syslog"}
    )
    include: Annotated[
        list[Literal["host", "application", "level", "facility"]],
        Meta(description="Fields of the message that become labels."),
    ] = field(default_factory=lambda: ["host", "application", "level"])
    level: Annotated[
        Literal["grafana", "syslog"],
        Meta(
            description="Values of the level label: grafana (critical error warning info debug) "
            "or syslog (emerg alert crit err warning notice info debug)."
        ),
    ] = "grafana"
    metadata: Annotated[Metadata, Meta(description="Which fields are sent as structured metadata.")] = field(
        default_factory=Metadata
    )
    relabel_configs: Annotated[
        list[RelabelRule],
        Meta(description="Prometheus relabeling over Promtail's __syslog_* names, after the labels above are set."),
    ] = field(default_factory=list)
    guard: Annotated[Guard, Meta(description="Limits on streams and label values.")] = field(default_factory=Guard)
