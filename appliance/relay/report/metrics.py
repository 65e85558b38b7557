"""`/metrics`: the parts' counters as Prometheus metrics, read at the moment of the scrape.

Names begin with `forwarder_`; where Promtail has a metric of the same meaning it is there under
Promtail's name too, with all its label values from the start, so that its dashboards and alerts
live on. Importing prometheus_client is left to the first scrape: an idle relay is smaller without.
Source of Promtail's names: loki@v3.5 clients/pkg/promtail/client/metrics.go, targets/syslog.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from appliance import __version__
from appliance.relay.report.receiver import receiver_status
from appliance.relay.report.status import Parts, merged, read_process
from appliance.relay.report.x509_dates import expiries
from appliance.relay.send.stats import BUCKETS

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry

PROMTAIL_REASONS = ("ingester_error", "rate_limited", "stream_limited", "line_too_long")
_STATES = ("ok", "waiting", "held", "idle")
# Our reasons for what Loki refuses, in Promtail's four words.
_PROMTAIL_REASON = {"line_too_long": "line_too_long", "stream_limit": "stream_limited", "stream_rate": "rate_limited"}


class Metrics:
    """Renders the parts' state; one for each relay, with a registry of its own."""

    def __init__(self, parts: Parts, suppressed_log_lines: Callable[[], int] = lambda: 0) -> None:
        self._parts = parts
        self._suppressed = suppressed_log_lines
        self._registry: CollectorRegistry | None = None

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the page and its content type, as the scraper's Accept header wants it."""
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept)
        return encode(self._registered()), content_type

    def _registered(self) -> CollectorRegistry:
        if self._registry is None:
            from prometheus_client.process_collector import ProcessCollector
            from prometheus_client.registry import CollectorRegistry

            self._registry = CollectorRegistry()
            self._registry.register(self)
            ProcessCollector(registry=self._registry)
        return self._registry

    def describe(self) -> list[Metric]:
        return []  # what there is is known at the scrape; nothing to check for double names before

    def collect(self) -> Iterator[Metric]:
        yield from self._about_relay()
        yield from self._inputs()
        yield from self._spool()
        yield from self._loki()
        yield from self._outside()
        yield from self._receiver()
        yield from self._promtail()

    # ---- ours ------------------------------------------------------------------------------------

    def _about_relay(self) -> Iterator[Metric]:
        parts = self._parts
        yield _gauge("build_info", "1, labeled with the version.", {("version",): {(__version__,): 1}})
        yield _gauge("start_time_seconds", "When the relay started, Unix time.", parts.started)
        yield _gauge("ready", "1 while the relay accepts logs.", float(not parts.not_ready()))
        yield _gauge("threads", "Threads of the relay.", read_process().threads)
        yield _counter("config_reloads", "Configurations loaded since start.", parts.reloads)
        yield _counter("config_reload_failures", "Configurations refused since start.", parts.reload_failures)
        yield _counter(
            "log_lines_suppressed", "Lines of the relay's own log not written, by its limit.", self._suppressed()
        )

    def _inputs(self) -> Iterator[Metric]:
        parts, stats = self._parts, self._parts.intake.stats
        push, server = parts.push.stats, parts.push.server.stats
        yield _counter("input_messages", "Messages received, by input.", _by("input", stats.messages))
        yield _counter("input_bytes", "Bytes of messages received, by input.", _by("input", stats.bytes))
        connections = {**stats.connections, "push": server.connections}
        yield _gauge("input_connections", "Open connections, by input.", _by("input", connections))
        yield _counter("connections", "Connections accepted.", stats.connections_total + server.connections_total)
        yield _counter(
            "connections_refused", "Connections over the limit, closed at once.", stats.refused + server.refused
        )
        yield _gauge("ack_pending_messages", "Messages received and not yet acknowledged.", stats.ack_pending)
        yield _counter("frames_cut", "Messages longer than relay.connections.max_message, cut.", stats.frames_cut)
        yield _counter(
            "protocol_errors", "Connections closed because their framing could not be followed.", stats.protocol_errors
        )
        yield _counter("batches", "Batches closed by the intake.", stats.batches)
        yield _counter("repaired_entries", "Entries repaired on arrival or for Loki, by reason.",
                       _by("reason", merged([stats.repaired, parts.sender.stats.repaired])))  # fmt: skip
        given_up = merged([stats.dropped, parts.spool.stats.dropped, parts.sender.stats.dead_lettered])
        yield _counter("dropped_entries", "Entries dropped, by reason.", _by("reason", given_up))
        dead = parts.dead_letters
        yield _counter("dead_letters_given_up", "Oldest dead letters deleted to stay within the limit.", dead.given_up)
        yield _gauge("dead_letters", "Dead letters on disk, by reason.", _by("reason", dead.store.reasons()))
        yield _gauge("dead_letters_unwritten", "Dead letters in memory that could not be written yet.", dead.unwritten)
        yield _gauge(
            "acknowledgements_held",
            "1 while acknowledgements are held because the spool is full.",
            float(stats.holding),
        )
        yield _counter("push_requests_accepted", "Requests of the push API answered 204.", push.accepted)
        yield _counter(
            "push_requests_refused", "Requests of the push API refused, by reason.", _by("reason", push.refused)
        )
        yield _counter("push_responses", "Answers of the push listener, by status.", _by("status", server.requests))
        guard = stats.guard
        yield _gauge("streams_active", "Streams in use.", guard.active)
        yield _gauge("streams_limit", "labels.guard.max_streams.", parts.config.labels.guard.max_streams)
        yield _counter(
            "streams_overflowed", "Label sets that gave up labels because streams were short.", guard.overflowed
        )
        yield _counter("label_values_overflowed", "Label values that became metadata, by label.",
                       _by("label", guard.values_overflowed))  # fmt: skip
        yield _gauge("sources", "Senders known.", len(parts.sources))
        yield _counter("sources_forgotten", "Senders forgotten because the table was full.", parts.sources.evicted)

    def _spool(self) -> Iterator[Metric]:
        spool, stats = self._parts.spool, self._parts.spool.stats
        oldest = spool.head(1)
        yield _gauge("spool_batches", "Batches on disk that Loki has not accepted.", stats.segments)
        yield _gauge("spool_entries", "Entries in them.", stats.entries)
        yield _gauge("spool_bytes", "Bytes of them.", stats.bytes)
        yield _gauge("spool_max_bytes", "relay.spool.max_size.", int(spool.settings.max_size))
        yield _gauge("spool_oldest_age_seconds", "Age of the oldest batch.",
                     max(0.0, time.time() - oldest[0].created_ms / 1000) if oldest else 0)  # fmt: skip
        yield _gauge("spool_full", "1 while the spool is full.", float(bool(spool.no_room()) or stats.full))
        yield _counter("spool_batches_written", "Batches written.", stats.written)
        yield _counter("spool_batches_removed", "Batches removed: sent or dropped.", stats.removed)
        yield _counter("spool_batches_set_aside", "Unreadable batches moved out of the way.", stats.set_aside)
        yield _gauge("spool_sync_seconds", "How long the last commit to disk took.", stats.last_sync_seconds)

    def _loki(self) -> Iterator[Metric]:
        stats = self._parts.sender.stats
        yield _gauge("loki_state", "1 for the sender's state.",
                     _by("state", {state: int(str(stats.state) == state) for state in _STATES}))  # fmt: skip
        yield _counter("loki_requests", "Pushes made, whatever their answer.", stats.pushes)
        yield _counter("loki_pushed_entries", "Entries that Loki accepted.", stats.pushed_entries)
        yield _counter("loki_pushed_bytes", "Their bytes, uncompressed.", stats.pushed_bytes)
        yield _counter("loki_sent_bytes", "Bytes of request bodies that Loki accepted.", stats.sent_bytes)
        yield _gauge("loki_requests_in_flight", "Pushes in flight.", stats.in_flight)
        yield _gauge(
            "loki_held_streams", "Streams that wait for their rate or for a push of their own.", stats.held_streams
        )
        yield _gauge(
            "loki_held_for_clock_entries", "Entries that wait as only Loki's clock refuses them.", stats.held_for_clock
        )
        if stats.clock_skew is not None:
            yield _gauge(
                "loki_clock_skew_seconds", "Loki's clock minus this machine's, by its Date header.", stats.clock_skew
            )
        yield self._durations("forwarder_loki_request_duration_seconds")
        yield _counter("loki_retries", "Pushes tried again.", stats.retries)
        yield _counter("loki_responses", "Answers of Loki, by status code.", _by("status_code", stats.status_codes))
        yield _counter("loki_rate_limited", "429s, by what was limited.", _by("kind", stats.rate_limited))
        yield _counter("loki_rejected_entries", "Entries Loki refused, by reason.", _by("reason", stats.rejected))
        yield _counter(
            "loki_dead_lettered_entries", "Entries kept apart for good, by reason.", _by("reason", stats.dead_lettered)
        )
        yield _gauge(
            "loki_last_success_timestamp_seconds", "When Loki last took a push, Unix time.", stats.last_success or 0
        )

    def _outside(self) -> Iterator[Metric]:
        yield _gauge("certificate_expiry_timestamp_seconds", "When a certificate in use ends, by its file.",
                     _by("file", expiries(self._parts.config)))  # fmt: skip
        losses = self._parts.udp_losses()
        yield _counter("udp_dropped_datagrams", "Datagrams the kernel dropped at a full socket buffer, by port.",
                       _by("port", {str(port): count for port, count in losses.drops.items()}))  # fmt: skip
        yield _counter(
            "udp_receive_buffer_errors", "The same for the whole machine, since boot.", losses.receive_buffer_errors
        )
        handover = self._parts.handover()
        writers = handover.writers
        yield _gauge("handover_backlog_bytes", "Bytes handed over by files and not read yet, by writer.",
                     _by("writer", {name: one.backlog for name, one in writers.items()}))  # fmt: skip
        yield _gauge("handover_oldest_age_seconds", "How long the first record not read waits.",
                     max(0.0, time.time() - handover.oldest) if handover.oldest is not None else 0.0)  # fmt: skip
        yield _gauge("handover_gate_shut", "1 while a writer holds back its senders, by writer.",
                     _by("writer", {name: float(one.shut) for name, one in writers.items()}))  # fmt: skip
        yield _counter("handover_torn_records", "Records without an end, by writer: it was killed in them.",
                       _by("writer", {name: one.torn for name, one in writers.items()}))  # fmt: skip
        yield _counter("handover_unreadable_bytes", "Bytes that could not be read back from disk, by writer.",
                       _by("writer", {name: one.unreadable for name, one in writers.items()}))  # fmt: skip
        rsyslog = self._parts.rsyslog()
        yield _gauge(
            "rsyslog_up", "1 while rsyslog writes its statistics.", float(rsyslog is not None and not rsyslog.stale)
        )
        if rsyslog is None:
            return
        yield _gauge("rsyslog_queue_messages", "Messages in rsyslog's queues towards the relay.", rsyslog.backlog)
        yield _counter(
            "rsyslog_discarded_messages", "Messages rsyslog gave up because its queue was full.", rsyslog.discarded
        )
        yield _gauge("rsyslog_stalled", "1 while messages wait in rsyslog and none leaves.", float(rsyslog.stalled))
        yield _counter("rsyslog_suspended", "Times an action of rsyslog was suspended.", rsyslog.suspended)
        yield _counter("rsyslog_failed_messages", "Messages an action of rsyslog failed for.", rsyslog.failed)
        yield _counter(
            "rsyslog_input_messages", "Messages rsyslog received, by input.", _by("input", rsyslog.submitted)
        )

    def _receiver(self) -> Iterator[Metric]:
        receiver = receiver_status(self._parts.receiver(), time.time())
        yield _gauge("receiver_up", "1 while the receiver writes its numbers.",
                     float(receiver is not None and not receiver.stale))  # fmt: skip
        if receiver is None:
            return
        yield _gauge("receiver_connections", "Connections open to the receiver.", receiver.connections)
        yield _counter("receiver_connections_accepted", "Connections it accepted.", receiver.connections_total)
        yield _counter("receiver_messages", "Messages it received.", receiver.messages)
        yield _counter("receiver_bytes", "Their bytes.", receiver.bytes)
        yield _counter("receiver_frames_cut", "Messages longer than relay.connections.max_message, cut.", receiver.cut)
        yield _counter("receiver_unterminated_messages", "Messages without their end, kept.", receiver.unterminated)
        yield _counter("receiver_foreign_connections", "Connections that spoke another protocol, by protocol.",
                       _by("protocol", {key: one.count for key, one in receiver.foreign.items()}))  # fmt: skip
        yield _counter("receiver_unreadable_connections", "Connections that began with no text.",
                       receiver.unreadable.count)  # fmt: skip
        yield _counter("receiver_connections_refused", "Connections refused over a limit, by limit.",
                       _by("bound", {key: one.count for key, one in receiver.refused.items()}))  # fmt: skip
        yield _gauge("receiver_blocked", "1 while senders are held back.", float(bool(receiver.blocked)))

    # ---- Promtail's ------------------------------------------------------------------------------

    def _promtail(self) -> Iterator[Metric]:
        parts, stats, intake = self._parts, self._parts.sender.stats, self._parts.intake.stats
        host = urlsplit(parts.config.loki.url).netloc.rpartition("@")[2]
        tenant = parts.config.loki.tenant or ""
        for name, help, value in (
            ("encoded_bytes", "Number of bytes encoded and ready to send.", stats.encoded_bytes),
            ("sent_bytes", "Number of bytes sent.", stats.sent_bytes),
            ("sent_entries", "Number of log entries sent to the ingester.", stats.pushed_entries),
        ):
            yield _counter(name, help, {("host",): {(host,): value}}, prefix="promtail_")
        spool = parts.spool.stats
        for name, counts in (
            ("dropped_entries", merged([spool.dropped, stats.dead_lettered])),
            ("dropped_bytes", merged([spool.dropped_bytes, stats.dead_lettered_bytes])),
            # What was longer than the relay itself takes was cut when it came, uncounted in bytes.
            ("mutated_entries", merged([stats.mutated, {"line_too_long": intake.frames_cut}])),
            ("mutated_bytes", stats.mutated_bytes),
        ):
            by_reason = _in_promtails_words(counts)
            values: dict[tuple[str, ...], float] = {
                (host, tenant, reason): by_reason[reason] for reason in PROMTAIL_REASONS
            }
            verb, _, what = name.partition("_")
            yield _counter(name, f"Number of log {what} {verb}.", {("host", "tenant", "reason"): values}, "promtail_")
        yield _counter("batch_retries", "Number of times batches have had to be retried.",
                       {("host", "tenant"): {(host, tenant): stats.retries}}, prefix="promtail_")  # fmt: skip
        yield self._durations("promtail_request_duration_seconds", host)
        entries = sum(count for name, count in intake.messages.items() if name != "push")
        yield _counter(
            "syslog_target_entries",
            "Total number of successful entries sent to the syslog target.",
            entries,
            "promtail_",
        )
        errors = intake.repaired.get("unparsed", 0) + intake.protocol_errors
        yield _counter(
            "syslog_target_parsing_errors",
            "Total number of parsing errors while receiving syslog messages.",
            errors,
            "promtail_",
        )
        yield _counter("syslog_empty_messages", "Total number of empty messages receiving from syslog.", 0, "promtail_")
        yield _counter("config_reload_success", "Number of reload success times.", parts.reloads, "promtail_")
        yield _counter("config_reload_fail", "Number of reload fail times.", parts.reload_failures, "promtail_")

    def _durations(self, name: str, host: str | None = None) -> Metric:
        from prometheus_client.core import HistogramMetricFamily

        labels = ["status_code"] if host is None else ["status_code", "host"]
        family = HistogramMetricFamily(name, "Duration of pushes to Loki.", labels=labels)
        for code, histogram in dict(self._parts.sender.stats.request_seconds).items():
            below = list(accumulate(histogram.counts))
            buckets = [*zip(map(str, BUCKETS), below, strict=False), ("+Inf", below[-1])]
            family.add_metric([code] if host is None else [code, host], buckets, histogram.total)
        return family


