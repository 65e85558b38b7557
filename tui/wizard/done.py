"""Setup is done: what to do next, with the lines to paste into devices."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from appliance.relay.probe.check import Finding
from tui.devices import DeviceList, summary
from tui.wizard.page import Page


class Done(Page):
    NAME: ClassVar[str] = "done"
    ANSWERS: ClassVar[bool] = False
    TITLE: ClassVar[str] = "Done"
    INTRO: ClassVar[str] = "This machine forwards logs now. Next, configure your devices to send to it:"
    TEST: ClassVar[str] = "Send a test line"
    NEXT: ClassVar[str] = "Dashboard"
    HELP: ClassVar[str] = """
D shows the exact lines for each kind of device, with this machine's address.
The test sends a line as a device would and looks for it in Loki.
The dashboard shows which devices send, how much, and whether Loki takes it all.
"""
    BINDINGS: ClassVar[list[BindingType]] = [Binding("d", "devices", show=False)]

    def questions(self) -> Iterable[Widget]:
        yield Static("", id="next-steps", classes="text", markup=False)

    def on_mount(self) -> None:
        self.query_one("#next").focus()
        self._look()

    @work(thread=True, group="look")
    def _look(self) -> None:
        facts = self.state.machine.facts()
        config = self.state.answers.draft()
        address = facts.addresses[0] if facts.addresses else "ADDRESS"
        text = summary(config, address) if config else ""
        self.app.call_from_thread(self._looked, f"{text}\n\nD: the lines for each kind of device")

    def _looked(self, text: str) -> None:
        if self.is_running:
            self.query_one("#next-steps", Static).update(text)

    def action_devices(self) -> None:
        self.app.push_screen(DeviceList())

    def findings(self) -> Iterator[Finding]:
        yield from self.state.machine.test_message()
