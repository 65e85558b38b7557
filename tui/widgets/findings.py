"""The steps of a test or of an apply, one a line, as they come: what was looked at, how it is, what to do."""

from dataclasses import dataclass
from textwrap import wrap

from textual.content import Content
from textual.widgets import Static

MARKS = {
    "ok": ("  ok  ", "ansi_bright_green"),
    "doubt": (" look ", "ansi_bright_yellow"),
    "bad": ("  no  ", "ansi_bright_red"),
    "busy": (" .... ", "ansi_cyan"),
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

    def clear(self) -> None:
        self.lines = []
        self._draw()

    def put(self, line: Line) -> None:
        last = self.lines[-1] if self.lines else None
        if last is not None and last.mark == "busy":
            self.lines.pop()
        self.lines.append(line)
        self._draw()

    def end(self) -> None:
        """Nothing more comes."""
        if self.lines and self.lines[-1].mark == "busy":
            self.lines.pop()
        self._draw()

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
            rows += [Content(f"{'':7}{'':{names}}{text}") for text in more]
            for index, text in enumerate(wrap(line.remedy, room - 3)):
                arrow = "-> " if index == 0 else "   "
                rows.append(Content.styled(f"{'':7}{'':{names}}{arrow}{text}", "ansi_bright_yellow"))
        self.update(Content("\n").join(rows))
