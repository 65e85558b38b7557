"""The receiver as a process: its event loop, and starting, reloading and stopping in order.

One thread, one epoll. The order of things at the end: what senders have under way is read for a short
while; then sockets stay open with systemd for the next process, or are closed where there is no systemd.
"""

import gc
import logging
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from appliance.config import model
from appliance.config.units import Endpoint
from appliance.errors import ApplianceError
from appliance.relay import log as relay_log
from appliance.relay.inputs import index
from appliance.relay.log import LimitedHandler
from appliance.relay.notify import Notifier
from appliance.relay.receive import counts as numbers
from appliance.relay.receive.connection import Connection, Framing
from appliance.relay.receive.counts import Counts
from appliance.relay.receive.keeping import Inherited, Keeper, inherit
from appliance.relay.receive.listener import Bounds, Listener, endpoint_of
from appliance.relay.receive.reader import Handover, Reader
from appliance.relay.receive.table import Table

log = logging.getLogger(__name__)

_TICK = 1.0  # seconds between two looks at what changes with time alone
_WRITE = 3.0  # seconds between two times that the numbers are written
_LAST_READS = 0.8  # seconds at the end in which senders are still read
_QUIET = 0.1  # seconds of silence after which none of them has anything under way
_EVENTS = 512
_IN = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_COUNT = 64  # bytes of an unfinished message beside the message itself: a count, separators
_OTHER_FILES = 64  # descriptors that are no connections


