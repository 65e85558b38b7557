"""Factory reset: the machine as it was installed, with its settings, secrets and, if asked, logs forgotten.

The program and Debian's packages stay as they are.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.host.apply import Host, apply, roll_back_to
from appliance.host.apply.generations import Generations
from appliance.host.apply.lock import apply_lock
from appliance.host.layout import CONFIG, DATA, SECRETS, TLS, Layout

_SERVICES = ("rsyslog.service", "appliance-relay.service", "ssh.service")
_FORGOTTEN = (
    SECRETS, TLS, CONFIG, f"{CONFIG}.rejected", "/etc/appliance/relay.yaml", "/etc/appliance/setup.yaml",
    "/etc/appliance/generations",
)  # fmt: skip
_KEPT_BY_CLOUD_INIT = ("/var/lib/cloud/instance", "/var/lib/cloud/instances", "/var/lib/cloud/data")
_HOST_KEYS = "ssh_host_*_key*"


def forgotten(layout: Layout, *, logs: bool) -> Iterator[Path]:
    """Yield what a reset removes and is there now."""
    paths = [layout.at(path) for path in (*_FORGOTTEN, *_KEPT_BY_CLOUD_INIT)]
    paths += layout.at("/etc/ssh").glob(_HOST_KEYS)
    if logs:
        data = layout.at(DATA)
        for name in ("spool", "rsyslog", "dead-letter", "journal"):
            paths += (data / name).iterdir() if (data / name).is_dir() else ()
    yield from (path for path in paths if path.is_symlink() or path.exists())


def reset(host: Host, *, logs: bool, progress: Callable[[str], None] = lambda text: None) -> None:
    """Go back to the files as installed, then remove settings, secrets and keys. A restart has to follow."""
    for unit in _SERVICES:
        if host.services:
            progress(f"Stopping {unit}")
            host.runner(["systemctl", "stop", unit], timeout=60)
    store = Generations(host.layout)
    if 0 in store.numbers():
        progress("Putting back the files as installed")
        apply(roll_back_to(0, host), host, health=False)
    with apply_lock(host.layout):
        for path in list(forgotten(host.layout, logs=logs)):
            progress(f"Removing {path}")
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
