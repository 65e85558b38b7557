"""Fluent Bit on a Linux machine: its journal and log files, through Loki's push API."""

from collections.abc import Iterator

from appliance.sources.agents import fluent_bit_output
from appliance.sources.forwarder import Forwarder
from appliance.sources.recipe import Kind, Source, Variant

_PIPELINE = """\
service:
  flush: 1
  storage.path: /var/lib/fluent-bit/storage
  storage.sync: normal
  storage.max_chunks_up: 128

pipeline:
  inputs:
    - name: systemd
      tag: journal.*
      db: /var/lib/fluent-bit/journal.db
      strip_underscores: on
      storage.type: filesystem
    - name: tail
      tag: files.*
      path: /var/log/nginx/*.log
      path_key: filename
      db: /var/lib/fluent-bit/files.db
      read_from_head: on
      skip_long_lines: on
      storage.type: filesystem

  filters:
    - name: record_modifier
      match: journal.*
      allowlist_key:
        - MESSAGE
        - HOSTNAME
        - SYSLOG_IDENTIFIER

  outputs:
"""
_CA_FILE = "/etc/fluent-bit/forwarder-ca.crt"


def _variants(at: Forwarder) -> Iterator[Variant]:
    if at.push is None:
        return
    token = "${FORWARDER_TOKEN}"
    raw = "      drop_single_key: raw"
    journal = "job=journal, host=$HOSTNAME, application=$SYSLOG_IDENTIFIER"
    lines = (
        *_PIPELINE.splitlines(),
        *fluent_bit_output(at, "journal.*", journal, token=token, ca_file=_CA_FILE),
        "      remove_keys: HOSTNAME, SYSLOG_IDENTIFIER",
        raw,
        *fluent_bit_output(at, "files.*", "job=files, host=${HOSTNAME}, $filename", token=token, ca_file=_CA_FILE),
        "      remove_keys: filename",
        raw,
    )
    note = "A unit's environment has no HOSTNAME: `systemctl edit fluent-bit` with [Service] Environment=HOSTNAME=%H"
    if at.push_token:
        note += " and EnvironmentFile=/etc/fluent-bit/forwarder.env (FORWARDER_TOKEN=…, mode 0600)"
    note += "."
    yield Variant("/etc/fluent-bit/fluent-bit.yaml", "push", lines, note, "yaml")


KIND = Kind(
    name="fluent-bit",
    title="Fluent Bit (journal and files)",
    summary="For machines that have only the journal, or log files that no syslog sees; with a queue on disk. "
    "In a cluster: `appliance sources kubernetes`.",
    transports=("push",),
    variants=_variants,
    check=(
        "On the machine: `fluent-bit -c /etc/fluent-bit/fluent-bit.yaml --dry-run`, then restart it.",
        "Here `appliance status` shows its address as a sender; in Grafana: {job=\"journal\"}.",
    ),
    traps=(
        ("Without retry_limit: no_limits a batch is dropped after one more try; without storage.type: filesystem "
        "what waits is lost with the process."),
        "A line longer than buffer_max_size stops a file being read, unless skip_long_lines is on.",
        "labels with nothing but job=… makes one stream of everything, which runs into Loki's limit for a stream.",
    ),
    sources=(
        Source("fluent/fluent-bit-docs, pipeline/outputs/loki.md", "2026-08"),
        Source("fluent/fluent-bit-docs, pipeline/inputs/systemd.md and tail.md", "2026-08"),
        Source("fluent/fluent-bit-docs, administration/scheduling-and-retries.md", "2026-08"),
        Source("fluent/fluent-bit-docs, pipeline/buffering.md", "2026-08"),
    ),
)  # fmt: skip
