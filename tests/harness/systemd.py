"""A double of systemd's notify socket and descriptor store, for a service started from a test.

It keeps what it is given with FDSTORE=1, closes what hangs up, and gives the rest to the next process, as
systemd.service(5) says of FileDescriptorStoreMax=.
"""

import array
import os
import select
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

# The descriptors are moved to 3, 4, … and the variables made for the very process that is to have them.
_STARTER = """
import fcntl, os, sys
fds = [int(word) for word in sys.argv[1].split(",") if word]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 3 + len(fds)) for fd in fds]
for fd in fds:
    os.close(fd)
for number, fd in enumerate(high):
    os.dup2(fd, 3 + number, inheritable=True)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


class SystemdDouble:
    """One for a service. `environment` and `command` start its next process."""

    def __init__(self, directory: Path) -> None:
        self.address = directory / "notify"
        self.said: list[str] = []
        self.store: list[tuple[str, int]] = []
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.address))
        self._stop_reading, self._stop_writing = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.address)}

    def command(self, command: Sequence[str]) -> tuple[list[str], list[int]]:
        """The command that starts a process with what is kept, and the descriptors to pass to it."""
        with self._lock:
            kept = list(self.store)
        numbers, names = ",".join(str(fd) for _, fd in kept), ":".join(name for name, _ in kept)
        if not kept:
            return list(command), []
        return [sys.executable, "-c", _STARTER, numbers, names, *command], [fd for _, fd in kept]

    def kept(self, name: str) -> int:
        """How many descriptors are kept whose name begins so."""
        with self._lock:
            return sum(one.startswith(name) for one, _ in self.store)

    def _run(self) -> None:
        while True:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            poll.register(self._stop_reading, select.POLLIN)
            with self._lock:
                for _, fd in self.store:
                    poll.register(fd, 0)  # errors and hang-ups come in any case
            for fd, _ in poll.poll():
                if fd == self._stop_reading:
                    return
                if fd == self._socket.fileno():
                    self._read()
                else:
                    self._forget(lambda name, kept, gone=fd: kept == gone)

    def _read(self) -> None:
        data, ancillary, _, _ = self._socket.recvmsg(1 << 16, socket.CMSG_SPACE(4 * 253))
        lines = dict(line.partition("=")[::2] for line in data.decode().split("\n"))
        fds = array.array("i")
        for _, kind, payload in ancillary:
            assert kind == socket.SCM_RIGHTS
            fds.frombytes(payload)
        self.said.append(data.decode())
        if "FDSTORE" in lines:
            with self._lock:
                self.store += [(lines.get("FDNAME", "stored"), fd) for fd in fds]
        if "FDSTOREREMOVE" in lines:
            self._forget(lambda name, _: name == lines["FDNAME"])

    def _forget(self, matches: object) -> None:
        assert callable(matches)
        with self._lock:
            gone = [(name, fd) for name, fd in self.store if matches(name, fd)]
            self.store = [one for one in self.store if one not in gone]
        for _, fd in gone:
            os.close(fd)

    def close(self) -> None:
        """As systemd when the unit is stopped for good: nothing is kept."""
        os.write(self._stop_writing, b"x")
        self._thread.join(5)
        self._socket.close()
        for fd in (self._stop_reading, self._stop_writing, *[fd for _, fd in self.store]):
            os.close(fd)
        self.store = []
