"""Keeps sockets open while the receiver itself is restarted: systemd holds copies of their descriptors.

What is in a socket waits there for the next process; what is not is in the `Table`, which is kept as well.
Source: sd_pid_notify_with_fds(3), sd_listen_fds(3).
"""

import os
import socket
from collections.abc import Iterable, MutableMapping
from typing import NamedTuple

from appliance.relay.notify import Notifier
from appliance.relay.receive.connection import PLAIN, Connection, Framing, address_of
from appliance.relay.receive.table import Table, read_tables

_FIRST = 3  # SD_LISTEN_FDS_START
_CONNECTION = "c"  # short: all names together stand in one variable, which the kernel bounds to 128 KiB
_TABLE = "table-"
_LISTENER = "listener-"
_AT_ONCE = 200  # descriptors of one datagram; the kernel takes 253 (SCM_MAX_FD)


class Inherited(NamedTuple):
    """What the process before left: listeners by the endpoint they were for, connections, names of its tables."""

    listeners: dict[str, socket.socket]
    connections: list[tuple[socket.socket, str, Framing]]
    tables: list[str]


def inherit(environment: MutableMapping[str, str] = os.environ) -> Inherited:
    """Take what systemd kept. A socket whose sender has gone meanwhile is among them, for it may hold messages."""
    found = Inherited({}, [], [])
    connections: list[socket.socket] = []
    tables: list[int] = []
    for name, descriptor in _descriptors(environment):
        os.set_inheritable(descriptor, False)
        if name.startswith(_TABLE):
            found.tables.append(name)
            tables.append(descriptor)
            continue
        try:
            sock = socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            continue
        if name.startswith(_LISTENER):
            found.listeners[name.removeprefix(_LISTENER).replace("_", ":")] = sock
        else:
            connections.append(sock)
    known = read_tables(tables)
    for descriptor in tables:
        os.close(descriptor)
    for sock in connections:
        entry = known.get(os.fstat(sock.fileno()).st_ino)
        try:
            sender = address_of(sock.getpeername())
        except OSError:  # it has ended; what it sent may still be there
            sender = entry.sender if entry else "-"
        found.connections.append((sock, sender, entry.framing if entry else PLAIN))
    return found


def _descriptors(environment: MutableMapping[str, str]) -> list[tuple[str, int]]:
    """Return name and number of each descriptor given to this process; the variables are for it alone."""
    own = environment.pop("LISTEN_PID", "") == str(os.getpid())
    count, names = environment.pop("LISTEN_FDS", "0"), environment.pop("LISTEN_FDNAMES", "").split(":")
    if not own or not count.isdigit():
        return []
    names += [""] * (int(count) - len(names))
    return [(names[index], _FIRST + index) for index in range(int(count))]


class Keeper:
    """Gives systemd what the next process is to have."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    @property
    def present(self) -> bool:
        """Return whether there is a systemd that could keep anything."""
        return self._notifier.present

    def keep_listener(self, endpoint: str, sock: socket.socket) -> None:
        """Keep a listening socket."""
        self._notifier.store(_LISTENER + endpoint.replace(":", "_"), [sock.fileno()])

    def drop_listener(self, endpoint: str) -> None:
        """Have systemd close its copy, so that nobody listens there any more."""
        self._notifier.send("FDSTOREREMOVE=1", f"FDNAME={_LISTENER}{endpoint.replace(':', '_')}")

    def keep(self, connections: Iterable[Connection]) -> None:
        """Keep connections; those that systemd does not take now stay marked as not kept."""
        waiting = list(connections)
        for begin in range(0, len(waiting), _AT_ONCE):
            some = waiting[begin : begin + _AT_ONCE]
            if not self._notifier.store(_CONNECTION, [connection.fd for connection in some]):
                return
            for connection in some:
                connection.kept = True

    def keep_table(self, table: Table, instead_of: Iterable[str]) -> None:
        """Keep this process's table, in place of those of the processes before."""
        name = f"{_TABLE}{os.getpid()}"
        if self._notifier.store(name, [table.descriptor]):
            for old in instead_of:
                if old != name:
                    self._notifier.send("FDSTOREREMOVE=1", f"FDNAME={old}")
