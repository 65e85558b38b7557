"""A test message: sent as a device would, looked for in Loki, step by step."""

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Static

from appliance.errors import ApplianceError
from tui.widgets.bars import Body, KeyBar, TitleBar
from tui.widgets.findings import FindingList, Line, mark_of

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
        if not any(worker.is_running for worker in self.workers):
            self.query_one(FindingList).clear()
            self._test()

    @work(thread=True, exclusive=True)
    def _test(self) -> None:
        self.app.call_from_thread(self._show, Line("busy", "", "sending, and looking in Loki ..."))
        try:
            for finding in self.app.state.machine.test_message():
                self.app.call_from_thread(
                    self._show, Line(mark_of(finding.ok), finding.step, finding.detail, finding.remedy)
                )
                self.app.call_from_thread(self._show, Line("busy", "", "looking in Loki ..."))
        except ApplianceError as error:
            self.app.call_from_thread(self._show, Line("bad", "test", error.message, error.hint))
        except (OSError, ValueError) as error:
            self.app.call_from_thread(self._show, Line("bad", "test", str(error)))
        self.app.call_from_thread(self._end)

    def _show(self, line: Line) -> None:
        if self.is_running:
            self.query_one(FindingList).put(line)

    def _end(self) -> None:
        if self.is_running:
            self.query_one(FindingList).end()
