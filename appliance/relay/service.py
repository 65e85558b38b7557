"""The relay as a process: puts its parts together, and starts, reloads and stops them in order.

Nothing is decided here about messages. `run` is the whole life; the parts are the intake and its
listeners, the spool and its writer, the sender, the HTTP endpoints, and systemd's notifications.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable

from appliance.config import model
from appliance.errors import ApplianceError
from appliance.relay import log as relay_log
from appliance.relay import relp, syslog_tcp
from appliance.relay.dead_letter import DeadLetters
from appliance.relay.intake import Intake
from appliance.relay.notify import Notifier
from appliance.relay.relp import RelpSession
from appliance.relay.sender import Sender
from appliance.relay.sources import Sources
from appliance.relay.spool import Spool
from appliance.relay.streams import Listener

log = logging.getLogger(__name__)

_DRAIN = 2.0  # seconds for what is in memory to reach the disk at the end


class Service:
    """One running relay."""

    def __init__(self, config: model.Config, read_config: Callable[[], model.Config]) -> None:
        self.config = config
        self._read_config = read_config
        self.spool = Spool(config.relay.spool)
        self.sources = Sources()
        self.intake = Intake(config, self.spool, self.sources)
        self.sender = Sender(
            config.loki, self.spool, dead_letters=DeadLetters.beside(config.relay.spool), drop_order=config.labels.guard.drop_order
        )
        self.relp = relp.listener(self.intake)
        self.syslog_tcp = syslog_tcp.listener(self.intake)
        self.notifier = Notifier()
        self._stop = asyncio.Event()

    async def start(self) -> None:
        """Listen and send. Raises ApplianceError when an address cannot be had."""
        self.intake.start()
        self.sender.start()
        for listener, endpoint in self._listeners(self.config):
            if endpoint is not None:
                await listener.start(endpoint)

    def _listeners(self, config: model.Config) -> list[tuple[Listener, model.Endpoint | None]]:
        listen = config.relay.listen
        return [(self.relp, listen.relp), (self.syslog_tcp, listen.syslog_tcp)]

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self.reload()))
        await self.start()
        self.notifier.ready("forwarding")
        log.info("ready", extra={"relp": self.relp.port, "syslog_tcp": self.syslog_tcp.port, "spooled": len(self.spool)})
        watchdog = loop.create_task(self.notifier.feed_watchdog(self.intake.writer.alive))
        await self._stop.wait()
        watchdog.cancel()
        await self.stop()

    async def reload(self) -> None:
        """Take the configuration anew; a wrong one changes nothing. Connections stay open."""
        self.notifier.reloading()
        try:
            config = self._read_config()
            for (listener, endpoint), (_, before) in zip(
                self._listeners(config), self._listeners(self.config), strict=True
            ):
                if endpoint == before:
                    continue
                listener.stop_listening()
                if endpoint is not None:
                    await listener.start(endpoint)
            self.spool.settings = config.relay.spool
            self.intake.reload(config)
            self.sender.reload(config.loki)
            relay_log.set_level(config.relay.log_level)
            self.config = config
            log.info("the configuration was read again")
        except ApplianceError as error:
            log.error("the new configuration was not taken", extra={"reason": error.message, "hint": error.hint})
        self.notifier.ready("forwarding")

    async def stop(self) -> None:
        """Bring what is in memory to the disk, acknowledge it, and end within seconds."""
        self.notifier.stopping()
        for listener, _ in self._listeners(self.config):
            listener.stop_listening()
        for connection in [*self.relp.connections, *self.syslog_tcp.connections]:
            connection.pause()
        if not await self.intake.flush(_DRAIN):
            log.error("the spool took too long: what was not acknowledged will come again")
        for connection in list(self.relp.connections):
            assert isinstance(connection, RelpSession)
            connection.server_close()
        self.syslog_tcp.close()
        await asyncio.sleep(0)  # let the last acknowledgements leave
        loop = asyncio.get_running_loop()
        self.intake.writer.stop(0.5)
        await loop.run_in_executor(None, self.sender.stop, 2.0)
        log.info("stopped", extra={"spooled": len(self.spool)})


def run(config: model.Config, read_config: Callable[[], model.Config]) -> int:
    """Run the relay in the foreground until it is told to stop; the exit code.

    `read_config` is called on SIGHUP and raises ApplianceError for a file that is not valid.
    """
    relay_log.configure(config.relay.log_level)
    # One thread does nearly all the work; those that wait for disk and network need the interpreter
    # only in short turns, and each turn taken from the busy one costs two switches.
    sys.setswitchinterval(0.005)

    async def life() -> None:
        service = Service(config, read_config)
        await service.run()

    asyncio.run(life())
    return 0
