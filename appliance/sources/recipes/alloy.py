"""Grafana Alloy on a Linux machine: its journal and log files, through Loki's push API."""

from collections.abc import Iterator

from appliance.sources.agents import alloy_write
from appliance.sources.forwarder import Forwarder
from appliance.sources.recipe import Kind, Source, Variant

_INPUTS = """\
loki.relabel "journal" {
  forward_to = []

  rule {
    source_labels = ["__journal__hostname"]
    target_label  = "host"
  }

  rule {
    source_labels = ["__journal_syslog_identifier"]
    target_label  = "application"
  }

  rule {
    source_labels = ["__journal_priority_keyword"]
    target_label  = "level"
  }
}

loki.source.journal "machine" {
  forward_to    = [loki.write.forwarder.receiver]
  relabel_rules = loki.relabel.journal.rules
  labels        = {job = "journal"}
  max_age       = "12h"
}

local.file_match "files" {
  path_targets = [{
    __path__ = "/var/log/nginx/*.log",
    job      = "files",
    host     = constants.hostname,
  }]
}

loki.source.file "files" {
  targets    = local.file_match.files.targets
  forward_to = [loki.write.forwarder.receiver]
}
"""
_TOKEN_FILE, _CA_FILE = "/etc/alloy/forwarder-token", "/etc/alloy/forwarder-ca.crt"


def _variants(at: Forwarder) -> Iterator[Variant]:
    if at.push is None:
        return
    write = alloy_write(at, token_file=_TOKEN_FILE, ca_file=_CA_FILE)
    note = "Before: `usermod -aG adm,systemd-journal alloy`, or it starts without an error and reads nothing."
    if at.push_token:
        note += f" The token of `appliance token new` stands in {_TOKEN_FILE}, readable by alloy only."
    if at.push_tls:
        note += f" The authority of `appliance tls export-ca` stands in {_CA_FILE}."
    yield Variant("/etc/alloy/config.alloy", "push", (*_INPUTS.splitlines(), "", *write), note, "alloy")


KIND = Kind(
    name="alloy",
    title="Grafana Alloy (journal and files)",
    summary="For machines that have only the journal, or log files that no syslog sees. It pushes as it would to "
    "Loki; its labels stay as they are. In a cluster: `appliance sources kubernetes`.",
    transports=("push",),
    variants=_variants,
    check=(
        "On the machine: `alloy validate /etc/alloy/config.alloy`, then `systemctl restart alloy`.",
        "Here `appliance status` shows its address as a sender; in Grafana: {job=\"journal\"}.",
    ),
    traps=(
        ("Alloy keeps no lines on disk: while this forwarder is away it stops reading, and what is rotated away or "
        "vacuumed meanwhile is lost. rsyslog queues on disk (`appliance sources linux`)."),
        "Alloy's own labels count against this forwarder's limit of streams, too: no process ids, no request ids.",
        "From Promtail: `alloy convert --source-format=promtail`; for a syslog box `appliance import-promtail`.",
    ),
    sources=(
        Source("grafana/alloy, docs/sources/reference/components/loki/loki.source.journal.md", "2026-08"),
        Source("grafana/alloy, docs/sources/reference/components/loki/loki.source.file.md", "2026-08"),
        Source("grafana/alloy, docs/sources/reference/components/loki/loki.write.md", "2026-08"),
    ),
)  # fmt: skip
