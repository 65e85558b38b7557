"""What waits between rsyslog and the relay outlives restarts and outages, and its bounds hold."""

import collections
import itertools
import json
import re
import signal
import socket
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from appliance.config import model
from appliance.config.units import Size
from tests.conftest import StartRelay
from tests.harness.certificates import client_tls
from tests.harness.handover_sink import HandoverSink
from tests.harness.load import TcpLoad
from tests.harness.net import wait_until
from tests.harness.processes import Process, Relay
from tests.harness.rsyslog import ApplianceRsyslog, by_tls, listeners
from tests.harness.senders import numbered, octet_counted, rfc5424, send_udp
from tests.integration.test_faults_disk import is_full, random_text
from tests.integration.test_faults_loki import arrives
from tests.loki_double import LokiUnderTest

_NUMBER = re.compile(rb" n=(\d+)")


def numbers(sink: HandoverSink) -> collections.Counter[int]:
    """How often each numbered message came."""
    return collections.Counter(int(match[1]) for raw in sink.records if (match := _NUMBER.search(raw)))


def send(port: int, messages: Iterable[bytes]) -> None:
    """Send over one connection and wait until rsyslog has read it to its end."""
    with socket.create_connection(("127.0.0.1", port)) as plain:
        with client_tls().wrap_socket(plain, server_hostname="localhost") as sender:
            sender.sendall(octet_counted(messages))
            sender.settimeout(30)
            rest = sender.unwrap()
            rest.shutdown(socket.SHUT_WR)
            assert rest.recv(1) == b""


def send_numbered(port: int, first: int, count: int) -> None:
    send(port, numbered(range(first, first + count), size=200))


def test_rsyslog_restarted_again_and_again_under_load_loses_nothing_before_the_real_relay(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]
) -> None:
    relay = start_relay(loki.push_url)
    rsyslog = ApplianceRsyslog(tmp_path / "r", by_tls(), relay.handover).ready()
    processes.append(rsyslog)
    assert rsyslog.listen.tls
    for first in range(0, 50_000, 10_000):
        send_numbered(rsyslog.listen.tls.port, first, 10_000)
        rsyslog.terminate(30)
        rsyslog.ready()
    wait_until(lambda: loki.count() >= 50_000, 40, what=lambda: (loki.count(), rsyslog.output[-2000:]))
    tally = loki.tally(50_000)
    assert (tally.lost, tally.duplicates) == (0, 0)


def test_what_is_in_memory_when_rsyslog_is_stopped_is_handed_over_before_it_ends(tmp_path: Path) -> None:
    """The gate is shut, as the relay is away: a stop opens it for the little that there is."""
    listen = by_tls(max_disk=Size(8 * 2**20))
    connections = model.Connections(max_message=Size(8192))
    rsyslog = ApplianceRsyslog(tmp_path / "r", listen, tmp_path / "handover", connections=connections).ready()
    sink = HandoverSink(tmp_path / "handover")
    try:
        assert rsyslog.listen.tls
        for first in (0, 20_000, 40_000):
            send_numbered(rsyslog.listen.tls.port, first, 20_000)
            took = rsyslog.terminate()
            assert took < 20
            assert len(numbers(sink)) == first + 20_000
            rsyslog.ready()
        assert max(numbers(sink).values()) == 1
        assert rsyslog.gate.exists(), "nothing was waiting: the test says nothing"
    finally:
        rsyslog.close()


@pytest.mark.slow
@pytest.mark.parametrize("before", ["never there", "killed"])
def test_rsyslog_stopped_while_the_relay_is_away_loses_nothing(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process], before: str
) -> None:
    relay = start_relay(loki.push_url, up=before == "killed")
    rsyslog = ApplianceRsyslog(tmp_path / "r", by_tls(), relay.handover).ready()
    processes.append(rsyslog)
    assert rsyslog.listen.tls
    sender = TcpLoad(rsyslog.listen.tls.port, tls=client_tls(), total=60_000)
    if before == "killed":
        wait_until(lambda: loki.count() > 0, 20)
        relay.kill()
    assert sender.finish(stop=False) == 60_000
    rsyslog.terminate()
    relay.up()
    rsyslog.ready()
    tally = arrives(loki, 60_000, 60)
    assert tally.lost == 0
    # Pushes that were under way.
    assert tally.duplicates <= (4 * 12_000 if before == "killed" else 0)


