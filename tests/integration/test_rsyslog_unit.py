"""rsyslog's unit under a real systemd: its confinement lets it take messages, hand them over and be watched."""

import os
import stat
from pathlib import Path

import pytest

from tests.harness.net import wait_until
from tests.harness.processes import ROOT
from tests.harness.relp_client import RelpClient
from tests.harness.rsyslog import ROTATE, ApplianceRsyslog, listeners
from tests.harness.senders import rfc5424, send_udp
from tests.harness.systemd_sandbox import SYSTEMD, SystemdSandbox

UNIT = "rsyslog.service"
OURS = ROOT / f"image/elements/forwarder/files/etc/systemd/system/{UNIT}.d"
# Debian's unit, with what the test's machine does not have: its own configuration, the data partition, the group.
TEST = """[Unit]
ConditionPathExists=
DefaultDependencies=no
[Service]
PrivateTmp=no
ProtectHome=no
SupplementaryGroups=
ReadWritePaths=
ReadWritePaths={directory}
ExecStartPre=
ExecStartPre={rotate} start {config}
ExecStop=
ExecStop={rotate} stop {config}
StandardError=append:{directory}/log
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SYSTEMD.exists() or os.geteuid() != 0, reason="needs systemd and root"),
]


def test_it_takes_messages_by_every_listener_and_its_counters_can_be_read(tmp_path: Path) -> None:
    rsyslog = ApplianceRsyslog(tmp_path / "rsyslog", listeners("udp", "relp"), tmp_path / "handover")
    relp, udp = rsyslog.listen.relp, rsyslog.listen.udp
    assert relp and udp
    unit = f"[Service]\nType=notify\nExecStart=/usr/sbin/rsyslogd -n -iNONE -f {rsyslog.config_file}\n"
    units = {UNIT: unit, **{f"{UNIT}.d/{file.name}": file.read_text() for file in OURS.glob("*.conf")}}
    units[f"{UNIT}.d/zz-test.conf"] = TEST.format(directory=tmp_path, rotate=ROTATE, config=rsyslog.config_file)
    machine = SystemdSandbox(tmp_path, units)
    try:
        started = machine.run("systemctl", "start", UNIT)
        log = tmp_path / "log"
        assert started.returncode == 0, started.stderr + (log.read_text() if log.exists() else "")
        client = RelpClient(relp.port, patience=20)
        client.send([rfc5424("by relp")])
        client.close()
        send_udp(udp.port, [rfc5424("by udp")])

        def handed_over() -> bytes:
            return b"".join(file.read_bytes() for file in (tmp_path / "handover/rsyslog").glob("*.log"))

        wait_until(lambda: b"by relp" in handed_over() and b"by udp" in handed_over(), 20, what=handed_over)
        wait_until(rsyslog.statistics.exists, 20)
        assert rsyslog.statistics.stat().st_mode & stat.S_IROTH, "the relay's user cannot read rsyslog's counters"
        assert machine.run("systemctl", "stop", UNIT).returncode == 0
        assert machine.run("systemctl", "show", "-P", "Result", UNIT).stdout == "success\n"
    finally:
        machine.close()
