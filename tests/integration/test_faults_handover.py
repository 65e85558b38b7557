"""Hand-over by files under SIGKILL, full disks and disks that fail: nothing lost, and nothing twice."""

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.config import model
from appliance.config.units import Size
from appliance.relay.handover.writer import HandoverWriter
from tests.conftest import StartRelay
from tests.harness.certificates import client_tls
from tests.harness.load import RelpLoad, TcpLoad
from tests.harness.net import wait_until
from tests.harness.processes import ROOT, Process, Relay
from tests.harness.rsyslog import ApplianceRsyslog, by_tls, listeners
from tests.harness.senders import numbered, octet_counted, rfc5424, send_tcp, send_udp
from tests.harness.small_disk import fill, small_disk
from tests.loki_double import LokiUnderTest

MIB = 2**20
SHORT = model.Connections(max_message=Size(8192))  # so that small files hold a batch


def handover(relay: Relay) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(relay.get("/status")[1])["handover"]
    return found


@pytest.mark.slow
def test_a_relay_killed_again_and_again_takes_each_record_once(
    loki_process: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]
) -> None:
    """Batches hold records of the files and of senders of the relay itself; Loki takes no push while it is killed."""
    loki = loki_process
    relay = start_relay(loki.push_url, {"relay": {"batch": {"size": "128KiB", "age": "200ms"}}})
    rsyslog = ApplianceRsyslog(tmp_path / "r", by_tls("relp"), relay.handover).ready()
    processes.append(rsyslog)
    assert rsyslog.listen.tls and rsyslog.listen.relp
    loki.fault("refuse")  # what is in flight to Loki when the relay dies may come twice: that is another promise
    files = TcpLoad(
        rsyslog.listen.tls.port,
        tls=client_tls(),
        rate=4000,
        make=lambda n: rfc5424(f"n={n}", application="tls"),
    )
    relp = RelpLoad(rsyslog.listen.relp.port, rate=2000, make=lambda n: rfc5424(f"n={n}", application="relp"))
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    for _ in range(12):
        time.sleep(moments.uniform(0.05, 0.9))
        # Of a sender of the relay's own, without acknowledgement: it only mixes the batches.
        send_tcp(relay.syslog_tcp, octet_counted([rfc5424("other", application="other")] * 50))
        relay.kill()
        relay.up()
    sent = {"tls": files.finish(), "relp": relp.finish()}
    wait_until(lambda: handover(relay)["backlog_bytes"] == 0, 30)
    loki.clear()
    for application, count in sent.items():
        query = f'{{application="{application}"}}'
        wait_until(lambda query=query, count=count: loki.count(query) >= count, 60)  # type: ignore[misc]
        tally = loki.tally(count, query)
        assert (tally.lost, tally.duplicates, tally.strange) == (0, 0, []), (application, seed)


@pytest.mark.slow
def test_positions_hold_when_segments_are_sent_at_once_and_most_records_are_dropped_by_rule(
    loki_process: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]
) -> None:
    loki = loki_process
    rules = [{"source_labels": ["__syslog_message_app_name"], "regex": "noise", "action": "drop"}]
    labels = {"relabel_configs": rules}
    relay = start_relay(loki.push_url, {"labels": labels, "relay": {"batch": {"age": "100ms"}}})
    rsyslog = ApplianceRsyslog(tmp_path / "r", by_tls(max_disk=8 * MIB), relay.handover).ready()
    processes.append(rsyslog)
    assert rsyslog.listen.tls
    kept = 0
    for round in range(8):
        noise = [rfc5424("x" * 300, application="noise")] * 3000
        send_tcp(rsyslog.listen.tls.port, octet_counted(noise), tls=client_tls())
        if round % 2:
            send_tcp(rsyslog.listen.tls.port, octet_counted(numbered(range(kept, kept + 100))), tls=client_tls())
            kept += 100
        wait_until(lambda: handover(relay)["backlog_bytes"] == 0, 20)
        if round % 3 == 2:
            wait_until(lambda kept=kept: loki.count() >= kept and relay.spooled() == 0, 20)  # type: ignore[misc]
            time.sleep(0.3)  # a batch in flight to Loki when the relay is killed may come twice: none is
            relay.kill()
            relay.up()
    wait_until(lambda: loki.count() >= kept, 20)
    tally = loki.tally(kept)
    assert (tally.lost, tally.duplicates) == (0, 0)
    # What is done with is deleted, though hardly a batch came of it.
    wait_until(lambda: len(list((relay.handover / "rsyslog").glob("*.log"))) <= 3, 20)


