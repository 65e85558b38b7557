"""The steps of a test or of an apply, one a line, as they come: what was looked at, how it is, what to do."""

from dataclasses import dataclass

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

    def _draw(self) -> None:
        width = max((len(line.name) for line in self.lines), default=0) + 2
        rows: list[Content] = []
        for line in self.lines:
            word, style = MARKS[line.mark]
            rows.append(Content.assemble((word, style), f" {line.name:{width}}{line.detail}"))
            if line.remedy:
                rows.append(Content.styled(f"{'':7}{'':{width}}-> {line.remedy}", "ansi_bright_yellow"))
        self.update(Content("\n").join(rows))
