"""Which services must reread their files, and in which order: from changed paths to commands.

Pure: a list of actions for a set of changes. `engine.py` runs them, forwards and, when something
fails, once more after the old files are back.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.host.accounts import lock_commands
from appliance.host.layout import RELAY_CONFIG
from appliance.host.system import render as names
from appliance.host.tree import Absent, Change, Entry, File

RELAY_UNIT = "appliance-relay.service"
RECEIVER_UNIT = "appliance-receiver.service"
RSYSLOG_UNIT = "rsyslog.service"
CHRONY_UNIT = "chrony.service"
RESOLVED_UNIT = "systemd-resolved.service"
NETWORKD_UNIT = "systemd-networkd.service"
JOURNALD_UNIT = "systemd-journald.service"
SSH_UNIT = "ssh.service"


@dataclass(frozen=True, slots=True)
class Action:
    """One step after the switch. `title` is for people; `commands` run in order, all have to succeed.

    `tolerant`: a failure is worth a warning, not a rollback. `risky`: may cut the operator off.
    """

    name: str
    title: str
    commands: tuple[tuple[str, ...], ...]
    stdin: str | None = None
    tolerant: bool = False
    risky: bool = False


def actions_for(changes: Sequence[Change], *, booting: bool = False) -> list[Action]:
    """Return what the changes ask for, in the order in which it is safe.

    While the machine boots, services that start later read the new files by themselves: only what
    runs already is told, without waiting for it.
    """
    by_path = {change.path: change for change in changes}
    found = [action for action in _candidates(by_path, booting=booting) if action is not None]
    return found


def risky_paths(changes: Sequence[Change]) -> list[str]:
    """Return the changed paths that may lock the operator out: network, firewall's SSH, access."""
    watched = (
        names.NETWORK, f"{names.VLAN_PREFIX}.netdev", f"{names.VLAN_PREFIX}.network", names.SSHD, names.SSH_UNIT,
        names.SUDOERS, names.ADMINISTRATOR,
    )  # fmt: skip
    return [c.path for c in changes if c.path in watched or c.path.startswith(names.AUTHORIZED_KEYS)]


def _candidates(changed: dict[str, Change], *, booting: bool) -> list[Action | None]:
    def restart(unit: str) -> tuple[str, ...]:
        return ("systemctl", "--no-block", "try-restart", unit) if booting else ("systemctl", "restart", unit)

    def when(
        paths: Sequence[str], name: str, title: str, *commands: tuple[str, ...], tolerant: bool = False
    ) -> Action | None:
        return (
            Action(name, title, tuple(commands), tolerant=tolerant) if any(path in changed for path in paths) else None
        )

    ssh = changed.get(names.SSH_UNIT)
    ssh_off = ssh is not None and isinstance(ssh.new, Absent)
    ssh_on = ssh is not None and not ssh_off
    return [
        when([names.SSH_UNIT], "units", "Reading which services are wanted", ("systemctl", "daemon-reload")),
        when([names.HOSTNAME], "hostname", "Setting the host name", ("hostname", "-F", names.HOSTNAME)),
        when(
            [names.KEYBOARD], "keyboard", "Loading the keyboard",
            ("setupcon", "--keyboard-only", "--force"), tolerant=True,
        ),
        _administrator(changed),
        when([names.JOURNALD], "journal", "Restarting the journal", restart(JOURNALD_UNIT)),
        when([names.FIREWALL], "firewall", "Loading the firewall", ("nft", "-f", names.FIREWALL)),
        _network(changed),
        when([names.RESOLVED], "dns", "Restarting name resolution", restart(RESOLVED_UNIT)),
        when([names.CHRONY], "time", "Restarting time synchronization", restart(CHRONY_UNIT)),
        _relay(changed, restart(RELAY_UNIT)),
        _receiver(changed, booting=booting),
        when(
            [names.RSYSLOG, names.LOCALTIME, names.HOSTNAME], "rsyslog", "Restarting rsyslog", restart(RSYSLOG_UNIT)
        ),
        when([names.SSHD], "ssh", "Reloading SSH", ("systemctl", "--no-block", "try-reload-or-restart", SSH_UNIT))
        if ssh is None
        else Action(
            "ssh", "Starting SSH" if ssh_on else "Stopping SSH",
            (("systemctl", "--no-block", "start" if ssh_on else "stop", SSH_UNIT),), risky=True,
        ),
    ]  # fmt: skip


