"""The dashboard: looks at the machine every two seconds in a thread, and draws what it saw."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Static

from appliance.errors import ApplianceError
from appliance.host.status.facts import Facts
from appliance.host.status.verdict import Reader, Verdict, judge
from tui.dashboard import pieces
from tui.dashboard.logs import LogList
from tui.dashboard.plot import plot, short
from tui.dashboard.settings import Settings
from tui.dashboard.test import TestMessage
from tui.devices import DeviceList
from tui.state import Sample
from tui.widgets.bars import KeyBar, TitleBar, rule
from tui.widgets.dialog import Dialog, Pager

if TYPE_CHECKING:
    from tui.app import Console

EVERY = 2.0
SPAN = 300.0
HELP = """
V   each part in full, with problems and remedies
S   settings: the setup pages; nothing changes until reviewed and applied
T   sends a test message as a device would, and looks for it in Loki
D   the lines to paste into routers, hypervisors, storage, Linux, Kubernetes
L   logs of this machine's own services
C   keeps a change of the network that would otherwise revert
R   restarts the machine          P   shuts it down          X   a shell

The plot shows lines per second: full blocks came in and went out to Loki; half-tone
blocks came in and wait in the queue; light blocks go out of the queue.
A source is marked silent when nothing came from it for a quarter of an hour.

