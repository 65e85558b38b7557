"""A change that may lock the operator out reverts by itself unless it is confirmed in time.

The clock does not hang on the shell that started the change: systemd keeps it, or a process of its own
where systemd does not run. After a power cut the boot reverts what was not confirmed (`recover`).
"""

import os
import subprocess
import sys

from appliance.errors import ApplianceError
from appliance.host.apply.generations import Unconfirmed
from appliance.host.host import Host


def arm(host: Host, change: Unconfirmed, seconds: float) -> None:
    """Start the clock. Raise ApplianceError when nothing would revert the change."""
    command = [*_ourselves(), "config", "revert-unconfirmed", str(change.new), "--root", str(host.layout.root)]
    if host.systemd:
        answer = host.runner(
            ["systemd-run", "--quiet", "--collect", f"--unit={_unit(change)}", f"--on-active={seconds:g}s",
             "--timer-property=AccuracySec=500ms", *command]
        )  # fmt: skip
        if not answer.ok:
            raise ApplianceError(
                f"the clock that would revert this change cannot be started: {answer.reason}",
                hint="apply with --confirm-within 0 if you are at the console",
            )
        return
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.Popen(
        ["sh", "-c", 'sleep "$0"; exec "$@"', f"{seconds:g}", *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, env=environment,
    )  # fmt: skip


def disarm(host: Host, change: Unconfirmed) -> None:
    """Stop the clock. One that still fires finds nothing to revert."""
    if host.systemd:
        host.runner(["systemctl", "stop", f"{_unit(change)}.timer"])


def _unit(change: Unconfirmed) -> str:
    return f"appliance-revert-{change.new}"


def _ourselves() -> list[str]:
    if getattr(sys, "frozen", False):
        return [sys.executable]
    return [sys.executable, "-m", "appliance.cli.main"]