def _administrator(changed: dict[str, Change]) -> Action | None:
    change = changed.get(names.ADMINISTRATOR)
    if change is None or not isinstance(change.new, File):
        return None
    line = change.new.content.decode()
    name = line.partition(":")[0]
    former = former_administrator(change)
    # `useradd` says 9 when the user is there already. The password goes by stdin: never in a process list.
    add = f"id -u {name} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash --comment Administrator {name}"
    commands = (
        ("sh", "-c", add),
        ("usermod", "--append", "--groups", "adm,systemd-journal,sudo,appliance", name),
        ("usermod", "--expiredate", "", name),  # a rename that was rolled back had locked it
        ("chpasswd", "--encrypted"),
        *(lock_commands(former) if former else ()),
    )
    return Action("administrator", "Setting up the administrator", commands, stdin=line, risky=True)


def former_administrator(change: Change) -> str:
    """Return the account that a change of the administrator's name retires; empty when there is none.

    It is locked at once and removed when the change is final, for until then it may be rolled back.
    """
    if not isinstance(change.old, File) or not isinstance(change.new, File):
        return ""
    old, new = (entry.content.decode().partition(":")[0] for entry in (change.old, change.new))
    return old if old != new else ""


def _relay(changed: dict[str, Change], restart: tuple[str, ...]) -> Action | None:
    """Return the relay's action. It reloads nearly everything while connections stay open.

    For another place of its spool it has to restart, and for other listeners: a port that is taken
    makes a restart fail, which is noticed, while a reload keeps the old ones.
    """
    change = changed.get(RELAY_CONFIG)
    if change is None:
        return None
    if isinstance(change.old, File) and isinstance(change.new, File) and restart[1] == "restart":
        kept = re.compile(rb"^  spool:\n    path: .*\n|^  listen:\n(?:    .*\n)+", re.MULTILINE)
        if kept.findall(change.old.content) == kept.findall(change.new.content):
            return Action("relay", "Reloading the relay", (("systemctl", "reload-or-restart", RELAY_UNIT),))
    return Action("relay", "Restarting the relay", (restart,))


def _receiver(changed: dict[str, Change], *, booting: bool) -> Action | None:
    """Return the receiver's action. It reloads all of its configuration while connections stay open."""
    change = changed.get(RELAY_CONFIG)
    if change is None or _received(change.old) == _received(change.new):
        return None
    command = ("--no-block", "try-reload-or-restart") if booting else ("reload-or-restart",)
    return Action("receiver", "Reloading the receiver", (("systemctl", *command, RECEIVER_UNIT),))


def _received(entry: Entry) -> dict[str, object] | None:
    """Return what the receiver reads of the relay's file; None where there is none."""
    if not isinstance(entry, File):
        return None
    import yaml  # here: most commands need no YAML of this file

    whole = yaml.safe_load(entry.content)
    listeners, relay = whole.get("listeners") or {}, whole.get("relay") or {}
    return {"tcp": listeners.get("tcp"), "queue": listeners.get("queue"),
            "handover": (relay.get("listen") or {}).get("handover"),
            **{key: relay.get(key) for key in ("connections", "log_level")}}  # fmt: skip


def _network(changed: dict[str, Change]) -> Action | None:
    vlan = changed.get(f"{names.VLAN_PREFIX}.netdev")
    paths = (names.NETWORK, f"{names.VLAN_PREFIX}.netdev", f"{names.VLAN_PREFIX}.network")
    if not any(path in changed for path in paths):
        return None
    commands: list[tuple[str, ...]] = []
    if vlan is not None and isinstance(vlan.old, File):
        # networkd leaves a device alone whose .netdev is gone or changed.
        match = re.search(rb"^Name=(\S+)$", vlan.old.content, re.MULTILINE)
        if match:
            commands.append(("sh", "-c", f"networkctl delete {match[1].decode()} 2>/dev/null || true"))
    commands.append(("networkctl", "reload"))
    return Action("network", "Changing the network", tuple(commands), risky=True)