class Receiver:
    """One running receiver."""

    def __init__(
        self,
        config: model.Config,
        handover: Handover,
        stats: Path,
        read_config: Callable[[], model.Config],
        log_lines: LimitedHandler,
    ) -> None:
        self._config = config
        self._stats = stats
        self._read_config = read_config
        self._log_lines = log_lines
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._young: dict[Connection, None] = {}
        self._input = index("tcp")
        self._counts = Counts(started=time.time(), pid=os.getpid())
        self._notifier = Notifier()
        self._keeper = Keeper(self._notifier)
        max_message = int(config.relay.connections.max_message)
        self._table: Table | None = None
        if self._keeper.present:
            try:
                self._table = Table(_bounds(config).total, max_message + _COUNT, time.time_ns())
            except OSError as error:  # without it only what is unfinished in a restart would suffer
                log.warning("unfinished messages will not survive a restart", extra={"error": str(error)})
        self._reader = Reader(handover, self._table, self._counts, max_message, self._close)
        self._listener = Listener(
            self._counts,
            self._connections,
            opened=self._opened,
            end=self._reader.end,
            watch=lambda sock: self._epoll.register(sock, select.EPOLLIN),
            unwatch=lambda sock: self._epoll.unregister(sock),
        )
        self._listener.bounds = _bounds(config)
        self._asked: set[signal.Signals] = set()
        self._wake, self._woken = socket.socketpair()
        self._next_tick = self._next_write = self._next_watchdog = 0.0
        self._tells = True

    # ---- the life ------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raise ApplianceError when the port cannot be had."""
        self._listen_to_signals()
        self._start(inherit())
        self._notifier.ready()
        self._tell_listening()
        log.info("ready", extra={"listen": self._listener.endpoint or "nowhere"})
        while not self._asked & {signal.SIGTERM, signal.SIGINT}:
            self._turn()
            if signal.SIGHUP in self._asked:
                self._asked.discard(signal.SIGHUP)
                self.reload()
        self._stop()

    def _listen_to_signals(self) -> None:
        for end in (self._wake, self._woken):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, frame: self._asked.add(signal.Signals(number)))
        self._epoll.register(self._woken, select.EPOLLIN)

    def _start(self, inherited: Inherited) -> None:
        wanted = endpoint_of(self._config.listeners.tcp)
        for endpoint, sock in sorted(inherited.listeners.items(), key=lambda one: one[0] == wanted):
            self._listener.take(Endpoint(endpoint), sock)
            if endpoint != wanted:
                self._listener.move(None)  # those who wait there are accepted first
                self._keeper.drop_listener(endpoint)
        if self._listener.endpoint != wanted:
            self._listener.move(wanted)
            self._keep_listener()
        for sock, sender, framing in inherited.connections:
            self._adopt(sock, sender, framing)
        if self._table is not None:
            self._keeper.keep_table(self._table, inherited.tables)
        if inherited.connections:
            log.info("connections were taken over", extra={"connections": len(inherited.connections)})

    def _adopt(self, sock: socket.socket, sender: str, framing: Framing) -> None:
        sock.setblocking(False)
        connection = Connection(sock, sender, self._input, framing)
        self._connections[connection.fd] = connection
        self._listener.entered(sender)
        self._reader.adopt(connection)
        if self._table is not None:
            self._table.save(connection)
        self._epoll.register(connection.fd, _IN)
        self._counts.connections_taken_over += 1
        self._counts.connections_total += 1

    def _turn(self, longest: float = _TICK) -> None:
        """Wait for something to do, and do it."""
        wait = min(longest, max(0.0, self._next_tick - time.monotonic()))
        if (soon := self._reader.wait) is not None:
            wait = min(wait, soon)
        listener = self._listener.socket
        accepting = -1 if listener is None else listener.fileno()
        someone_waits = False
        for fd, events in self._epoll.poll(wait, _EVENTS):
            connection = self._connections.get(fd)
            if connection is not None:
                if events & _ENDED:
                    connection.ended = True
                self._reader.wake(connection)
            elif fd == accepting:
                someone_waits = True
            elif fd == self._woken.fileno():
                self._woken.recv(4096)
        self._reader.round()
        if someone_waits:  # after the round, which may have ended a connection and made room
            self._listener.accept()
        if time.monotonic() >= self._next_tick:
            self._tick()

    def _tick(self) -> None:
        now = time.monotonic()
        self._next_tick = now + _TICK
        self._listener.tick()
        if self._young and self._keeper.present:
            old = [connection for connection in self._young if now - connection.opened >= _TICK]
            self._keep(old)
        if self._notifier.watchdog_period and now >= self._next_watchdog:
            self._next_watchdog = now + self._notifier.watchdog_period / 3
            self._notifier.send("WATCHDOG=1")
        if now >= self._next_write:
            self._next_write = now + _WRITE
            self._write_counts()
            self._log_lines.sum_up()
            self._tell_listening()

    def _keep(self, connections: list[Connection]) -> None:
        self._keeper.keep(connections)
        for connection in connections:
            if connection.kept:
                self._young.pop(connection, None)

    def _write_counts(self) -> None:
        self._reader.counted()
        self._counts.connections = len(self._connections)
        try:
            numbers.write(self._counts, self._stats)
        except OSError as error:
            if self._tells:
                log.warning("the statistics cannot be written", extra={"path": self._stats, "error": str(error)})
            self._tells = False

    def _tell_listening(self) -> None:
        where = f"listening on port {self._counts.port}" if self._counts.port else "listeners.tcp is off"
        blocked = f"; senders are held back: {self._counts.blocked}" if self._counts.blocked else ""
        self._notifier.status(f"{where}, {len(self._connections)} connections{blocked}")

    # ---- connections ---------------------------------------------------------------------------

    def _opened(self, sock: socket.socket, sender: str) -> None:
        connection = Connection(sock, sender, self._input)
        self._connections[connection.fd] = connection
        self._young[connection] = None
        self._epoll.register(connection.fd, _IN)

    def _close(self, connection: Connection) -> None:
        del self._connections[connection.fd]
        self._young.pop(connection, None)
        self._reader.forget(connection)
        if self._table is not None:
            self._table.forget(connection)
        self._listener.left(connection.sender)
        # Closing does not end it where systemd has a copy.
        self._epoll.unregister(connection.fd)
        connection.close()

    # ---- changes -------------------------------------------------------------------------------

    def reload(self) -> None:
        """Reload the configuration; one that cannot be applied changes nothing. Connections stay open."""
        self._notifier.reloading()
        try:
            self._reload()
        except ApplianceError as error:
            self._counts.reload_failure = error.message
            reason = {"reason": error.message, "hint": error.hint}
            log.error("the new configuration was refused", extra=reason)
        self._write_counts()
        self._notifier.ready()
        self._tell_listening()

    def _reload(self) -> None:
        config = self._read_config()
        before = self._listener.endpoint
        self._listener.move(endpoint_of(config.listeners.tcp))
        if self._listener.endpoint != before:
            if before is not None:
                self._keeper.drop_listener(before)
            self._keep_listener()
        if config.listeners.tcp is None:
            self._switch_off()
        self._listener.bounds = _bounds(config)
        self._reader.set_max_message(int(config.relay.connections.max_message))
        relay_log.set_level(config.relay.log_level)
        _allow_files(self._listener.bounds.total)
        self._config = config
        self._counts.reload_failure = ""
        log.info("the configuration was reloaded", extra={"connections": len(self._connections)})

    def _keep_listener(self) -> None:
        if self._listener.endpoint is not None and self._listener.socket is not None:
            self._keeper.keep_listener(self._listener.endpoint, self._listener.socket)

    def _switch_off(self) -> None:
        """End the connections of a listener that is off now; what they sent before is read first."""
        for connection in self._connections.values():
            self._reader.end(connection)

    def _stop(self) -> None:
        self._notifier.stopping()
        if not self._keeper.present:
            self._listener.move(None)
        else:
            self._listener.pause()  # those who come now are the next process's
        deadline = time.monotonic() + _LAST_READS
        while time.monotonic() < deadline and not self._quiet():
            self._turn(0.02)
        if self._keeper.present:
            self._keep(list(self._young))
        else:
            self._switch_off()
            while self._connections and not self._reader.blocked and time.monotonic() < deadline + _LAST_READS:
                self._turn(0.02)
        self._write_counts()
        log.info("stopped", extra={"connections": len(self._connections)})

    def _quiet(self) -> bool:
        since = time.monotonic() - _QUIET
        return self._reader.wait is None and all(one.last_read < since for one in self._connections.values())


def _bounds(config: model.Config) -> Bounds:
    tcp = config.listeners.tcp or model.TcpListener()
    sender = tcp.max_connections_per_sender or (tcp.max_connections + 1) // 2
    return Bounds(tcp.max_connections, sender, float(config.relay.connections.idle_timeout))


def _allow_files(connections: int) -> None:
    """Raise the limit on open files, so that connections leave some for hand-over files."""
    wanted = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            log.warning(
                "the limit on open files is lower than the connections need", extra={"limit": allowed, "wanted": wanted}
            )


def run(config: model.Config, read_config: Callable[[], model.Config], handover: Handover, stats: Path) -> int:
    """Receive in the foreground until told to stop; the exit code.

    `read_config` is called on SIGHUP and raises ApplianceError for a file that is not valid.
    """
    log_lines = relay_log.configure(config.relay.log_level)
    _allow_files(_bounds(config).total)
    gc.freeze()  # what is there now stays: the collector need not look at it
    Receiver(config, handover, stats, read_config, log_lines).run()
    return 0
