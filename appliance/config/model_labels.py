"""The `labels` section: what becomes a label, what travels as structured metadata, and the bounds.

Only types, defaults and meanings; whether a rule makes sense is judged by `check_relabel.py`.
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
    separator: Annotated[str, Meta(description="What joins the values of source_labels.")] = ";"
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
    """Which fields travel as Loki's structured metadata."""

    process_id: Annotated[bool, Meta(description="PROCID, as process_id.")] = True
    message_id: Annotated[bool, Meta(description="MSGID, as message_id.")] = True
    facility: Annotated[bool, Meta(description="Facility, as facility, unless it is a label.")] = True
    sender: Annotated[bool, Meta(description="Address of the sender, as sender.")] = True
    input: Annotated[bool, Meta(description="Listener the message came by, as input.")] = False
    structured_data: Annotated[bool, Meta(description="RFC 5424 structured data, as <id>_<name>.")] = True
    device: Annotated[
        bool, Meta(description="Maker and kind of a device whose messages are recognized, as vendor and product.")
    ] = True
    repairs: Annotated[
        bool, Meta(description="What was repaired or not understood, as repaired and original_timestamp.")
    ] = True


class Guard(Section):
    """Bounds on what becomes a label, so that one sender cannot use up Loki's streams."""

    max_streams: Annotated[
        int,
        Meta(description="Active streams the relay makes at most; what is over has labels moved to metadata.", ge=10),
    ] = 4000
    max_values_per_label: Annotated[
        int, Meta(description="Distinct values of one label; a further value becomes metadata.", ge=10)
    ] = 1000
    idle: Annotated[
        Duration, Meta(description="A stream without entries for this long no longer counts, in seconds.")
    ] = Duration(3600)
    drop_order: Annotated[
        list[str],
        Meta(description="Labels given up first when streams run out; labels not listed go before these, job last."),
    ] = field(default_factory=lambda: ["facility", "level", "application", "host"])


class Labels(Section):
    static: Annotated[dict[str, str], Meta(description="Labels that every entry gets.")] = field(
        default_factory=lambda: {"job": "syslog"}
    )
    include: Annotated[
        list[Literal["host", "application", "level", "facility"]],
        Meta(description="Fields of the message that become labels."),
    ] = field(default_factory=lambda: ["host", "application", "level"])
    level: Annotated[
        Literal["grafana", "syslog"],
        Meta(
            description="Words of the level label: grafana (critical error warning info debug) "
            "or syslog (emerg alert crit err warning notice info debug)."
        ),
    ] = "grafana"
    metadata: Annotated[Metadata, Meta(description="Which fields travel as structured metadata.")] = field(
        default_factory=Metadata
    )
    relabel_configs: Annotated[
        list[RelabelRule],
        Meta(description="Prometheus relabelling over Promtail's __syslog_* names, after the labels above are set."),
    ] = field(default_factory=list)
    guard: Annotated[Guard, Meta(description="Bounds on streams and label values.")] = field(default_factory=Guard)
