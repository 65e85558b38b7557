"""The appliance's own rsyslog: rendered from a configuration, run on ports of loopback."""

import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from appliance.config import model
from appliance.config.units import Size
from appliance.host.rsyslog import Paths, render
from tests.harness.certificates import of_loopback
from tests.harness.net import free_port
from tests.harness.processes import ROOT, Rsyslogd

ROTATE = ROOT / "image/elements/forwarder/files/usr/lib/appliance/rotate-handover"
LOOPBACK = "127.0.0.1"


def listeners(*names: str, tls: model.ServerTls | None = None, **queue_settings: Any) -> model.Listeners:
    """The listeners of rsyslog named, each on a free port of loopback; `journal` off unless named."""
    server = tls or model.ServerTls()
    made: dict[str, Any] = {
        "udp": lambda: model.UdpListener(
            port=free_port(socket.SOCK_DGRAM), address=LOOPBACK, receive_buffer=Size(4 * 2**20)
        ),
        "tls": lambda: model.TlsListener(port=free_port(), address=LOOPBACK, tls=server),
        "relp": lambda: model.RelpListener(port=free_port(), address=LOOPBACK),
        "relp_tls": lambda: model.RelpTlsListener(port=free_port(), address=LOOPBACK, tls=server),
        "journal": lambda: True,
    }
    return model.Listeners(
        **{"journal": False, **{name: made[name]() for name in names}}, queue=model.Queue(**queue_settings)
    )


def by_tls(*names: str, **queue: Any) -> model.Listeners:
    """TLS, which goes through rsyslog's queue and can be held back, and those named; clients use `client_tls()`."""
    return listeners("tls", *names, tls=of_loopback().wanting("none"), **queue)


def configuration(listen: model.Listeners, **relay: Any) -> model.Config:
    """A whole configuration with these listeners."""
    return model.Config(
        loki=model.Loki(url="http://127.0.0.1:9/loki/api/v1/push"), relay=model.Relay(**relay), listeners=listen
    )


class ApplianceRsyslog(Rsyslogd):
    """rsyslogd with the rendered configuration, started and stopped as its unit does it.

    `handover` is the directory below which it hands over; a relay reads it with `relay.listen.handover`.
    """

    def __init__(
        self, directory: Path, listen: model.Listeners, handover: Path, *, zone: str = "UTC", **relay: Any
    ) -> None:
        self.listen = listen
        self.handover = handover
        self.gate = directory / "gates" / "rsyslog"
        self.statistics = directory / "stats.json"
        work = directory / "state"
        work.mkdir(parents=True, exist_ok=True)
        text = render(
            configuration(listen, **relay),
            paths=Paths(
                work=str(work),
                statistics=str(self.statistics),
                handover=str(handover),
                gates=str(self.gate.parent),
                rotate=str(ROTATE),
            ),
            stats_interval=1,
        )
        super().__init__(directory, text)
        self.env = {"LC_ALL": "C", "TZ": zone}

    def start(self) -> None:
        subprocess.run([str(ROTATE), "start", str(self.config_file)], check=True)
        super().start()

    def terminate(self, timeout: float = 40) -> float:
        """Stop it as its unit does; the seconds it took."""
        started = time.monotonic()
        subprocess.run([str(ROTATE), "stop", str(self.config_file)], check=True)
        super().terminate(timeout)
        return time.monotonic() - started

    def ready(self) -> "ApplianceRsyslog":
        """Start and wait until the listeners are there."""
        stream = (self.listen.tls, self.listen.relp, self.listen.relp_tls)
        self.up(*[listener.port for listener in stream if listener])
        if self.listen.udp:
            wait_for_udp(self.listen.udp.port)
        return self


def wait_for_udp(port: int) -> None:
    """Wait until someone is bound to this UDP port."""
    from tests.harness.net import wait_until

    wanted = f":{port:04X} "
    wait_until(lambda: wanted in Path("/proc/net/udp").read_text(), what=f"UDP port {port}")