With the console lock on, S, C, R, P and X ask for the administrator's password.
After ten minutes without a key the dashboard comes back; changes not applied are
discarded.
"""


class Dashboard(Screen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v,enter", "details", show=False),
        Binding("s,f2", "settings", show=False),
        Binding("t,f5", "test", show=False),
        Binding("d", "devices", show=False),
        Binding("l", "logs", show=False),
        Binding("c", "confirm", show=False),
        Binding("r", "restart", show=False),
        Binding("p", "power_off", show=False),
        Binding("x,exclamation_mark", "shell", show=False),
        Binding("f1,question_mark,ctrl+g", "help", show=False),
    ]
    app: "Console"

    def __init__(self) -> None:
        super().__init__()
        self.facts: Facts | None = None
        self.verdict: Verdict | None = None

    def compose(self) -> ComposeResult:
        yield TitleBar("Log forwarder", "looking ...")
        yield Static("", id="picture", markup=False)
        yield KeyBar(
            [("S", "settings"), ("T", "test"), ("D", "devices"), ("L", "logs"), ("R", "restart"),
             ("P", "off"), ("X", "shell"), ("F1", "help")]
        )  # fmt: skip

    def on_mount(self) -> None:
        self._look()
        self.set_interval(EVERY, self._look)

    # ---- looking ----------------------------------------------------------------------------

    def _look(self) -> None:
        # A look that takes longer than the time between two is not started twice.
        if not any(worker.group == "look" and worker.is_running for worker in self.workers):
            self._look_once()

    @work(thread=True, group="look")
    def _look_once(self) -> None:
        facts = self.app.state.machine.facts()
        self.app.call_from_thread(self._looked, facts)

    def _looked(self, facts: Facts) -> None:
        if not self.is_running:
            return
        self.facts, self.verdict = facts, judge(facts, Reader.CONSOLE)
        came, left, spool = pieces.traffic(facts.relay)
        samples = self.app.state.samples
        if samples and samples[-1].when == facts.now:
            samples.pop()
        samples.append(Sample(facts.now, came, left, spool))
        self.draw()

    # ---- drawing ----------------------------------------------------------------------------

    def on_resize(self, event: Resize) -> None:
        self.draw()

    def draw(self) -> None:
        """Draw what was last seen."""
        if self.facts is None or self.verdict is None:
            return
        import time

        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.facts.now))
        # On a smaller screen the picture is cut, not wrapped.
        width, height = max(74, self.size.width - 2), self.size.height - 4
        name = f"{self.facts.hostname}  {', '.join(self.facts.addresses) or 'no address'}"
        self.query_one(TitleBar).set(pieces.cut(name, width - len(clock) - 2), clock)
        self.query_one("#picture", Static).update(Content("\n").join(self._rows(width, height)))

    def _rows(self, width: int, height: int) -> list[Content]:
        assert self.facts is not None and self.verdict is not None
        facts, verdict, state = self.facts, self.verdict, self.app.state
        came, left, spool = pieces.traffic(facts.relay)
        rows = pieces.head(verdict, width)
        rows.append(rule(width, "Parts", "V: in full"))
        rows += pieces.two_columns(pieces.part_cells(verdict, (width - 2) // 2), width)
        room = 2 if height < 30 else 6
        errors = pieces.error_rows(facts.relay, facts.relay_error, width, room)
        middle = max(4, height - len(rows) - len(errors) - 2)
        split = min(width - 48, max(30, width // 2))
        right = width - split - 2
        legend = f"In {short(came)}/s, out {short(left)}/s"
        if split >= 46:
            legend += f", spool {pieces.size(spool)}"
        count = ((facts.relay or {}).get("sources") or {}).get("count", 0)
        rows.append(Content.assemble(rule(split, legend), "  ", rule(right, f"Sources: {count}")))
        chart = plot(list(state.samples), split, middle, facts.now, SPAN)
        sources = pieces.source_rows(facts.relay, facts.now, right, middle)
        for index in range(middle):
            beside = sources[index] if index < len(sources) else Content("")
            rows.append(Content.assemble(chart[index].pad_right(split - len(chart[index].plain)), "  ", beside))
        rows.append(rule(width, "Recent errors"))
        return rows + errors

    # ---- keys -------------------------------------------------------------------------------

    def action_help(self) -> None:
        self.app.push_screen(Pager("Help: dashboard", HELP.strip(), flowing=True))

    def action_details(self) -> None:
        if self.verdict is not None:
            self.app.push_screen(Pager("Parts", pieces.part_details(self.verdict)))

    def action_test(self) -> None:
        self.app.push_screen(TestMessage())

    def action_devices(self) -> None:
        self.app.push_screen(DeviceList())

    def action_logs(self) -> None:
        self.app.push_screen(LogList())

    def action_settings(self) -> None:
        self.app.if_unlocked(self._settings)

    def _settings(self) -> None:
        try:
            self.app.state.begin()
        except ApplianceError as error:
            self.app.push_screen(Pager("The active configuration cannot be read", str(error)))
            return
        self.app.push_screen(Settings())

    def action_confirm(self) -> None:
        if self.facts is not None and self.facts.unconfirmed_until is not None:
            self.app.if_unlocked(self._start_confirm)

    def _start_confirm(self) -> None:
        self._confirm()

    @work(thread=True, group="act")
    def _confirm(self) -> None:
        try:
            self.app.state.machine.confirm()
        except ApplianceError as error:
            self.app.call_from_thread(self.app.push_screen, Pager("Not confirmed", f"{error.message}\n{error.hint}"))

    def action_restart(self) -> None:
        self._ask("Restart", "Restart this machine now?\nSenders over TCP and RELP wait; UDP is lost meanwhile.",
                  "Restart", self.app.state.machine.restart)  # fmt: skip

    def action_power_off(self) -> None:
        self._ask("Power off", "Shut this machine down now?\nNo logs are accepted until it is started again.",
                  "Shut down", self.app.state.machine.power_off)  # fmt: skip

    def _ask(self, title: str, text: str, yes: str, action: Callable[[], str]) -> None:
        def answered(agreed: bool | None) -> None:
            if agreed:
                self._act(title, action)

        def ask() -> None:
            self.app.push_screen(Dialog(title, text, yes=yes), answered)

        self.app.if_unlocked(ask)

    @work(thread=True, group="act")
    def _act(self, title: str, action: Callable[[], str]) -> None:
        if reason := action():
            self.app.call_from_thread(self.app.push_screen, Pager(f"{title} did not work", reason))

    def action_shell(self) -> None:
        self.app.if_unlocked(self._shell)

    def _shell(self) -> None:
        with self.app.suspend():
            self.app.state.machine.shell()
