"""Remedies for the one who reads them: root, an ordinary user, or somebody at the machine's console. Pure.

A remedy names commands between backticks, as root types them. An ordinary user has to begin the same
command with `sudo`; at the console a key does what some of them do.
"""

import re
from enum import Enum

_COMMAND = re.compile(r"`([^`]+)`")
_NEEDS_ROOT = re.compile(
    r"appliance (?:config (?:apply|edit|rollback|confirm|recover|import)|tls (?:init|renew|import|issue-client)"
    r"|check|setup|backup|restore|update|support-bundle|factory-reset|dead-letters|token)\b"
    r"|systemctl (?:restart|start|reload|reboot|reset-failed)\b|journalctl\b|chronyc makestep\b|apt-get\b"
    r"|unattended-upgrade\b|du\b|nft\b|rm\b"
)
_KEYS = (
    (re.compile(r"appliance config confirm"), "C"),
    (re.compile(r"appliance (?:setup|config edit)"), "S (settings)"),
    (re.compile(r"appliance test (?:message|loki)"), "T (test)"),
    (re.compile(r"appliance sources.*"), "D (devices)"),
    (re.compile(r"appliance status"), "V (each part)"),
    (re.compile(r"systemctl reboot"), "R (restart)"),
    (re.compile(r"journalctl -(?:b -)?u (?:appliance-)?relay(?:\.service)?"), "the logs (L, Relay)"),
    (re.compile(r"journalctl -(?:b -)?u (?:appliance-)?receiver(?:\.service)?"), "the logs (L, Receiver)"),
    (re.compile(r"journalctl -(?:b -)?u rsyslog(?:\.service)?"), "the logs (L, rsyslog)"),
    (re.compile(r"journalctl.*"), "the logs (L, Everything)"),
)


class Reader(Enum):
    """Who reads a remedy, and so what they can do."""

    ROOT = "root"
    USER = "user"
    CONSOLE = "console"


def addressed(remedy: str, reader: Reader) -> str:
    """Return the remedy with commands, or keys, that work for its reader."""
    if reader is Reader.ROOT:
        return remedy
    if reader is Reader.USER:
        return _COMMAND.sub(lambda match: f"`{_with_sudo(match[1])}`", remedy)
    return _COMMAND.sub(lambda match: _at_console(match[1]), remedy)


def _with_sudo(command: str) -> str:
    return f"sudo {command}" if _NEEDS_ROOT.match(command) else command


def _at_console(command: str) -> str:
    for pattern, key in _KEYS:
        if pattern.fullmatch(command):
            return key
    return f"'{command}' in a shell (X)"
