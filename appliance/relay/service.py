"""The relay as a process: puts its parts together, and starts, reloads and stops them in order.

Nothing is decided here about messages. `run` is the whole life; the parts are the intake and its
listeners, the spool and its writer, the sender, the HTTP endpoints, and systemd's notifications.
"""

import asyncio
import logging
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from appliance.config import model
from appliance.errors import ApplianceError
from appliance.relay import log as relay_log
from appliance.relay import memory
from appliance.relay.listen import relp, syslog_tcp
from appliance.relay.listen.handover import Handover
from appliance.relay.listen.intake import Intake
from appliance.relay.listen.push_api import PushApi
from appliance.relay.listen.relp import RelpSession
from appliance.relay.log import LimitedHandler
from appliance.relay.notify import Notifier
from appliance.relay.report.http_endpoints import HttpEndpoints
from appliance.relay.report.metrics import Metrics
from appliance.relay.report.sender_file import SenderFile
from appliance.relay.report.senders import Sources
from appliance.relay.report.status import Parts
from appliance.relay.send.sender import Sender
from appliance.relay.spool.dead_letters import DIRECTORY, DeadLetters
from appliance.relay.spool.retries import Retries
from appliance.relay.spool.spool import Spool

log = logging.getLogger(__name__)

_DRAIN = 2.0  # seconds for what is in memory to reach the disk at the end
_SETTLE = 0.02  # seconds for connections to be closed
_LAST_READS = 0.8  # seconds that senders without acknowledgement are still listened to
_QUIET = 0.1  # seconds of silence after which one of them has nothing left to be read
_TICK = 5.0  # seconds between two looks at what changes with time alone
_REST = 30.0  # seconds of little work after which memory is given back
_LITTLE = 2.0  # batches a second; those that close for their age are one a second at most


class _Door(NamedTuple):
    """A listener and what it takes to open and close it."""

    wanted: Callable[[model.Listen], Any]
    open: Callable[[Any], Awaitable[None]]
    close: Callable[[], Awaitable[None]]


