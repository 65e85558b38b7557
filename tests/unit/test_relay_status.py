"""/status and /metrics say what the parts count, in words and names that can be relied on."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from appliance.config import model
from appliance.config.units import Endpoint, Size
from appliance.relay.http.messages import HttpLimits
from appliance.relay.http.server import HttpServer
from appliance.relay.labels.cardinality import GuardStats
from appliance.relay.listen.handover import HandoverStats, WriterStats
from appliance.relay.listen.intake import IntakeStats
from appliance.relay.listen.push_api import PushStats
from appliance.relay.loki.push_format import Entry
from appliance.relay.report.http_endpoints import HttpEndpoints
from appliance.relay.report.impstats import Rsyslog
from appliance.relay.report.metrics import PROMTAIL_REASONS, Metrics
from appliance.relay.report.rates import RateMeter
from appliance.relay.report.senders import Sources
from appliance.relay.report.status import Parts, build_status, first_troubles, troubles
from appliance.relay.report.status_values import Status
from appliance.relay.report.udp_drops import UdpLosses
from appliance.relay.send.stats import Histogram, LastError, SenderStats
from appliance.relay.spool.dead_letters import DeadLetter, DeadLetters
from appliance.relay.spool.spool import NewSegment, Spool, SpoolFull

URL = "https://user:hunter2@loki.example:3100/loki/api/v1/push"


class Holder:
    """Whatever has counters."""

    def __init__(self, stats: Any) -> None:
        self.stats = stats
        self.server = HttpServer("push", {}, HttpLimits())


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    settings = model.Spool(path=str(tmp_path), max_size=Size(1000), min_free=Size(0), reserve=Size(0))
    config = model.Config(loki=model.Loki(url=URL, tenant="team"), relay=model.Relay(spool=settings))
    spool = Spool(settings)
    found = Parts(
        config,
        Holder(IntakeStats(messages={"udp": 0, "relp": 0, "push": 0}, bytes={"udp": 0, "relp": 0, "push": 0})),
        spool,
        Holder(SenderStats()),
        Sources(),
        Holder(PushStats()),
        DeadLetters(tmp_path / "dead-letters", 1000),
        rsyslog=lambda: None,
    )
    monkeypatch.setattr(Parts, "udp_losses", lambda self: UdpLosses({}, {}, 0, 0))
    yield found
    spool.close()


def segment(size: int) -> NewSegment:
    return NewSegment(b"x" * size, None, 3, 100, 10**18, 10**18 + 5, "")


def look(parts: Parts, meter: RateMeter | None = None, recent: RateMeter | None = None) -> Status:
    """What a reader of the JSON gets."""
    if recent is None:
        recent = RateMeter(900)
        recent.sample(0.0, {})
    encoded = msgspec.json.encode(build_status(parts, meter or RateMeter(), recent))
    return msgspec.json.decode(encoded, type=Status)


def scrape(parts: Parts) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = Metrics(parts).render()[0].decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples), "a sample stands there twice"
    return found


def value(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


# ---- /status -------------------------------------------------------------------------------------


def test_an_idle_relay_has_no_problems(parts: Parts) -> None:
    status = look(parts)
    assert status.problems == []
    assert status.ready
    assert (status.loki.state, status.loki.last_success, status.loki.last_error) == ("idle", None, None)
    assert status.queue.fill_ratio == 0
    assert status.process.rss_bytes > 10**6
    assert status.rsyslog is None
    assert set(status.inputs) == {"udp", "relp", "push"}


def test_no_credential_of_the_url_is_told(parts: Parts) -> None:
    assert look(parts).loki.url == "https://loki.example:3100/loki/api/v1/push"
    assert "hunter2" not in msgspec.json.encode(build_status(parts, RateMeter(), RateMeter())).decode()
    assert "hunter2" not in Metrics(parts).render()[0].decode()


@pytest.mark.parametrize("state", ["held", "waiting"])
def test_a_loki_that_does_not_take_is_a_problem_with_cause_and_remedy(parts: Parts, state: Any) -> None:
    parts.sender.stats.state = state
    parts.sender.stats.last_error = LastError(123.0, "401", "Loki refuses our password", "set loki.basic_auth")
    status = look(parts)
    (problem,) = status.problems
    assert (problem.part, problem.problem, problem.remedy) == (
        "loki", "Loki refuses our password", "set loki.basic_auth",
    )  # fmt: skip
    assert status.loki.last_error is not None
    assert status.loki.last_error.when == 123.0
    parts.sender.stats.state = "ok"
    assert look(parts).problems == []


def test_the_queue_is_told_with_its_depth_age_and_fill(parts: Parts) -> None:
    parts.spool.append([segment(300), segment(550)])
    status = look(parts)
    assert (status.queue.batches, status.queue.entries, status.queue.bytes) == (2, 6, 850)
    assert status.queue.fill_ratio == 0.85
    assert 0 <= status.queue.oldest_age < 5
    assert status.queue.oldest_entry == 1e9
    assert not status.queue.full
    assert [problem.part for problem in status.problems] == ["queue"]


def test_a_full_queue_is_told_with_the_reason_and_since_when(parts: Parts) -> None:
    parts.spool.append([segment(900)])
    with pytest.raises(SpoolFull):
        parts.spool.append([segment(200)])
    status = look(parts)
    assert status.queue.full
    assert status.queue.blocked_since is not None
    assert "900 bytes of at most 1000" in status.problems[0].problem
    parts.spool.remove(parts.spool.head(1)[0])
    after = look(parts)  # nothing was written since: Loki made room
    assert (after.problems, after.queue.full, after.queue.blocked_since) == ([], False, None)


def test_rsyslog_and_the_kernel_are_part_of_it(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.rsyslog = lambda: Rsyslog(age=2.0, backlog=500, discarded_full=7, stalled=True, submitted={"imudp": 9})
    monkeypatch.setattr(Parts, "udp_losses", lambda self: UdpLosses({514: 3}, {514: 100}, 4, 0))
    status = look(parts)
    assert {problem.part for problem in status.problems} == {"udp", "rsyslog"}
    assert status.rsyslog is not None
    assert (status.rsyslog.queue, status.rsyslog.discarded, status.rsyslog.submitted) == (500, 7, {"imudp": 9})
    assert status.udp.drops_by_port == {514: 3}
    parts.rsyslog = lambda: Rsyslog(age=2000.0, backlog=500, discarded_full=7, stalled=True)
    stale = look(parts).rsyslog
    assert stale is not None
    assert stale.stale and not stale.stalled


def test_what_is_handed_over_is_shown_by_writer_and_its_troubles_are_problems(parts: Parts) -> None:
    now = time.time()
    parts.handover = lambda: HandoverStats(
        {
            "rsyslog": WriterStats(backlog=2000, oldest=now - 60, shut=True, torn=1),
            "receiver": WriterStats(backlog=500, oldest=now - 10, unreadable=4096, error="Input/output error"),
        }
    )
    parts.rsyslog = lambda: Rsyslog(age=2.0, failed=12)
    status = look(parts)
    assert status.handover.backlog_bytes == 2500
    assert 59 < status.handover.oldest_age < 65
    assert status.handover.writers["rsyslog"].torn == 1
    told = [one.problem for one in status.problems if one.part == "handover"]
    assert [said for said in told if said.startswith("rsyslog lost 12 messages")]
    assert [said for said in told if said.startswith("rsyslog holds its senders back: 2000 bytes")]
    assert [said for said in told if "receiver cannot be read: Input/output error" in said]
    assert [said for said in told if "4096 bytes that receiver handed over could not be read from disk" in said]
    assert all(one.remedy for one in status.problems)
    found = scrape(parts)
    assert value(found, "forwarder_handover_backlog_bytes", writer="rsyslog") == 2000
    assert value(found, "forwarder_handover_gate_shut", writer="receiver") == 0
    assert 59 < value(found, "forwarder_handover_oldest_age_seconds") < 65


def test_what_was_cut_not_understood_or_given_up_of_the_dead_letters_is_told(parts: Parts) -> None:
    parts.intake.stats.frames_cut = 4
    parts.intake.stats.protocol_errors = 2
    parts.intake.stats.holding = True
    for number in range(9):
        letter = DeadLetter("t", '{a="b"}', Entry(number, b"x" * 100, ()), "refused", "why")
        parts.dead_letters.keep([letter], lambda: None)
    status = look(parts)
    assert (status.frames_cut, status.protocol_errors, status.queue.acknowledgements_held) == (4, 2, True)
    assert status.dead_letters.kept == 9
    assert status.dead_letters.max_bytes == 1000
    assert status.dead_letters.given_up == status.recent["dead_letters_given_up"] > 0
    assert {problem.part for problem in status.problems} == {"losses", "connections"}
    page = scrape(parts)
    assert page["forwarder_dead_letters_given_up_total", frozenset()] == status.dead_letters.given_up
    assert page["forwarder_acknowledgements_held", frozenset()] == 1
    blocked = parts.dead_letters.directory
    for file in parts.dead_letters.files():
        file.unlink()
    blocked.rmdir()
    blocked.write_text("no directory")
    parts.dead_letters.keep([DeadLetter("t", "{}", Entry(1, b"x", ()), "refused", "why")], lambda: None)
    assert look(parts).dead_letters.unwritten == 1


def test_a_loss_is_a_problem_for_a_quarter_of_an_hour_and_a_count_for_ever(parts: Parts) -> None:
    recent = RateMeter(900)
    recent.sample(0.0, first_troubles(parts))
    parts.sender.stats.dead_lettered = {"too_old": 5}
    status = look(parts, recent=recent)
    assert status.recent == {"given_up": 5}
    assert [(problem.part, problem.problem) for problem in status.problems] == [
        ("losses", "5 lines could not be delivered in the last 15 min (too old 5)")
    ]
    (problem,) = status.problems
    assert "dead-letters list" in problem.remedy and str(parts.dead_letters.directory) in problem.remedy
    for moment in range(30, 1000, 30):
        recent.sample(float(moment), troubles(parts))
    status = look(parts, recent=recent)
    assert (status.problems, status.recent, status.dropped) == ([], {}, {"too_old": 5})


def test_what_is_known_of_lokis_clock_is_told(parts: Parts) -> None:
    assert look(parts).loki.clock_skew is None
    parts.sender.stats.clock_skew, parts.sender.stats.held_for_clock = 1260.0, 7
    loki = look(parts).loki
    assert (loki.clock_skew, loki.held_for_clock) == (1260.0, 7)


def test_many_lines_with_a_wrong_time_are_a_problem_and_those_of_one_sender_are_not(parts: Parts) -> None:
    recent = RateMeter(900)
    recent.sample(0.0, first_troubles(parts))
    parts.intake.stats.messages["udp"] = 10_000
    parts.intake.stats.repaired = {"clock": 100}
    assert look(parts, recent=recent).problems == []
    parts.intake.stats.repaired = {"clock": 9000}
    (problem,) = look(parts, recent=recent).problems
    assert problem.part == "time" and problem.problem.startswith("9000 lines got the time of receipt")


def test_what_the_guard_turned_into_metadata_is_a_problem_for_a_while(parts: Parts) -> None:
    recent = RateMeter(900)
    recent.sample(0.0, first_troubles(parts))
    parts.intake.stats.guard = GuardStats(active=7, overflowed=3, values_overflowed={"host": 4, "pod": 5})
    status = look(parts, recent=recent)
    assert status.recent == {"streams_overflowed": 3, "label_values_overflowed": 9}
    assert [(problem.part, problem.problem.split(" in the last")[0]) for problem in status.problems] == [
        ("streams", "3 label sets lost labels"),
        ("streams", "9 label values became metadata"),
    ]
    assert status.streams.values_overflowed == {"host": 4, "pod": 5}


def test_what_was_lost_before_the_relay_started_is_no_recent_problem(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Parts, "udp_losses", lambda self: UdpLosses({514: 9}, {514: 0}, 9, 0))
    recent = RateMeter(900)
    recent.sample(0.0, first_troubles(parts))
    assert look(parts, recent=recent).problems == []
    monkeypatch.setattr(Parts, "udp_losses", lambda self: UdpLosses({514: 12}, {514: 0}, 9, 0))
    assert look(parts, recent=recent).problems[0].problem == "the kernel dropped 3 datagrams in the last 15 min"
    monkeypatch.setattr(Parts, "udp_losses", lambda self: UdpLosses({514: 1}, {514: 0}, 9, 0))  # the socket is new
    assert look(parts, recent=recent).problems == []


def test_senders_are_listed_latest_first_and_bounded(parts: Parts) -> None:
    for number in range(150):
        parts.sources.record(f"10.0.0.{number}", "udp", number, time.time())
    sources = look(parts).sources
    assert (sources.count, len(sources.latest)) == (150, 100)
    assert (sources.latest[0].sender, sources.latest[0].messages) == ("10.0.0.149", 149)


def test_rates_are_those_of_the_last_ten_and_sixty_seconds() -> None:
    meter = RateMeter()
    total = 0
    for second in range(0, 301, 2):
        total = 100 * second if second <= 280 else 28_000
        meter.sample(1000.0 + second, {"udp": total})
    assert meter.rate("udp", total, 1300.0, 10) == 0
    assert 60 <= meter.rate("udp", total, 1300.0, 60) <= 70
    assert meter.rate("new", 120, 1300.0, 60) == pytest.approx(2, abs=0.2)
    assert RateMeter().rate("udp", 5, 0.0, 10) == 0
    assert len(meter._samples) < 40


def test_drops_and_repairs_of_all_parts_are_added_by_reason(parts: Parts) -> None:
    parts.intake.stats.dropped = {"relabel": 2}
    parts.spool.stats.dropped = {"spool_full": 3}
    parts.sender.stats.dead_lettered = {"line_too_long": 1}
    parts.intake.stats.repaired = {"nopri": 1, "too_old": 1}
    parts.sender.stats.repaired = {"too_old": 4}
    status = look(parts)
    assert status.dropped == {"relabel": 2, "spool_full": 3, "line_too_long": 1}
    assert status.repaired == {"nopri": 1, "too_old": 5}


# ---- /metrics ------------------------------------------------------------------------------------


def test_every_metric_of_promtail_is_there_from_the_start_with_its_labels(parts: Parts) -> None:
    found = scrape(parts)
    host = "loki.example:3100"
    for name in ("encoded_bytes", "sent_bytes", "sent_entries"):
        assert value(found, f"promtail_{name}_total", host=host) == 0
    for name in ("dropped_bytes", "dropped_entries", "mutated_entries", "mutated_bytes"):
        for reason in PROMTAIL_REASONS:
            assert value(found, f"promtail_{name}_total", host=host, tenant="team", reason=reason) == 0
    assert value(found, "promtail_batch_retries_total", host=host, tenant="team") == 0
    for name in ("syslog_target_entries", "syslog_target_parsing_errors", "syslog_empty_messages",
                 "config_reload_success", "config_reload_fail"):  # fmt: skip
        assert value(found, f"promtail_{name}_total") == 0


def test_metrics_are_the_counters_at_the_moment_of_the_scrape(parts: Parts) -> None:
    metrics = Metrics(parts, lambda: 11)
    metrics.render()
    intake, sender = parts.intake.stats, parts.sender.stats
    intake.messages.update(udp=5, push=2)
    intake.guard = GuardStats(active=7, overflowed=1, values_overflowed={"host": 4})
    sender.pushed_entries, sender.sent_bytes, sender.retries = 42, 900, 3
    sender.status_codes = {"204": 40, "500": 2}
    sender.dead_lettered = {"stream_rate": 6, "too_old": 1}
    sender.dead_lettered_bytes = {"stream_rate": 600, "too_old": 50}
    sender.mutated, sender.mutated_bytes = (
        {"stream_limit": 8, "line_too_long": 2},
        {"stream_limit": 80, "line_too_long": 9},
    )
    intake.frames_cut = 3
    sender.state = "ok"
    sender.request_seconds = {"204": Histogram()}
    for seconds in (0.001, 0.2, 100.0):
        sender.request_seconds["204"].observe(seconds)
    parts.spool.append([segment(100)])
    parts.reloads = 2
    text = metrics.render()[0].decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert value(found, "forwarder_input_messages_total", input="udp") == 5
    assert value(found, "forwarder_streams_active") == 7
    assert value(found, "forwarder_label_values_overflowed_total", label="host") == 4
    assert value(found, "forwarder_loki_responses_total", status_code="500") == 2
    assert value(found, "forwarder_loki_state", state="ok") == 1
    assert value(found, "forwarder_loki_state", state="held") == 0
    assert value(found, "forwarder_spool_bytes") == 100
    assert value(found, "forwarder_log_lines_suppressed_total") == 11
    host = "loki.example:3100"
    assert value(found, "promtail_sent_entries_total", host=host) == 42
    assert value(found, "promtail_sent_bytes_total", host=host) == 900
    assert value(found, "promtail_syslog_target_entries_total") == 5
    assert value(found, "promtail_config_reload_success_total") == 2
    dropped = {"host": host, "tenant": "team"}
    assert value(found, "promtail_dropped_entries_total", reason="rate_limited", **dropped) == 6
    assert value(found, "promtail_dropped_entries_total", reason="ingester_error", **dropped) == 1
    assert value(found, "promtail_dropped_bytes_total", reason="rate_limited", **dropped) == 600
    assert value(found, "promtail_dropped_bytes_total", reason="ingester_error", **dropped) == 50
    assert value(found, "promtail_mutated_entries_total", reason="stream_limited", **dropped) == 8
    assert value(found, "promtail_mutated_entries_total", reason="line_too_long", **dropped) == 5
    assert value(found, "promtail_mutated_bytes_total", reason="stream_limited", **dropped) == 80
    assert value(found, "promtail_mutated_bytes_total", reason="line_too_long", **dropped) == 9
    for prefix, extra in (("promtail_request_duration_seconds", {"host": host}),
                          ("forwarder_loki_request_duration_seconds", {})):  # fmt: skip
        assert value(found, f"{prefix}_count", status_code="204", **extra) == 3
        assert value(found, f"{prefix}_bucket", status_code="204", le="0.25", **extra) == 2
        assert value(found, f"{prefix}_bucket", status_code="204", le="+Inf", **extra) == 3
        assert value(found, f"{prefix}_sum", status_code="204", **extra) == pytest.approx(100.201)
    assert value(found, "process_resident_memory_bytes") > 10**6


def test_a_scraper_that_wants_openmetrics_gets_it(parts: Parts) -> None:
    body, content_type = Metrics(parts).render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert list(openmetrics_families(body.decode()))


# ---- the listener --------------------------------------------------------------------------------


def test_the_three_pages_are_served(parts: Parts) -> None:
    reason = "starting"
    parts.not_ready = lambda: reason

    async def get(endpoint: Endpoint, path: str) -> tuple[int, str, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        return int(head.split()[1]), head, body

    async def scenario() -> None:
        nonlocal reason
        pages = HttpEndpoints(parts, Metrics(parts))
        await pages.start(Endpoint("127.0.0.1:0"))
        endpoint = pages.endpoint
        assert endpoint is not None
        assert (await get(endpoint, "/ready"))[::2] == (503, "Not ready: starting\n")
        assert json.loads((await get(endpoint, "/status"))[2])["not_ready_reason"] == "starting"
        reason = ""
        assert (await get(endpoint, "/ready"))[::2] == (200, "Ready\n")
        status, head, body = await get(endpoint, "/status")
        assert (status, "content-type: application/json" in head.lower()) == (200, True)
        assert json.loads(body)["ready"] is True
        status, head, body = await get(endpoint, "/metrics")
        assert (status, "content-type: text/plain; version=" in head.lower()) == (200, True)
        assert "forwarder_ready 1.0" in body
        assert "/status" in (await get(endpoint, "/"))[2]
        await pages.stop()
        assert pages.endpoint is None

    asyncio.run(scenario())
