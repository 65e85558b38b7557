"""rsyslog's own numbers and the kernel's, as the relay reads them from a real rsyslogd and its sockets."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil

from appliance.config import model
from appliance.config.units import Endpoint
from appliance.host.rsyslog.render import Paths, render
from appliance.relay.report.impstats import Rsyslog, read_impstats
from appliance.relay.report.udp_drops import read_udp_losses
from tests.conftest import StartRelay
from tests.harness.net import free_port, wait_until
from tests.harness.processes import Process, Rsyslogd
from tests.loki_double import LokiUnderTest


def test_a_queue_that_waits_for_the_relay_is_seen_and_seen_to_drain(
    tmp_path: Path, processes: list[Process], loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    relay = start_relay(loki.push_url, up=False)
    tcp, udp, statistics = free_port(), free_port(socket.SOCK_DGRAM), tmp_path / "stats.json"
    queue = tmp_path / "queue"
    queue.mkdir()
    config = model.Config(
        loki=model.Loki(url=loki.push_url),
        listeners=model.Listeners(
            tcp=model.TcpListener(port=tcp, address="127.0.0.1"),
            udp=model.UdpListener(port=udp, address="127.0.0.1"),
            journal=False,
            queue=model.Queue(path=str(queue)),
        ),
    )
    text = render(
        config,
        relp_target=Endpoint(f"127.0.0.1:{relay.relp}"),
        paths=Paths(work=str(queue), statistics=str(statistics), heartbeat=str(tmp_path / "heartbeat")),
        stats_interval=1,
    )
    rsyslogd = Rsyslogd(tmp_path / "rsyslog", text)
    processes.append(rsyslogd)
    rsyslogd.up(tcp)
    with socket.create_connection(("127.0.0.1", tcp)) as sender:
        sender.sendall(b"".join(b"<13>Nov 23 13:00:00 host app: n=%d \n" % number for number in range(300)))

    def told() -> Rsyslog | None:
        return read_impstats(statistics)

    stalled = wait_until(
        lambda: (state := told()) and state.stalled and state.backlog >= 300 and state, 15, what=lambda: told()
    )
    assert isinstance(stalled, Rsyslog)
    assert stalled.submitted["tcp"] == 300
    assert (stalled.discarded, stalled.stale) == (0, False)
    relay.up()
    drained = wait_until(
        lambda: (state := told()) and state.backlog < 10 and not state.stalled and state, 20, what=lambda: told()
    )
    assert isinstance(drained, Rsyslog)
    wait_until(lambda: loki.count() >= 300, 10, what=lambda: relay.output)
    assert loki.tally(300).lost == 0


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