class Service:
    """One running relay."""

    def __init__(
        self, config: model.Config, read_config: Callable[[], model.Config], log_lines: LimitedHandler
    ) -> None:
        self.config = config
        self._read_config = read_config
        self._started = False
        self._stop = asyncio.Event()
        self._reloading = asyncio.Lock()
        self.spool = Spool(config.relay.spool)
        self.spool.claim()
        self.sources = Sources()
        self.sender_file = SenderFile(self.spool.path)
        self.sources.remember(self.sender_file.read())
        self.intake = Intake(config, self.spool, self.sources)
        self.dead_letters = DeadLetters(self.spool.path / DIRECTORY, config.relay.spool.max_dead_letter)
        self.retries = Retries(self.dead_letters.directory, self.intake.writer.put)
        self.sender = Sender(
            config.loki, self.spool, dead_letters=self.dead_letters, drop_order=config.labels.guard.drop_order
        )
        self.handover = Handover(self.intake)
        self.relp = relp.listener(self.intake)
        self.syslog_tcp = syslog_tcp.listener(self.intake)
        self.push = PushApi(
            self.intake,
            config.relay,
            sources=self.sources,
            not_ready=self.not_ready,
            own_tenant=config.loki.tenant,
        )
        self.parts = Parts(
            config, self.intake, self.spool, self.sender, self.sources, self.push, self.dead_letters, self.not_ready,
            handover=self.handover.stats,
        )  # fmt: skip
        self.http = HttpEndpoints(self.parts, Metrics(self.parts, lambda: log_lines.suppressed_total))
        self._log_lines = log_lines
        self.notifier = Notifier()
        self._doors = [
            _Door(lambda listen: listen.handover, self.handover.start, self.handover.stop),
            _Door(lambda listen: listen.relp, self.relp.start, self.relp.stop_listening),
            _Door(lambda listen: listen.syslog_tcp, self.syslog_tcp.start, self.syslog_tcp.stop_listening),
            _Door(lambda listen: listen.push, self.push.start, self.push.stop),
            _Door(lambda listen: listen.http, self.http.start, self.http.stop),
        ]

    def not_ready(self) -> str:
        """Return why no logs can be taken now; empty when they can."""
        if not self._started:
            return "starting" if not self._stop.is_set() else "stopping"
        return self.spool.no_room()

    async def start(self) -> None:
        """Listen. Raise ApplianceError when an address cannot be had."""
        self.intake.start()
        await self._open_doors(model.Listen(), self.config.relay.listen)
        self._started = True

    async def _open_doors(self, before: model.Listen, after: model.Listen) -> None:
        """Go from one set of addresses to another; when one cannot be had, back to where we were."""
        moved: list[_Door] = []
        try:
            for door in self._doors:
                if door.wanted(before) != door.wanted(after):
                    moved.append(door)
                    await self._move(door, after)
        except ApplianceError:
            for door in moved:
                await self._move(door, before)
            raise

    @staticmethod
    async def _move(door: _Door, listen: model.Listen) -> None:
        await door.close()
        place = door.wanted(listen)
        if place is not None:
            await door.open(place)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: tasks.append(loop.create_task(self.reload())))
        await self.start()
        memory.give_back()  # what starting took
        self.notifier.ready("forwarding")
        self.sender.start()  # after it is said that we listen: a long backlog has work for all threads at once
        listen = {
            name: str(getattr(self.config.relay.listen, name)) for name in self.config.relay.listen.__struct_fields__
        }
        log.info("ready", extra={**listen, "spooled": len(self.spool)})
        tasks.append(loop.create_task(self.notifier.feed_watchdog(self._alive)))
        tasks.append(loop.create_task(self._tick()))
        await self._stop.wait()
        for task in tasks:
            task.cancel()
        await self.stop()

    def _alive(self) -> bool:
        """Return whether every thread that carries messages goes on; the loop itself is asking."""
        return self.intake.writer.alive() and self.sender.alive()

    async def _tick(self) -> None:
        looked, batches, worked = time.monotonic(), 0, False
        while True:
            await asyncio.sleep(_TICK)
            if (span := time.monotonic() - looked) >= _REST:
                done = self.intake.stats.batches - batches
                looked, batches, worked = looked + span, batches + done, worked or done > 0
                if worked and done <= span * _LITTLE and not len(self.spool):
                    self._rest()
                    worked = False
            self._log_lines.sum_up()
            if self.sender_file.due():
                written = self.sender_file.snapshot(self.sources)
                await asyncio.get_running_loop().run_in_executor(None, self.sender_file.write, written)
            self.spool.drop_expired()
            await self.retries.send_again()
            self.notifier.status(f"{self.sender.stats.state}; {len(self.spool)} batches wait for Loki")

    def _rest(self) -> None:
        """Return memory that was needed under load."""
        self.intake.rest()
        memory.give_back()

    async def reload(self) -> None:
        """Reload the configuration; an invalid one changes nothing. Connections stay open."""
        async with self._reloading:
            self.notifier.reloading()
            try:
                await self._reload()
            except ApplianceError as error:
                self.parts.reload_failures += 1
                reason = {"reason": error.message, "hint": error.hint}
                log.error("the new configuration was refused", extra=reason)
            finally:
                self.notifier.ready("forwarding")

    async def _reload(self) -> None:
        config = self._read_config()
        self.push.try_out(config.relay)
        await self._open_doors(self.config.relay.listen, config.relay.listen)
        self.spool.settings = config.relay.spool
        self.intake.reload(config)
        self.push.reload(config.relay, config.loki.tenant)
        self.http.reload(config.relay)
        self.sender.reload(config.loki, config.labels.guard.drop_order)
        self.dead_letters.max_size = config.relay.spool.max_dead_letter
        if config.relay.spool.path != self.config.relay.spool.path:
            log.warning("the new relay.spool.path takes effect at the next start")
        relay_log.set_level(config.relay.log_level)
        self.config = self.parts.config = config
        self.parts.reloads += 1
        log.info("the configuration was reloaded")

    async def stop(self) -> None:
        """Write what is in memory to disk, acknowledge it, and end within seconds."""
        self._started = False
        self.notifier.stopping()
        await self.handover.stop()
        await self.relp.stop_listening()
        await self.syslog_tcp.stop_listening()
        self.intake.writer.hurry()
        self.intake.acknowledgements.end_holding()
        for connection in self._relp_sessions():
            if not connection.hung_up():
                connection.pause()
        await self._drain()
        self.syslog_tcp.close()
        await asyncio.sleep(_SETTLE)  # what these connections left unterminated is taken now
        await asyncio.gather(self.push.stop(_DRAIN), self._flush())
        for connection in self._relp_sessions():
            connection.server_close()
        await self.http.stop(0.2)
        loop = asyncio.get_running_loop()
        self.intake.writer.stop(0.5)
        await loop.run_in_executor(None, self.sender.stop, 2.0)
        await loop.run_in_executor(None, self.sender_file.write, self.sender_file.snapshot(self.sources))
        log.info("stopped", extra={"spooled": len(self.spool)})

    def _relp_sessions(self) -> list[RelpSession]:
        return [connection for connection in self.relp.connections if isinstance(connection, RelpSession)]

    async def _drain(self) -> None:
        """Take what is in the kernel's buffers of senders that will not send it again.

        Those without acknowledgement, and those over RELP that have gone, as rsyslog before us when the machine stops.
        """
        deadline = time.monotonic() + _LAST_READS
        while (now := time.monotonic()) < deadline:
            gone = [session for session in self._relp_sessions() if session.hung_up()]
            busy = any(now - connection.last_read < _QUIET for connection in self.syslog_tcp.connections)
            if not busy and not gone and not self.intake.writer.waiting_bytes:
                return
            await asyncio.sleep(_SETTLE)

    async def _flush(self) -> None:
        if not await self.intake.flush(_DRAIN):
            log.error("the spool took too long: unacknowledged messages will be sent again")


def _allow_files(wanted: int) -> None:
    """Raise the limit on open files, for connections must never leave none for the spool."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            log.warning(
                "the limit on open files is lower than the connections need", extra={"limit": allowed, "wanted": wanted}
            )


def run(config: model.Config, read_config: Callable[[], model.Config]) -> int:
    """Run the relay in the foreground until it is asked to stop; return the exit code.

    `read_config` is called on SIGHUP and raises ApplianceError for a file that is not valid.
    """
    memory.keep_little()
    log_lines = relay_log.configure(config.relay.log_level)
    # One thread does nearly all the work; those that wait for disk and network need the interpreter
    # only in short turns, and each turn taken from the busy one costs two switches.
    sys.setswitchinterval(0.005)
    _allow_files(4 * config.relay.connections.max + 256)

    async def life() -> None:
        await Service(config, read_config, log_lines).run()

    asyncio.run(life())
    return 0