def taken(relay: Relay) -> int:
    """Messages that the relay has from rsyslog's TLS input, on disk or not."""
    found: int = json.loads(relay.get("/status")[1])["inputs"]["tls"]["messages"]
    return found


def sent_ahead(rsyslog: ApplianceRsyslog, relay: Relay, count: int) -> None:
    """Messages 0 to `count`, of a kind that nothing else is of, which the relay has and has not on disk."""
    assert rsyslog.listen.tls
    lines = (b"<13>Nov 23 13:00:00 host app: n=%d" % number for number in range(count))
    send(rsyslog.listen.tls.port, lines)
    wait_until(lambda: taken(relay) == count, 10)
    assert not relay.spooled()


def test_what_a_killed_relay_had_not_on_disk_is_read_again_though_no_other_line_follows(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]
) -> None:
    relay = start_relay(loki.push_url, {"relay": {"batch": {"age": 60}}})
    rsyslog = ApplianceRsyslog(tmp_path / "r", by_tls(), relay.handover).ready()
    processes.append(rsyslog)
    sent_ahead(rsyslog, relay, 200)
    relay.kill()
    relay.up()
    wait_until(lambda: taken(relay) == 200, 10)
    relay.terminate()
    relay.up()
    tally = arrives(loki, 200, 20)
    assert (tally.lost, tally.duplicates) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("relay_is", ["away", "back"])
@pytest.mark.parametrize("backlog", [0, 20_000])
def test_rsyslog_stopped_after_the_relay_was_killed_loses_nothing_of_a_kind_that_is_idle(
    loki: LokiUnderTest,
    start_relay: StartRelay,
    tmp_path: Path,
    processes: list[Process],
    relay_is: str,
    backlog: int,
) -> None:
    relay = start_relay(loki.push_url, {"relay": {"batch": {"age": 60}}})
    rsyslog = ApplianceRsyslog(tmp_path / "r", by_tls(), relay.handover).ready()
    processes.append(rsyslog)
    assert rsyslog.listen.tls
    sent_ahead(rsyslog, relay, 200)
    relay.kill()
    send(rsyslog.listen.tls.port, numbered(range(200, 200 + backlog), size=200))
    if relay_is == "back":
        relay.up()
    rsyslog.terminate()
    if relay_is == "back":
        relay.terminate()
    relay.up()
    rsyslog.ready()
    rsyslog.terminate()
    relay.terminate()
    relay.up()
    tally = arrives(loki, 200 + backlog, 30)
    assert (tally.lost, tally.duplicates) == (0, 0)


@pytest.mark.slow
def test_rsyslog_stopped_before_a_full_relay_loses_nothing(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]
) -> None:
    relay = start_relay(loki.push_url, {"relay": {"spool": {"max_size": "8MiB"}, "batch": {"size": "1MiB"}}})
    loki.fault("refuse")
    rsyslog = ApplianceRsyslog(tmp_path / "r", by_tls(), relay.handover).ready()
    processes.append(rsyslog)
    assert rsyslog.listen.tls
    send(rsyslog.listen.tls.port, (random_text(number) for number in range(80_000)))
    wait_until(lambda: is_full(relay.get("/status")[1]), 30)

    def held() -> bool:
        before = taken(relay)
        time.sleep(1)
        return taken(relay) == before

    wait_until(held, 30)
    assert taken(relay) < 80_000
    assert rsyslog.terminate() < 10
    loki.clear()
    rsyslog.ready()
    tally = arrives(loki, 80_000, 60)
    assert (tally.lost, tally.duplicates) == (0, 0)


def test_while_the_relay_is_away_messages_go_to_disk_and_udp_is_taken_on(tmp_path: Path) -> None:
    listen = listeners("udp", memory_messages=5000)
    rsyslog = ApplianceRsyslog(tmp_path / "r", listen, tmp_path / "handover").ready()
    sink = HandoverSink(tmp_path / "handover")
    try:
        assert rsyslog.listen.udp
        for at in range(0, 20_000, 100):
            send_udp(rsyslog.listen.udp.port, numbered(range(at, at + 100), size=200))
            time.sleep(0.005)
        wait_until(lambda: len(numbers(sink)) == 20_000, 40, what=lambda: len(numbers(sink)))
        assert max(numbers(sink).values()) == 1
    finally:
        rsyslog.close()


