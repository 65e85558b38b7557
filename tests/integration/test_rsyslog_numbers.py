"""rsyslog's own numbers and the kernel's, as the relay reads them from a real rsyslogd and its sockets."""

import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil

from appliance.relay.report.impstats import Rsyslog, read_impstats
from appliance.relay.report.udp_drops import read_udp_losses
from tests.conftest import StartRelay
from tests.harness.net import free_port, wait_until
from tests.harness.processes import Process, Rsyslogd
from tests.harness.rsyslog import ApplianceRsyslog, listeners
from tests.harness.senders import send_udp
from tests.harness.small_disk import fill, small_disk
from tests.loki_double import LokiUnderTest


def test_a_queue_that_waits_at_the_gate_is_seen_and_seen_to_drain(
    tmp_path: Path, processes: list[Process], loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    relay = start_relay(loki.push_url, up=False)
    rsyslog = ApplianceRsyslog(tmp_path / "rsyslog", listeners("udp", "relp"), relay.handover).ready()
    processes.append(rsyslog)
    assert rsyslog.listen.udp
    rsyslog.gate.write_text("SUSPENDED\n")
    send_udp(rsyslog.listen.udp.port, (b"<13>Nov 23 13:00:00 host app: n=%d " % n for n in range(300)))

    def told() -> Rsyslog | None:
        return read_impstats(rsyslog.statistics)

    stalled = wait_until(
        # A batch is in the worker's hands, and counted as waiting.
        lambda: (state := told()) and state.stalled and state.backlog >= 300 and state,
        15,
        what=lambda: told(),
    )
    assert isinstance(stalled, Rsyslog)
    assert stalled.submitted["udp"] == 300
    assert (stalled.discarded, stalled.failed, stalled.stale) == (0, 0, False)
    relay.up()  # it sees to the gate, too
    drained = wait_until(
        lambda: (state := told()) and state.backlog < 10 and not state.stalled and state, 20, what=lambda: told()
    )
    assert isinstance(drained, Rsyslog)
    wait_until(lambda: loki.count() >= 300, 10, what=lambda: relay.output)
    assert loki.tally(300).lost == 0
    assert not rsyslog.gate.exists()


def test_what_rsyslog_could_not_write_is_counted_as_lost(tmp_path: Path, processes: list[Process]) -> None:
    """Without blocks reserved and without its gate, on a disk that is full: what status calls CRITICAL."""
    with small_disk(tmp_path, size=2 * 2**20) as disk:
        rsyslog = ApplianceRsyslog(tmp_path / "rsyslog", listeners("udp"), disk / "handover")
        config = rsyslog.config_file.read_text()
        config = re.sub(r"rotate-handover \d+ ", "rotate-handover 0 ", config)
        rsyslog.config_file.write_text(re.sub(r'externalstate.file="[^"]*"', 'externalstate.file="/none"', config))
        rsyslog.ready()
        processes.append(rsyslog)
        fill(disk)
        assert rsyslog.listen.udp
        send_udp(rsyslog.listen.udp.port, (b"<13>Nov 23 13:00:00 host app: n=%d " % n for n in range(300)))
        wait_until(lambda: (state := read_impstats(rsyslog.statistics)) and state.failed > 0, 15)
        rsyslog.kill()


def test_datagrams_lost_while_rsyslog_is_stopped_are_counted_for_its_port(
    tmp_path: Path, processes: list[Process]
) -> None:
    udp = free_port(socket.SOCK_DGRAM)
    rsyslogd = Rsyslogd(
        tmp_path / "rsyslog",
        f'module(load="imudp") input(type="imudp" address="127.0.0.1" port="{udp}" rcvbufSize="16k")\n*.* /dev/null\n',
    )
    processes.append(rsyslogd)
    rsyslogd.start()
    wait_until(lambda: f":{udp} " in subprocess.run(["ss", "-lun"], capture_output=True, text=True).stdout, 10)
    assert read_udp_losses([udp]).drops == {udp: 0}
    rsyslogd.signal(signal.SIGSTOP)
    wait_until(lambda: psutil.Process(rsyslogd.pid).status() == psutil.STATUS_STOPPED)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(500):
                sender.sendto(b"<13>Nov 23 13:00:00 host app: %d" % number + b"x" * 1000, ("127.0.0.1", udp))
        time.sleep(0.1)
        losses = read_udp_losses([udp])
    finally:
        rsyslogd.signal(signal.SIGCONT)
    assert 400 < losses.drops[udp] < 500
    assert losses.queued[udp] > 0
