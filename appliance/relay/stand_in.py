"""Takes the relay's place for the seconds in which rsyslogd stops, when the relay itself is away.

What rsyslogd has sent without an acknowledgement, and what its worker has in hand, is nowhere on disk
and would end with it. This takes it into the spool and goes when rsyslogd has gone. Nothing is sent to
Loki; that is the relay's, when it comes back.
"""

import asyncio
import logging
from pathlib import Path

from appliance.config import model
from appliance.errors import ApplianceError
from appliance.relay import log as relay_log
from appliance.relay.listen import relp
from appliance.relay.listen.intake import Intake
from appliance.relay.listen.relp import RelpSession
from appliance.relay.report.senders import Sources
from appliance.relay.spool.spool import Spool

log = logging.getLogger(__name__)

_LOOK = 0.05  # seconds between two looks whether the process is there still
_DRAIN = 2.0  # seconds for what is in memory to reach the disk


def stand_in(config: model.Config, pid: int) -> int:
    """Take what comes by RELP until process `pid` has ended; how many messages that were.

    Raises ApplianceError when a relay is there, by the spool or by the port it has.
    """
    relay_log.configure(config.relay.log_level)
    endpoint = config.relay.listen.relp
    if endpoint is None:
        raise ApplianceError("rsyslog hands nothing on here", hint="set relay.listen.relp, such as 127.0.0.1:2514")
    spool = Spool(config.relay.spool)
    spool.claim()

    async def take() -> int:
        intake = Intake(config, spool, Sources())
        intake.start()
        intake.writer.hurry()
        intake.acknowledgements.end_holding()
        listener = relp.listener(intake)
        await listener.start(endpoint)
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(_LOOK)
        await listener.stop_listening()
        # What it sent last is read until its connections end, which they do as it has gone.
        for _ in range(round(_DRAIN / _LOOK)):
            if not any(isinstance(one, RelpSession) and one.hung_up() for one in listener.connections):
                break
            await asyncio.sleep(_LOOK)
        if not await intake.flush(_DRAIN):
            log.error("the spool took too long: what was not acknowledged is lost")
        intake.writer.stop(_DRAIN)
        return sum(intake.stats.messages.values())

    taken = asyncio.run(take())
    log.info("took what rsyslog had under way", extra={"messages": taken})
    return taken