def long_text(number: int) -> bytes:
    return rfc5424(f"n={number} ".ljust(1000, "x"))


def test_a_full_disk_part_holds_tcp_senders_back_and_loses_nothing_of_theirs(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]
) -> None:
    relay = start_relay(loki.push_url, up=False)
    listen = by_tls(memory_messages=2000, max_disk=Size(8 * 2**20))
    connections = model.Connections(max_message=Size(8192))
    rsyslog = ApplianceRsyslog(tmp_path / "r", listen, relay.handover, connections=connections).ready()
    processes.append(rsyslog)
    assert rsyslog.listen.tls
    stream = TcpLoad(rsyslog.listen.tls.port, tls=client_tls(), total=30_000, make=long_text)

    def held_back() -> bool:
        before = stream.produced
        time.sleep(2.5)
        return stream.produced == before

    wait_until(held_back, 60, what=lambda: stream.produced)
    assert stream.produced < 30_000
    files = (relay.handover / "rsyslog").glob("*.log")
    assert sum(f.stat().st_size for f in files) < 6 * 2**20
    relay.up()
    assert stream.finish(60, stop=False) == 30_000
    tally = arrives(loki, 30_000, 60)
    assert (tally.lost, tally.duplicates) == (0, 0)


def test_killed_rsyslog_comes_back_and_goes_on(tmp_path: Path) -> None:
    rsyslog = ApplianceRsyslog(tmp_path / "r", by_tls(), tmp_path / "handover").ready()
    sink = HandoverSink(tmp_path / "handover")
    try:
        assert rsyslog.listen.tls
        for first in (0, 1000):
            send_numbered(rsyslog.listen.tls.port, first, 1000)
            wait_until(lambda first=first: len(numbers(sink)) == first + 1000)  # type: ignore[misc]
            rsyslog.signal(signal.SIGKILL)
            rsyslog.wait()
            (rsyslog.directory / "rsyslogd.pid").unlink(missing_ok=True)
            rsyslog.ready()
    finally:
        rsyslog.close()


def test_the_counters_of_rsyslog_are_written_within_a_bound_and_not_into_the_log(tmp_path: Path) -> None:
    rsyslog = ApplianceRsyslog(tmp_path / "r", listeners("udp"), tmp_path / "handover")
    sink = HandoverSink(tmp_path / "handover")
    text = rsyslog.config_file.read_text()
    small = text.replace('rotation.sizeLimit="1000000"', 'rotation.sizeLimit="4000"')
    assert small != text
    rsyslog.config_file.write_text(small)
    rsyslog.ready()
    try:
        assert rsyslog.listen.udp
        send_udp(rsyslog.listen.udp.port, [b"<30>1 2026-11-23T10:00:00Z h app - - - text"])
        sizes = []
        for _ in range(16):
            time.sleep(0.25)
            sizes.append(rsyslog.statistics.stat().st_size if rsyslog.statistics.exists() else 0)
        assert 0 < max(sizes) < 12_000
        assert any(later < earlier for earlier, later in itertools.pairwise(sizes)), sizes
        lines = wait_until(
            lambda: (
                rsyslog.statistics.exists()
                and rsyslog.statistics.read_text().count("}\n") >= 6
                and rsyslog.statistics.read_text().splitlines()
            )
        )
        assert isinstance(lines, list)
        blocks = [json.loads(line.partition(": ")[2]) for line in lines if line.endswith("}")]
        assert {"core.queue", "imudp"} <= {block["origin"] for block in blocks}
        assert len(sink.records) == 1
    finally:
        rsyslog.close()


def test_a_burst_over_udp_arrives_whole(tmp_path: Path) -> None:
    listen = listeners("udp")
    assert listen.udp
    listen = msgspec.structs.replace(listen, udp=msgspec.structs.replace(listen.udp, receive_buffer=Size(4 * 2**20)))
    rsyslog = ApplianceRsyslog(tmp_path / "r", listen, tmp_path / "handover").ready()
    sink = HandoverSink(tmp_path / "handover")
    try:
        assert listen.udp
        for at in range(0, 20_000, 200):
            send_udp(listen.udp.port, numbered(range(at, at + 200), size=200))
            time.sleep(0.002)
        wait_until(lambda: len(numbers(sink)) == 20_000, 30, what=lambda: len(numbers(sink)))
        assert max(numbers(sink).values()) == 1
    finally:
        rsyslog.close()
