"""rsyslog.conf from the appliance's configuration, and the proof by rsyslogd that it can be loaded.

Responsible for what rsyslog does with a message until the relay reads it; the rules themselves are in
`rsyslog.conf.j2`. Writing files, restarting services and opening the firewall are the apply engine's.

What rsyslogd needs around it, beyond the file: the environment LC_ALL=C (for what is cut out of the journal's
names), the directory `Paths.work`, net.core.rmem_max at least `listeners.udp.receive_buffer`, open files at
least twice the connections, journald not forwarding to syslog, and `rotate-handover start` before it starts,
`rotate-handover stop` before it is stopped.
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
from appliance.errors import ApplianceError
from appliance.host.layout import HANDOVER

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "rsyslog.conf.j2"
ROTATE = "/usr/lib/appliance/rotate-handover"
_SLACK = 8192  # what rsyslog takes beyond the relay's longest message, so that the relay sees it is too long
_BATCH = 128  # messages that rsyslog's worker has in hand; larger ones were not cheaper (measured)
_CHECK_TIMEOUT = 20.0
_BUFFER = 256 * 1024  # ioBufferSize: what is written at once
_LARGEST_FILE = 64 * 2**20
_SMALLEST_FILE = 2**20
_FILES = 32  # of one writer, if its share of the disk allows
_FEWEST_FILES = 4


@dataclass(frozen=True, slots=True)
class Paths:
    """Where rsyslog keeps what is its own, and what it hands over."""

    work: str = "/var/lib/appliance/rsyslog"
    """Directory of imjournal's place in the journal."""
    statistics: str = "/run/appliance/rsyslog-stats.json"
    """impstats' counters, lines `DATE: {json}`, a block each interval; the relay reads its end."""
    handover: str = HANDOVER
    """Below it each writer has a directory of files for the relay: `rsyslog` and `journal`."""
    gates: str = "/run/appliance/handover"
    """Directory of the gates: while one says SUSPENDED its writer begins no other batch. In memory, so that it can be
    shut when a disk takes nothing."""
    rotate: str = ROTATE
    """The program that goes over to the next file."""


@dataclass(frozen=True, slots=True)
class HandoverFiles:
    """The files of one writer, within `disk` bytes, for records of `longest` bytes at most."""

    writer: str
    paths: Paths
    disk: int
    longest: int

    @property
    def full_at(self) -> int:
        """Return bytes at which rsyslogd goes over to another file."""
        return max(_SMALLEST_FILE, min(_LARGEST_FILE, self.disk // _FILES))

    @property
    def reserved(self) -> int:
        """Bytes reserved for a file: rsyslogd looks at its size after a record, when the buffer may hold more."""
        return self.full_at + _BUFFER + 2 * self.longest

    @property
    def batch(self) -> int:
        """Return messages in hand. All of them fit into the file that is prepared when the gate shuts."""
        return max(1, min(_BATCH, self.full_at // (2 * self.longest)))

    @property
    def directory(self) -> str:
        return f"{self.paths.handover}/{self.writer}"

    @property
    def gate(self) -> str:
        return f"{self.paths.gates}/{self.writer}"

    @property
    def command(self) -> str:
        """One argument is all that rsyslog gives a command."""
        files = max(_FEWEST_FILES, self.disk // self.full_at)
        return f"{self.paths.rotate} {self.reserved} {files} {self.gate} {self.directory}"


def render(
    config: model.Config,
    *,
    paths: Paths | None = None,
    own_units: Iterable[str] = ("rsyslog.service", "appliance-relay.service", "appliance-receiver.service"),
    stats_interval: int = 10,
    stop_within: float = 60.0,
) -> str:
    """Return the whole rsyslog.conf.

    `own_units` are the units whose messages are not forwarded from the journal. `stop_within` are the
    seconds that the worker has for what is in memory when rsyslogd is stopped. Raise ApplianceError for
    what cannot be written down.
    """
    listeners = config.listeners
    for tls in (listeners.tls and listeners.tls.tls, listeners.relp_tls and listeners.relp_tls.tls):
        if tls and tls.client_certificates == "names" and not tls.permitted_names:
            raise ApplianceError(
                "client certificates are limited to permitted names, and no name is permitted",
                hint="add names to permitted_names, or set client_certificates to ca",
            )
    paths = paths or Paths()
    longest = int(config.relay.connections.max_message) + _SLACK
    disk = int(listeners.queue.max_disk)
    network = HandoverFiles("rsyslog", paths, disk // 2, longest)
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            udp=listeners.udp,
            tls=listeners.tls,
            relp=listeners.relp,
            relp_tls=listeners.relp_tls,
            journal=listeners.journal,
            max_message=longest,
            max_frame=max(longest, 200_000),
            network=network,
            own=HandoverFiles("journal", paths, disk // 16, longest),
            queue_memory=listeners.queue.memory_messages,
            work_directory=paths.work,
            stats_file=paths.statistics,
            stats_interval=stats_interval,
            stats_size=1_000_000,
            # It starts a new file then.
            stats_rotate=f"/bin/rm {paths.statistics}",
            own_units=sorted(own_units),
            batch=network.batch,
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
    """Return what rsyslogd said, without what it says always."""
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
