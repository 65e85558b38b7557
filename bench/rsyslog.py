"""rsyslogd as the appliance configures it, for the benchmark."""

import socket
import subprocess
import time
from pathlib import Path

from appliance.config import model
from appliance.host.rsyslog.render import Paths, render
from bench.run import free_port, wait_for

ROTATE = Path(__file__).parents[1] / "image/elements/forwarder/files/usr/lib/appliance/rotate-handover"


def start_rsyslog(directory: Path, handover: Path, *, udp: bool) -> tuple[int, subprocess.Popen[bytes]]:
    """Start rsyslogd, which hands over to a relay by files below `handover`; its port (RELP, or UDP) and process."""
    relp = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        udp_port = int(probe.getsockname()[1])
    listeners = model.Listeners(
        tcp=None,
        relp=model.RelpListener(port=relp, address="127.0.0.1"),
        udp=model.UdpListener(port=udp_port, address="127.0.0.1") if udp else None,
        journal=False,
    )
    config = model.Config(
        loki=model.Loki(url="http://127.0.0.1:9/loki/api/v1/push"),
        listeners=listeners,
    )
    (directory / "work").mkdir(exist_ok=True)
    paths = Paths(
        work=str(directory / "work"),
        statistics=str(directory / "stats.json"),
        handover=str(handover),
        gates=str(directory / "gates"),
        rotate=str(ROTATE),
    )
    file = directory / "rsyslog.conf"
    file.write_text(render(config, paths=paths))
    subprocess.run([str(ROTATE), "start", str(file)], check=True)
    process = _run(directory, file, relp)
    return (udp_port if udp else relp), process


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
