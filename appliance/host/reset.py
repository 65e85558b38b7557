"""Factory reset: the machine as it was installed, with settings, accounts, secrets and, if asked, logs removed.

The program and Debian's packages stay as they are.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.host.accounts import AUTHORIZED_KEYS, people, remove_people, restore_installed
from appliance.host.apply import Host, apply, roll_back_to
from appliance.host.apply.generations import Generations
from appliance.host.apply.lock import apply_lock
from appliance.host.layout import DATA, Layout

_SERVICES = ("rsyslog.service", "appliance-receiver.service", "appliance-relay.service", "ssh.service")
_ETC = "/etc/appliance"
# cloud-init takes a seed again when it remembers nothing of the one before.
_KEPT_BY_CLOUD_INIT = (
    "/var/lib/cloud/instance",
    "/var/lib/cloud/instances",
    "/var/lib/cloud/data",
    "/var/lib/cloud/sem",
)
# Who was logged in, what root typed, and what cloud-init made of a seed.
_TRACES = (
    "/var/log/wtmp", "/var/log/btmp", "/var/log/lastlog", "/var/log/cloud-init.log",
    "/var/log/cloud-init-output.log", "/root/.bash_history", "/root/.ssh", "/root/.lesshst", "/root/.python_history",
)  # fmt: skip
_HOST_KEYS = "ssh_host_*_key*"
_BUNDLES = "support-*.tar.gz*"
_MADE_BY_LOGGING = ("spool", "rsyslog", "dead-letter", "journal", "handover", "queue")


def forgotten(layout: Layout, *, logs: bool) -> Iterator[Path]:
    """Yield what a reset removes and is there now."""
    etc, data = layout.at(_ETC), layout.at(DATA)
    paths = sorted(etc.iterdir()) if etc.is_dir() else []
    paths += [layout.at(path) for path in (*_KEPT_BY_CLOUD_INIT, *_TRACES)]
    paths += layout.at("/etc/ssh").glob(_HOST_KEYS)
    for place in ("/root", "/tmp", "/var/tmp", DATA):
        paths += layout.at(place).glob(_BUNDLES)
    if data.is_dir():
        # What is no line is a setting's: remembered senders, positions of what is gone.
        paths += [path for path in sorted(data.iterdir()) if path.is_file() and path.name != "lost+found"]
    if logs:
        for directory in (data / name for name in _MADE_BY_LOGGING):
            paths += sorted(directory.iterdir()) if directory.is_dir() else ()
    yield from (path for path in paths if path.is_symlink() or path.exists())


def forgotten_accounts(layout: Layout) -> list[str]:
    """Return the accounts that a reset removes, with their homes."""
    return people(layout)


def reset(host: Host, *, logs: bool, progress: Callable[[str], None] = lambda text: None) -> list[str]:
    """Go back to the files as installed, then remove accounts, settings, secrets and keys. A restart has to follow.

    Return the accounts that could not be removed; they are locked.
    """
    for unit in _SERVICES:
        if host.services:
            progress(f"Stopping {unit}")
            host.runner(["systemctl", "stop", unit], timeout=60)
    store = Generations(host.layout)
    if 0 in store.numbers():
        progress("Restoring the files as installed")
        apply(roll_back_to(0, host), host, health=False)
    with apply_lock(host.layout):
        for name in forgotten_accounts(host.layout):
            progress(f"Removing the account {name}")
        left = remove_people(host)
        for keys in sorted(host.layout.at(AUTHORIZED_KEYS).glob("*")):
            keys.unlink()
        restore_installed(host)
        for path in list(forgotten(host.layout, logs=logs)):
            progress(f"Removing {path}")
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return left
