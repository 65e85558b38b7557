"""A test message: sent as a device would, looked for in Loki, step by step."""

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Static

from tui.widgets.bars import Body, KeyBar, TitleBar
from tui.widgets.findings import FindingList

if TYPE_CHECKING:
    from tui.app import Console


class TestMessage(Screen[None]):
    __test__ = False  # no test of pytest's

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", show=False),
        Binding("t,f5,enter", "again", show=False),
    ]
    app: "Console"

    def compose(self) -> ComposeResult:
        yield TitleBar("Test message")
        with Body(id="body"):
            yield Static(
                "A line is sent to this machine as a device would send it, and looked for in Loki.", classes="text"
            )
            yield FindingList()
        yield KeyBar([("T", "once more"), ("Esc", "back")])

    def on_mount(self) -> None:
        self.action_again()

    def action_again(self) -> None:
        """Send one, unless one is under way."""
        findings = self.query_one(FindingList)
        if not findings.filling:
            findings.fill(self.app.state.machine.test_message, "sending, and looking in Loki ...")
