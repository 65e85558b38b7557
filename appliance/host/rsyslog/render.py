"""rsyslog.conf from the appliance's configuration, and the proof by rsyslogd that it can be loaded.

Responsible for what rsyslog does with a message until the relay has it; the rules themselves are in
`rsyslog.conf.j2`. Writing files, restarting services and opening the firewall are the apply engine's.

What rsyslogd needs around it, beyond the file: the environment LC_ALL=C (in a UTF-8 locale bytes that
are not UTF-8 match nothing), the directories of `Paths` and of the queue, net.core.rmem_max at least
`listeners.udp.receive_buffer`, open files at least twice the connections, journald not forwarding to
syslog, and to be stopped by `stop-rsyslog`, which shuts the gate in time.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.config import model
from appliance.config.units import Endpoint
from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "rsyslog.conf.j2"
_SLACK = 8192  # what rsyslog takes beyond the relay's longest message, so that the relay sees it is too long
BATCH = 128
"""Messages that rsyslog's worker has in hand. Larger ones were not cheaper (measured)."""
_TCP_THREADS = 2
_HEARTBEAT = 1  # seconds
_CHECK_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Paths:
    """Where rsyslog keeps what is its own."""

    work: str = "/var/lib/appliance/rsyslog"
    """Directory of imjournal's place in the journal, and of queues not said otherwise."""
    statistics: str = "/run/appliance/rsyslog-stats.json"
    """impstats' counters, lines `DATE: {json}`, a block each interval; the relay reads its end."""
    gate: str = "/run/appliance/rsyslog-gate"
    """While it says SUSPENDED no worker begins another batch; `stop-rsyslog` writes it."""
    heartbeat: str = "/run/appliance/rsyslog-heartbeat"
    """`.relay` and `.journal` behind it: a line `UNIX-TIME PORT` for each heartbeat that has been through the queue
    of that name and all its sessions with the relay, which listens there; `stop-rsyslog` looks at the last."""


def render(
    config: model.Config,
    *,
    relp_target: Endpoint | None = None,
    paths: Paths | None = None,
    own_units: Iterable[str] = ("rsyslog.service", "appliance-relay.service"),
    stats_interval: int = 10,
    stop_within: float = 10.0,
) -> str:
    """The whole rsyslog.conf.

    `relp_target` is where the relay listens, `relay.listen.relp` unless said; `own_units` are the units
    whose messages are not forwarded from the journal. `stop_within` are the seconds that a worker has for
    what it has in hand when rsyslogd is stopped, before its queue is saved. Raise ApplianceError for what cannot be
    written down.
    """
    target = relp_target or config.relay.listen.relp
    if target is None:
        raise ApplianceError(
            "rsyslog has nowhere to hand its messages to", hint="set relay.listen.relp, such as 127.0.0.1:2514"
        )
    listeners = config.listeners
    for tls in (listeners.tls and listeners.tls.tls, listeners.relp_tls and listeners.relp_tls.tls):
        if tls and tls.client_certificates == "names" and not tls.permitted_names:
            raise ApplianceError(
                "client certificates are limited to permitted names, and no name is permitted",
                hint="add names to permitted_names, or set client_certificates to ca",
            )
    paths = paths or Paths()
    longest = int(config.relay.connections.max_message) + _SLACK
    queue = listeners.queue
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            udp=listeners.udp,
            tcp=listeners.tcp,
            tls=listeners.tls,
            relp=listeners.relp,
            relp_tls=listeners.relp_tls,
            journal=listeners.journal,
            relp_host=_reachable(target.host),
            relp_port=target.port,
            relp_window=config.relay.relp_window,
            max_message=longest,
            max_frame=max(longest, 200_000),
            queue_path=queue.path,
            queue_memory=queue.memory_messages,
            queue_disk=int(queue.max_disk),
            journal_disk=max(16 * 2**20, int(queue.max_disk) // 16),
            work_directory=paths.work,
            gate_file=paths.gate,
            heartbeat_file=paths.heartbeat,
            heartbeat_interval=_HEARTBEAT,
            stats_file=paths.statistics,
            stats_interval=stats_interval,
            stats_size=1_000_000,
            # One argument is all that rsyslog gives a command. It starts a new file then.
            stats_rotate=f"/bin/rm {paths.statistics}",
            own_units=sorted(own_units),
            batch=BATCH,
            tcp_threads=_TCP_THREADS,
            stop_ms=round(stop_within * 1000),
        )
    )


def check(text: str, *, rsyslogd: str = "rsyslogd") -> None:
    """Let rsyslogd judge a configuration. Raise ApplianceError with its reasons."""
    program = shutil.which(rsyslogd) or shutil.which(rsyslogd, path="/usr/sbin:/sbin")
    if program is None:
        raise ApplianceError(
            "rsyslogd is not installed", hint="install the packages rsyslog, rsyslog-relp and rsyslog-gnutls"
        )
    with tempfile.TemporaryDirectory(prefix="rsyslog-check-") as directory:
        file = Path(directory) / "rsyslog.conf"
        file.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run(
                [program, "-N1", "-f", str(file)],
                capture_output=True,
                timeout=_CHECK_TIMEOUT,
                env={**os.environ, "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired as error:
            raise ApplianceError(
                f"rsyslogd did not judge its configuration within {_CHECK_TIMEOUT:g} s",
                hint="see whether this machine is overloaded",
            ) from error
        complaints = _complaints(done.stderr.decode("utf-8", "replace"), str(file))
    if done.returncode or complaints:
        reason = "; ".join(complaints) or f"rsyslogd ended with {done.returncode}"
        raise ApplianceError(
            f"rsyslogd refuses its configuration: {reason}",
            hint="check the sections listeners and relay of the configuration",
        )


def _complaints(output: str, file: str) -> list[str]:
    """What rsyslogd said, without what it says always."""
    found: list[str] = []
    for line in output.splitlines():
        said = line.removeprefix("rsyslogd: ").strip()
        if not said or said.startswith(("version ", "End of config validation run")):
            continue
        said = re.sub(r"\s*\[v8[^\]]*\]$", "", said).replace(file, "rsyslog.conf")
        if said not in found:
            found.append(said)
    return found[:5]


@cache
def _environment() -> "Environment":
    # Imported here: the command line must start without Jinja2.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - not HTML: every value goes through quote()
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.globals.update(s=quote, strings=_strings, address=_address, tls_auth=_tls_auth)
    return environment


def quote(value: str) -> str:
    """A RainerScript string that is exactly `value`. Raise ApplianceError for a value with control characters."""
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise ApplianceError(
            f"{value!r} cannot stand in rsyslog's configuration",
            hint="write it without line breaks and control characters",
        )
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _strings(values: Iterable[str]) -> str:
    return "[" + ", ".join(quote(value) for value in values) + "]"


def _address(
    listener: model.UdpListener | model.TcpListener | model.TlsListener | model.RelpListener | model.RelpTlsListener,
) -> str:
    return f" address={quote(listener.address)}" if listener.address else ""


def _tls_auth(tls: model.ServerTls) -> str:
    return {"none": "anon", "ca": "x509/certvalid", "names": "x509/name"}[tls.client_certificates]


def _reachable(host: str) -> str:
    """The address to connect to for one that is listened on."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