@pytest.mark.slow
def test_a_killed_rsyslogd_keeps_its_word_to_senders_by_relp(
    loki_process: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]
) -> None:
    """What it acknowledged is in the files. What it had not, its sender sends again: once, or twice if it was there."""
    loki = loki_process
    relay = start_relay(loki.push_url)
    rsyslog = ApplianceRsyslog(tmp_path / "r", listeners("relp"), relay.handover).ready()
    processes.append(rsyslog)
    assert rsyslog.listen.relp
    load = RelpLoad(rsyslog.listen.relp.port, rate=8000, window=500)
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    kills = 6
    for _ in range(kills):
        time.sleep(moments.uniform(0.2, 1.0))
        rsyslog.kill()
        rsyslog.ready()
    sent = load.finish()
    wait_until(lambda: loki.tally(sent).lost == 0, 30, what=lambda: (seed, loki.tally(sent)))
    assert loki.tally(sent).duplicates <= kills * 500, seed


def test_a_record_that_a_killed_rsyslogd_left_without_its_end_costs_only_itself(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]
) -> None:
    relay = start_relay(loki.push_url)
    rsyslog = ApplianceRsyslog(tmp_path / "r", listeners("udp"), relay.handover).ready()
    processes.append(rsyslog)
    assert rsyslog.listen.udp
    send_udp(rsyslog.listen.udp.port, numbered(range(10)))
    wait_until(lambda: loki.count() == 10, 20)
    rsyslog.kill()
    with (relay.handover / "rsyslog" / "current").open("ab") as file:
        file.write(b"1795770601.123456 10.0.0.9 udp <13>Nov 27 06:30:01 web ap")
    rsyslog.ready()
    send_udp(rsyslog.listen.udp.port, numbered(range(10, 20)))
    wait_until(lambda: loki.count() == 20, 20)
    tally = loki.tally(20)
    assert (tally.lost, tally.strange) == (0, [])
    assert handover(relay)["writers"]["rsyslog"]["torn"] == 1


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, size=24 * MIB) as path:
        yield path


def test_on_a_full_disk_rsyslog_loses_nothing_and_its_senders_wait(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, disk: Path, processes: list[Process]
) -> None:
    settings = {"relay": {"listen": {"handover": str(disk / "handover")}}}
    relay = start_relay(loki.push_url, settings, up=False)
    listen = by_tls("relp", max_disk=512 * MIB, memory_messages=2000)
    rsyslog = ApplianceRsyslog(tmp_path / "r", listen, disk / "handover", connections=SHORT).ready()
    processes.append(rsyslog)
    filler = fill(disk)
    assert listen.tls and listen.relp

    def of(application: str) -> Callable[[int], bytes]:
        return lambda n: rfc5424(f"n={n} ".ljust(300, "x"), application=application)

    tls = TcpLoad(listen.tls.port, tls=client_tls(), make=of("tls"))
    relp = RelpLoad(listen.relp.port, make=of("relp"), patience=120)
    wait_until(rsyslog.gate.exists, 30, what=lambda: rsyslog.output[-2000:])
    time.sleep(2)
    before = relp.produced
    time.sleep(1)
    assert relp.produced == before, "the sender is not held back"
    relay.up()  # its spool is elsewhere; it reads, deletes, and opens the gate
    wait_until(lambda: relp.produced > before, 30)
    filler.unlink()
    sent = {"tls": tls.finish(), "relp": relp.finish()}
    for application, count in sent.items():
        query = f'{{application="{application}"}}'
        wait_until(
            lambda query=query, count=count: loki.count(query) >= count,
            60,
            what=lambda: (sent, loki.count()),  # type: ignore[misc]
        )
        tally = loki.tally(count, query)
        assert (tally.lost, tally.duplicates) == (0, 0), application
    wait_until(lambda: '"handover_rsyslog"' in rsyslog.statistics.read_text(), 10)
    assert '"failed":0' in rsyslog.statistics.read_text().replace(" ", "")
    assert not [line for line in failed_counts(rsyslog.statistics) if line]


def failed_counts(statistics: Path) -> list[int]:
    lines = [line.partition(": ")[2] for line in statistics.read_text().splitlines() if '"handover_' in line]
    return [json.loads(line)["failed"] for line in lines if line.endswith("}")]


def test_a_backlog_at_its_bound_holds_senders_back_and_drains_when_the_relay_comes(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]
) -> None:
    relay = start_relay(loki.push_url, up=False)
    listen = listeners("relp", max_disk=16 * MIB)
    rsyslog = ApplianceRsyslog(tmp_path / "r", listen, relay.handover, connections=SHORT).ready()
    processes.append(rsyslog)
    assert listen.relp
    load = RelpLoad(listen.relp.port, make=lambda n: rfc5424(f"n={n} " + "x" * 1000), window=1000, patience=120)
    wait_until(rsyslog.gate.exists, 60)
    time.sleep(0.5)
    files = relay.handover / "rsyslog"
    assert 4 * MIB < sum(path.stat().st_size for path in files.glob("*.log")) <= 8 * MIB
    # A stop lets what is in memory through, and the next rsyslogd holds back again.
    rsyslog.terminate(20)
    rsyslog.ready()
    wait_until(rsyslog.gate.exists, 30)
    relay.up()
    wait_until(lambda: handover(relay)["writers"]["rsyslog"]["backlog_bytes"] < 2 * MIB, 30)
    sent = load.finish()
    wait_until(lambda: loki.tally(sent).lost == 0, 30)
    assert loki.tally(sent).duplicates <= 1000


