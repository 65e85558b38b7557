"""The appliance's own rsyslog: rendered from a configuration, run on ports of loopback."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from appliance.config import model
from appliance.config.units import Endpoint, Size
from appliance.host.rsyslog import Paths, render
from tests.harness.net import free_port
from tests.harness.processes import ROOT, Relay, Rsyslogd

STOP = ROOT / "image/elements/forwarder/files/usr/lib/appliance/stop-rsyslog"
LOOPBACK = "127.0.0.1"


def listeners(*names: str, queue: Path, tls: model.ServerTls | None = None, **queue_settings: Any) -> model.Listeners:
    """The listeners named, each on a free port of loopback; `journal` off unless named."""
    server = tls or model.ServerTls()
    made: dict[str, Any] = {
        "udp": lambda: model.UdpListener(
            port=free_port(socket.SOCK_DGRAM), address=LOOPBACK, receive_buffer=Size(4 * 2**20)
        ),
        "tcp": lambda: model.TcpListener(port=free_port(), address=LOOPBACK),
        "tls": lambda: model.TlsListener(port=free_port(), address=LOOPBACK, tls=server),
        "relp": lambda: model.RelpListener(port=free_port(), address=LOOPBACK),
        "relp_tls": lambda: model.RelpTlsListener(port=free_port(), address=LOOPBACK, tls=server),
        "journal": lambda: True,
    }
    queue.mkdir(parents=True, exist_ok=True)
    return model.Listeners(
        **{"journal": False, **{name: made[name]() for name in names}},
        queue=model.Queue(path=str(queue), **queue_settings),
    )


def configuration(listen: model.Listeners, relp_port: int, **relay: Any) -> model.Config:
    """A whole configuration whose relay listens for rsyslog on `relp_port`."""
    return model.Config(
        loki=model.Loki(url="http://127.0.0.1:9/loki/api/v1/push"),
        relay=model.Relay(listen=model.Listen(relp=Endpoint(f"{LOOPBACK}:{relp_port}")), **relay),
        listeners=listen,
    )


class ApplianceRsyslog(Rsyslogd):
    """rsyslogd with the rendered configuration and the environment that its unit gives it."""

    def __init__(
        self,
        directory: Path,
        listen: model.Listeners,
        relp_port: int,
        *,
        zone: str = "UTC",
        tell: Callable[[int], Sequence[str]] = lambda pid: ("true",),
        **relay: Any,
    ) -> None:
        """`tell` makes the command by which the relay learns that rsyslogd, a process id, is about to stop."""
        self.listen = listen
        self.tell = tell
        self.gate = directory / "gate"
        self.heartbeat = directory / "heartbeat"
        self.statistics = directory / "stats.json"
        work = directory / "state"
        work.mkdir(parents=True, exist_ok=True)
        text = render(
            configuration(listen, relp_port, **relay),
            paths=Paths(
                work=str(work),
                statistics=str(self.statistics),
                gate=str(self.gate),
                heartbeat=str(self.heartbeat),
            ),
            stats_interval=1,
        )
        super().__init__(directory, text)
        self.env = {"LC_ALL": "C", "TZ": zone}

    def terminate(self, timeout: float = 40) -> float:
        """Stop it as its unit does; the seconds it took."""
        started = time.monotonic()
        stop = [str(STOP), str(self.pid), str(self.gate), str(self.heartbeat), *self.tell(self.pid)]
        with subprocess.Popen(stop) as stopping:
            self.wait(timeout)
            assert stopping.wait(timeout) == 0
        return time.monotonic() - started

    def ready(self) -> "ApplianceRsyslog":
        """Start and wait until the listeners are there."""
        stream = (self.listen.tcp, self.listen.tls, self.listen.relp, self.listen.relp_tls)
        self.up(*[listener.port for listener in stream if listener])
        if self.listen.udp:
            wait_for_udp(self.listen.udp.port)
        return self


def stand_in_for(relay: Relay) -> Callable[[int], list[str]]:
    """The command that `tell-relay` gives when the relay is away; it refuses to take the place of one that is there."""
    return lambda pid: [
        *(sys.executable, "-m", "appliance", "relay", "stand-in"),
        *("--config", str(relay.config_file), "--until-gone", str(pid)),
    ]


def wait_for_udp(port: int) -> None:
    """Wait until someone is bound to this UDP port."""
    from tests.harness.net import wait_until

    wanted = f":{port:04X} "
    wait_until(lambda: wanted in Path("/proc/net/udp").read_text(), what=f"UDP port {port}")
