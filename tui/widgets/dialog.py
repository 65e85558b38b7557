"""Small windows over a screen: a question with two answers, the password, text to read."""

from collections.abc import Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from tui.widgets.bars import KeyBar, TitleBar
from tui.widgets.entry import Entry, PushButton
from tui.widgets.reading import fit, flow


class Dialog(ModalScreen[bool]):
    """A question; Esc means no, and no has the focus at first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "no", show=False),
        Binding("down,tab", "app.focus_next", show=False),
        Binding("up,shift+tab", "app.focus_previous", show=False),
    ]

    def __init__(self, title: str, text: str, *, yes: str, no: str = "Cancel", prefer_yes: bool = False) -> None:
        super().__init__()
        self.title_, self.text, self.yes, self.no = title, text, yes, no
        self.prefer_yes = prefer_yes

    def compose(self) -> ComposeResult:
        with Vertical(id="window") as window:
            window.border_title = self.title_
            yield Static(self.text, id="text", classes="text", markup=False)
            yield Static("", classes="gap")
            yield from self.fields()
            with Horizontal(id="buttons"):
                yield PushButton(self.no, id="no")
                yield PushButton(self.yes, id="yes")

    def fields(self) -> ComposeResult:
        """Yield what is asked between the text and the buttons."""
        yield from ()

    def on_mount(self) -> None:
        if not self.query(Entry):
            self.query_one("#yes" if self.prefer_yes else "#no").focus()

    def accept(self) -> None:
        self.dismiss(True)

    @on(PushButton.Pressed, "#yes")
    def _yes(self) -> None:
        self.accept()

    @on(PushButton.Pressed, "#no")
    def action_no(self) -> None:
        self.dismiss(False)


class AskPassword(Dialog):
    """Asks for the administrator's password; `is_right` may take its time."""

    def __init__(self, is_right: Callable[[str], bool]) -> None:
        super().__init__("Locked", "The console is locked. Administrator's password:", yes="Unlock")
        self.is_right = is_right

    def fields(self) -> ComposeResult:
        yield Entry("", secret=True)
        yield Static("", id="wrong", classes="text", markup=False)

    @on(Entry.Submitted)
    def submitted(self) -> None:
        self.accept()

    def accept(self) -> None:
        self.query_one("#wrong", Static).update("...")
        self._try(self.query_one(Entry).value)

    @work(thread=True, exclusive=True)
    def _try(self, password: str) -> None:
        right = self.is_right(password)
        self.app.call_from_thread(self._tried, right)

    def _tried(self, right: bool) -> None:
        if right:
            self.dismiss(True)
            return
        entry = self.query_one(Entry)
        entry.value = ""
        entry.focus()
        self.query_one("#wrong", Static).update("That is not the administrator's password.")


class Pager(Screen[None]):
    """Text to read; the arrows and PgUp, PgDn move, Esc goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,f1,question_mark,ctrl+g", "back", show=False),
    ]

    def __init__(self, title: str, text: str = "", *, at_end: bool = False, flowing: bool = False) -> None:
        """`flowing` text is prose of ours, to be as wide as the screen; other text keeps its lines."""
        super().__init__()
        self.title_, self.text, self.at_end, self.flowing = title, text, at_end, flowing

    def compose(self) -> ComposeResult:
        yield TitleBar(self.title_)
        with VerticalScroll(id="pager"):
            yield Static("", id="pages", classes="text", markup=False)
        yield KeyBar([("Esc", "back"), ("Up Down PgUp PgDn", "move")])

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        width = max(20, self.size.width - 3)  # a margin at each side, and the scroll bar
        self.query_one("#pages", Static).update((flow if self.flowing else fit)(self.text, width))

    def on_mount(self) -> None:
        self._draw()
        self.query_one("#pager").focus()
        if self.at_end:
            self.call_after_refresh(self._to_end)

    def show(self, text: str) -> None:
        """Show another text."""
        self.text = text
        self._draw()
        if self.at_end:
            self.call_after_refresh(self._to_end)

    def _to_end(self) -> None:
        self.query_one("#pager", VerticalScroll).scroll_end(animate=False)

    def action_back(self) -> None:
        self.dismiss(None)
