"""rsyslogd as the appliance configures it, for the benchmark."""

import socket
import subprocess
import time
from pathlib import Path

from appliance.config import model
from appliance.config.units import Endpoint
from appliance.host.rsyslog.render import Paths, render
from bench.run import free_port, wait_for


def start_rsyslog(directory: Path, relp: int, *, udp: bool) -> tuple[int, subprocess.Popen[bytes]]:
    """Start rsyslogd in front of a relay's RELP port; its own port and process."""
    tcp = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        udp_port = int(probe.getsockname()[1])
    listeners = model.Listeners(
        tcp=model.TcpListener(port=tcp, address="127.0.0.1"),
        udp=model.UdpListener(port=udp_port, address="127.0.0.1") if udp else None,
        journal=False,
        queue=model.Queue(path=str(directory / "queue")),
    )
    config = model.Config(
        loki=model.Loki(url="http://127.0.0.1:9/loki/api/v1/push"),
        relay=model.Relay(listen=model.Listen(relp=Endpoint(f"127.0.0.1:{relp}"))),
        listeners=listeners,
    )
    for name in ("queue", "work"):
        (directory / name).mkdir(exist_ok=True)
    paths = Paths(
        work=str(directory / "work"),
        statistics=str(directory / "stats.json"),
        heartbeat=str(directory / "heartbeat"),
    )
    file = directory / "rsyslog.conf"
    file.write_text(render(config, paths=paths))
    process = _run(directory, file, tcp)
    return (udp_port if udp else tcp), process


def start_omfwd(directory: Path, forwarder: int) -> tuple[int, subprocess.Popen[bytes]]:
    """Start rsyslogd as the box that this one replaces had it, in front of a forwarder; its port and process."""
    tcp = free_port()
    file = directory / "rsyslog.conf"
    file.write_text(f"""global(workDirectory="{directory}")
ruleset(name="remote") {{
    action(type="omfwd" Target="localhost" Port="{forwarder}" Protocol="tcp"
        Template="RSYSLOG_SyslogProtocol23Format" TCP_Framing="octet-counted")
}}
module(load="imtcp")
input(type="imtcp" port="{tcp}" ruleset="remote")
""")
    return tcp, _run(directory, file, tcp)


def _run(directory: Path, file: Path, port: int) -> subprocess.Popen[bytes]:
    log = (directory / "rsyslog.log").open("wb")
    process = subprocess.Popen(
        ["rsyslogd", "-n", "-f", str(file), "-i", str(directory / "rsyslog.pid")], stdout=log, stderr=log
    )
    wait_for(port)
    time.sleep(0.5)
    return process
