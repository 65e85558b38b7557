"""Time zone and time servers; tries whether they answer."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from textual.widget import Widget

from appliance.errors import ApplianceError
from appliance.relay.probe.check import Finding
from tui.widgets.item import TextItem
from tui.wizard.page import Page


class Time(Page):
    NAME: ClassVar[str] = "time"
    TITLE: ClassVar[str] = "Time"
    INTRO: ClassVar[str] = """
Loki refuses lines that are too old or from the future, so the clock must be correct.
Devices that send no time zone are treated as being in this one.
"""
    TEST: ClassVar[str] = "Test"
    HELP: ClassVar[str] = """
Time zone      a name of the IANA database: UTC, Europe/Paris, America/New_York ...
               It is used to read the timestamps of devices that name no zone.
Time servers   names or addresses with commas between. Empty: Debian's pool, which needs
               the way out over UDP port 123; inside a closed network name your own.

Test asks each of them for the time and says how far off this machine's clock is.
"""

    def questions(self) -> Iterable[Widget]:
        get = self.state.answers.get
        yield TextItem(
            "system.timezone", "Time zone", get("system.timezone"), placeholder="UTC", room="name",
            hint="such as Europe/Paris; upper and lower case matter",
        )  # fmt: skip
        yield TextItem(
            "system.ntp.servers", "Time servers", get("system.ntp.servers"), many=True,
            placeholder="Debian's pool", hint="names or addresses, with commas between",
        )  # fmt: skip

    def findings(self) -> Iterator[Finding]:
        config = self.state.answers.draft()
        if config is None:
            raise ApplianceError("not tested", hint="fix what is marked in red first, here or on another page")
        yield from self.state.machine.test_time(config.system.ntp.servers)
