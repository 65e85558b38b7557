"""The steps of a test or of an apply, one a line, as they come: what was checked, its state, what to do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from textwrap import wrap

from textual import work
from textual.content import Content
from textual.widgets import Static

from appliance.errors import ApplianceError
from appliance.host.status.remedy import Reader, addressed
from appliance.relay.probe.check import Finding
from appliance.severity import OF_FINDING, WIDTH
from tui.widgets.bars import Body

MARKS = {
    "ok": (f"{OF_FINDING[True]:{WIDTH}}", "ansi_bright_green"),
    "doubt": (f"{OF_FINDING[None]:{WIDTH}}", "ansi_bright_yellow"),
    "bad": (f"{OF_FINDING[False]:{WIDTH}}", "ansi_bright_red"),
    "busy": (f"{'....':{WIDTH}}", "ansi_cyan"),
}


@dataclass(frozen=True, slots=True)
class Line:
    mark: str
    name: str
    detail: str = ""
    remedy: str = ""


def mark_of(ok: bool | None) -> str:
    """Return the mark of a finding."""
    return {True: "ok", None: "doubt", False: "bad"}[ok]


class FindingList(Static):
    """Lines by name: one that comes again takes the place of the one before, when that was still busy."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: list[Line] = []

    def put(self, line: Line) -> None:
        """Show a line, if anybody is still looking at this list."""
        if not self.is_running:
            return
        self._drop_busy()
        self.lines.append(line)
        self._draw()
        for above in self.ancestors:
            if isinstance(above, Body):
                above.scroll_end(animate=False)

    def fill(self, findings: Callable[[], Iterator[Finding]], busy: str) -> None:
        """Show findings as they come, replacing earlier ones; `busy` says what is done meanwhile.

        The findings are made in a thread: the screen keeps answering keys.
        """
        self.lines = []
        self._draw()
        self._fill(findings, busy)

    @property
    def filling(self) -> bool:
        """Return whether something is still being looked for."""
        return any(worker.is_running and worker.node is self for worker in self.workers)

    @work(thread=True, exclusive=True, group="findings")
    def _fill(self, findings: Callable[[], Iterator[Finding]], busy: str) -> None:
        call = self.app.call_from_thread
        try:
            call(self.put, Line("busy", "", busy))
            for finding in findings():
                call(self.put, Line(mark_of(finding.ok), finding.step, finding.detail, finding.remedy))
                call(self.put, Line("busy", "", busy))
            call(self._end)
        except ApplianceError as error:
            call(self.put, Line("bad", "test", error.message, error.hint))
        except (OSError, ValueError) as error:
            call(self.put, Line("bad", "test", str(error)))

    def _end(self) -> None:
        self._drop_busy()
        self._draw()

    def _drop_busy(self) -> None:
        if self.lines and self.lines[-1].mark == "busy":
            self.lines.pop()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        names = max((len(line.name) for line in self.lines), default=0) + 2
        # What is longer than the line goes on below its beginning.
        room = max(20, (self.size.width or 80) - len(MARKS["ok"][0]) - 1 - names)
        rows: list[Content] = []
        for line in self.lines:
            word, style = MARKS[line.mark]
            first, *more = wrap(line.detail, room) or [""]
            rows.append(Content.assemble((word, style), f" {line.name:{names}}{first}"))
            rows += [Content(f"{'':{WIDTH + 1}}{'':{names}}{text}") for text in more]
            remedy = addressed(line.remedy, Reader.CONSOLE)
            for index, text in enumerate(wrap(remedy, room - 3)):
                arrow = "-> " if index == 0 else "   "
                rows.append(Content.styled(f"{'':{WIDTH + 1}}{'':{names}}{arrow}{text}", "ansi_bright_yellow"))
        self.update(Content("\n").join(rows))
