"""Syslog over TCP (RFC 6587): octet-counted or LF, decided per frame. Nothing is acknowledged.

The framing itself is in the hot path.
"""

from appliance.relay.listen.intake import Intake
from appliance.relay.listen.tcp import Connection, Listener


class SyslogConnection(Connection):
    """One sender without acknowledgement: what it leaves unterminated is taken at its end."""

    input = "syslog_tcp"

    def feed(self, end: int) -> None:
        self._intake.take("feed_syslog", self.conn, 0, end)

    def ended(self, rest: bytes) -> None:
        if rest:
            self._intake.finish(self.conn, rest)


def listener(intake: Intake) -> Listener:
    return Listener(intake, SyslogConnection, idle_closes=True)