def _in_promtails_words(counts: Mapping[str, int]) -> dict[str, int]:
    words = dict.fromkeys(PROMTAIL_REASONS, 0)
    for reason, count in counts.items():
        words[_PROMTAIL_REASON.get(reason, "ingester_error")] += count
    return words


_Values = float | Mapping[tuple[str, ...], Mapping[tuple[str, ...], float]]


def _by(label: str, counts: Mapping[str, float]) -> _Values:
    return {(label,): {(name,): count for name, count in dict(counts).items()}}


def _counter(name: str, help: str, values: _Values, prefix: str = "forwarder_") -> Metric:
    from prometheus_client.core import CounterMetricFamily

    if not isinstance(values, Mapping):
        return CounterMetricFamily(prefix + name, help, value=values)
    ((labels, samples),) = values.items()
    family = CounterMetricFamily(prefix + name, help, labels=labels)
    for label_values, value in samples.items():
        family.add_metric(label_values, value)
    return family


def _gauge(name: str, help: str, values: _Values) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    if not isinstance(values, Mapping):
        return GaugeMetricFamily("forwarder_" + name, help, value=values)
    ((labels, samples),) = values.items()
    family = GaugeMetricFamily("forwarder_" + name, help, labels=labels)
    for label_values, value in samples.items():
        family.add_metric(label_values, value)
    return family
