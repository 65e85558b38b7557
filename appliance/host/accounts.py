"""Accounts of people on this machine: which there are, and removing those that are no longer wanted.

System accounts (below UID 1000) are Debian's and ours, and are never touched. Creating the
administrator is an action of an apply (`apply/actions.py`).
"""

import shutil

from appliance.host.host import Host
from appliance.host.layout import Layout

_FIRST, _LAST = 1000, 59999  # UIDs of people: login.defs(5), Debian's UID_MIN and UID_MAX
INSTALLED = "/usr/lib/appliance/installed-administrator"
"""Name of the account that the image was built with (`--ssh-key`); absent in an image without one."""
AUTHORIZED_KEYS = "/etc/ssh/authorized_keys.d"
_CLOUD_INIT_SUDOERS = "/etc/sudoers.d/90-cloud-init-users"
_BUSY = 8  # userdel's exit status for an account whose processes still run; what it owns is gone all the same


def people(layout: Layout) -> list[str]:
    """Return the names of all accounts that belong to people, in the order of passwd(5)."""
    passwd = layout.at("/etc/passwd")
    if not passwd.exists():
        return []
    found = []
    for line in passwd.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(":")
        if len(fields) == 7 and fields[2].isdigit() and _FIRST <= int(fields[2]) <= _LAST:
            found.append(fields[0])
    return found


def lock_commands(name: str) -> tuple[tuple[str, ...], ...]:
    """Return the commands after which nobody can log in as `name` or become root from there; its files stay."""
    return (("usermod", "--lock", "--expiredate", "1", "--groups", "", name),)


def remove(host: Host, name: str) -> bool:
    """Remove an account with its password, home, mail, keys and scheduled jobs; False when only locking it worked.

    A session that is still open keeps its processes until it ends.
    """
    host.layout.at(f"{AUTHORIZED_KEYS}/{name}").unlink(missing_ok=True)
    if not host.services:
        return True
    for command in lock_commands(name):  # the removal may fail half way
        host.runner(command)
    host.runner(["crontab", "-r", "-u", name])
    answer = host.runner(["userdel", "--force", "--remove", name])
    if not answer.ok and answer.code != _BUSY and name in people(host.layout):
        return False
    home = host.layout.at(f"/home/{name}")
    if home.is_dir() and not home.is_symlink():
        shutil.rmtree(home, ignore_errors=True)
    return True


def remove_people(host: Host) -> list[str]:
    """Remove the accounts of all people. Return those that could only be locked."""
    host.layout.at(_CLOUD_INIT_SUDOERS).unlink(missing_ok=True)
    return [name for name in people(host.layout) if not remove(host, name)]


def restore_installed(host: Host) -> None:
    """Make the account that the image was built with again, with its keys and without a password."""
    marker = host.layout.at(INSTALLED)
    if not marker.exists():
        return
    name, *keys = marker.read_text(encoding="utf-8").splitlines()
    place = host.layout.at(f"{AUTHORIZED_KEYS}/{name}")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("".join(f"{key}\n" for key in keys), encoding="utf-8")
    if host.services and name not in people(host.layout):
        groups = "adm,systemd-journal,sudo"
        host.runner(["useradd", "--create-home", "--shell", "/bin/bash", "-c", "Administrator", "-G", groups, name])
        host.runner(["usermod", "--password", "*", name])