def test_a_reader_that_is_hours_behind_catches_up_in_order(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]
) -> None:
    relay = start_relay(loki.push_url, up=False)
    rsyslog = ApplianceRsyslog(tmp_path / "r", by_tls(max_disk=128 * MIB), relay.handover).ready()
    processes.append(rsyslog)
    assert rsyslog.listen.tls
    for first in range(0, 100_000, 20_000):
        send_tcp(
            rsyslog.listen.tls.port,
            octet_counted(numbered(range(first, first + 20_000), size=200)),
            tls=client_tls(),
        )
    time.sleep(1)
    assert len(list((relay.handover / "rsyslog").glob("*.log"))) > 6
    relay.up()
    wait_until(lambda: loki.count() >= 100_000, 60, what=lambda: relay.output[-2000:])
    tally = loki.tally(100_000)
    assert (tally.lost, tally.duplicates) == (0, 0)
    assert relay.rss() < 120 * MIB


def test_a_single_message_is_handed_over_within_a_tenth_of_a_second(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]
) -> None:
    """From the datagram to the relay's count of it; the batch's own age comes on top."""
    relay = start_relay(loki.push_url)
    rsyslog = ApplianceRsyslog(tmp_path / "r", listeners("udp"), relay.handover).ready()
    processes.append(rsyslog)
    assert rsyslog.listen.udp

    def taken() -> int:
        return int(json.loads(relay.get("/status")[1])["inputs"]["udp"]["messages"])

    took = []
    for number in range(15):
        started = time.monotonic()
        send_udp(rsyslog.listen.udp.port, [rfc5424(f"n={number}")])
        wait_until(lambda number=number: taken() > number, 5, every=0.005)  # type: ignore[misc]
        took.append(time.monotonic() - started)
        time.sleep(0.05)
    assert sorted(took)[len(took) // 2] < 0.1, took


def test_the_backlog_and_its_age_are_shown_while_the_spool_takes_nothing(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]
) -> None:
    full_soon = {"batch": {"size": "256KiB"}, "spool": {"max_size": "1MiB", "reserve": "0B"}}
    relay = start_relay(loki.push_url, {"relay": full_soon})
    rsyslog = ApplianceRsyslog(tmp_path / "r", by_tls(), relay.handover).ready()
    processes.append(rsyslog)
    assert rsyslog.listen.tls
    loki.fault("refuse")
    text = [rfc5424(f"n={n} {random.randbytes(150).hex()}") for n in range(20_000)]
    send_tcp(rsyslog.listen.tls.port, octet_counted(text), tls=client_tls())
    wait_until(lambda: handover(relay)["backlog_bytes"] > 2 * MIB and handover(relay)["oldest_age"] > 1, 30)
    assert relay.rss() < 120 * MIB
    metrics = relay.get("/metrics")[1]
    assert 'forwarder_handover_backlog_bytes{writer="rsyslog"}' in metrics
    assert "forwarder_handover_oldest_age_seconds" in metrics
    loki.clear()
    wait_until(lambda: loki.count() >= 20_000, 60)
    tally = loki.tally(20_000)
    assert (tally.lost, tally.duplicates) == (0, 0)
    wait_until(lambda: handover(relay)["backlog_bytes"] == 0, 10)


def test_a_block_that_the_disk_does_not_give_back_costs_its_own_records_only(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path
) -> None:
    """Of 60 records of 1,000 bytes the fifth block of 4 KiB is lost, and with it those that it has a part of."""
    root = tmp_path / "handover"
    writer = HandoverWriter(root / "rsyslog", max_backlog=64 * MIB)
    line = b"1795770601.123456 10.0.0.9 udp <13>1 - host app - - - n=%d "
    assert writer.append(b"".join((line % n).ljust(999, b"x") + b"\n" for n in range(60)))
    [file] = (root / "rsyslog").glob("*.log")
    relay = start_relay(
        loki.push_url,
        {"relay": {"listen": {"handover": str(root)}}},
        env={"PYTHONPATH": str(ROOT / "tests/harness/bad_block"), "BAD_FILE": file.name, "BAD_BLOCK": "4"},
    )
    wait_until(lambda: "cannot be read" in relay.get("/status")[1], 10)
    lost = set(range(4 * 4096 // 1000, (5 * 4096 - 1) // 1000 + 1))
    wait_until(lambda: loki.count() >= 60 - len(lost), 30, what=lambda: (loki.count(), relay.output[-2000:]))
    time.sleep(1.5)
    tally = loki.tally(60)
    assert (tally.lost, tally.duplicates) == (len(lost), 0)
    writer_status = handover(relay)["writers"]["rsyslog"]
    assert 4096 <= writer_status["unreadable_bytes"] < 3 * 4096
    assert "could not be read from disk" in relay.get("/status")[1]
