"""What all pages have in common: title, words, questions, buttons; where an answer goes, why one is refused.

A page never decides what is right: it shows what the configuration's own checks say about its answers.
"""

import copy
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import DescendantFocus
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, Static

from appliance.config.problems import Problem
from appliance.errors import ApplianceError
from appliance.relay.probe.check import Finding
from tui.state import State
from tui.widgets.bars import Body, KeyBar, TitleBar
from tui.widgets.dialog import Pager
from tui.widgets.entry import PushButton
from tui.widgets.findings import FindingList
from tui.widgets.item import Item, TextItem

if TYPE_CHECKING:
    from tui.app import Console

MOVING = """

Keys
  Tab, Down        next field            Shift+Tab, Up    field before
  Left, Right      choose                Space            tick
  Enter            next field, or press the button that has the focus
  F10, Ctrl+N      next page, done       Esc              back, cancel
  F5, Ctrl+T       test                  F1, Ctrl+G, ?    this help
On a serial line, where function keys may not arrive, the Ctrl keys do the same.
"""


def flowing(text: str) -> str:
    """Return paragraphs without the line ends of the source, to be wrapped as wide as the screen is."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


class Page(Screen[None]):
    """A page of the wizard, or of the settings."""

    NAME: ClassVar[str] = ""
    TITLE: ClassVar[str] = ""
    INTRO: ClassVar[str] = ""
    HELP: ClassVar[str] = ""
    TEST: ClassVar[str] = ""
    NEXT: ClassVar[str] = "Next"
    ANSWERS: ClassVar[bool] = True  # whether it takes answers, that Esc discards among the settings
    MORE_KEYS: ClassVar[list[tuple[str, str]]] = []

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
        Binding("f1,ctrl+g,question_mark", "help", show=False),
        Binding("f5,ctrl+t", "test", show=False),
        Binding("f10,ctrl+n", "next", show=False),
        Binding("escape", "back", show=False),
    ]

    app: "Console"
    _soon: Timer | None = None

    @property
    def state(self) -> State:
        return self.app.state

    # ---- what a page says for itself --------------------------------------------------------

    def questions(self) -> Iterable[Widget]:
        """Return what is asked."""
        return ()

    def findings(self) -> Iterator[Finding]:
        """Yield what the test finds; runs in a thread. Raise ApplianceError when it cannot be tested."""
        yield from ()

    def answered(self, item: Item, value: Any) -> None:
        """Take an answer; by default it goes where the question says."""
        if item.path:
            self.state.answers.put(item.path, value)

    def extra_problems(self) -> list[Problem]:
        """Return problems that are not part of the configuration, such as two passwords that differ."""
        return []

    def waived(self, problem: Problem) -> bool:
        """Return whether a problem of the configuration will be gone when this page is left."""
        return False

    def before_test(self) -> None:
        """Do what must be done before the test. Raise ApplianceError to leave it."""

    def leave(self) -> None:
        """Do what must be done before the next page. Raise ApplianceError to stay."""

    # ---- picture ----------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield TitleBar(self.app.name_of_console(self.state.first), self.app.place_of(self))
        yield Static(flowing(self.INTRO), id="intro", markup=False)
        with Body(id="body"):
            yield from self.questions()
            yield FindingList(id="findings")
        yield Static("", id="hint", markup=False)
        with Horizontal(id="buttons"):
            settings = not self.state.first and self.ANSWERS
            done = not self.state.first and self.NEXT == Page.NEXT
            yield PushButton("Done" if done else self.NEXT, id="next")
            if self.TEST:
                yield PushButton(self.TEST, id="test")
            yield PushButton("Cancel" if settings else "Back", id="back")
            yield PushButton("Help", id="help")
        test = [("F5", "test")] if self.TEST else []
        keys = [*test, *self.MORE_KEYS]
        onward = "done" if done else self.NEXT.lower() if self.NEXT != Page.NEXT else "next page"
        back = "cancel" if settings else "back"
        yield KeyBar([("Tab", "next field"), ("F10", onward), *keys, ("Esc", back), ("F1", "help")])

    def on_mount(self) -> None:
        self._before = copy.deepcopy(self.state.answers.tree)
        self.review_answers()
        # Vertical: the first question, or the button that goes on when nothing is asked.
        entries = [item for item in self.query(Item) if item.display]
        if entries:
            self.focus_item(entries[0])
        else:
            self.query_one("#next").focus()

    def focus_item(self, item: Item) -> None:
        next(child for child in item.query("*") if child.focusable).focus()

    @on(DescendantFocus)
    def _focused(self, event: DescendantFocus) -> None:
        item = next((one for one in event.widget.ancestors if isinstance(one, Item)), None)
        self.query_one("#hint", Static).update(item.hint if item else "")

    # ---- answers ----------------------------------------------------------------------------

    @on(Item.Answered)
    def _answered(self, event: Item.Answered) -> None:
        self.answered(event.item, event.value)
        self.say(event.item.hint)
        if self._soon is not None:
            self._soon.stop()
            self._soon = None
        # Typing stays quick on a slow machine: it is judged when the fingers rest.
        if isinstance(event.item, TextItem):
            self._soon = self.set_timer(0.15, self.review_answers)
        else:
            self.review_answers()

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.app.action_focus_next()

    def review_answers(self, *, everything: bool = False) -> list[Item]:
        """Show problems beside each question. Return the questions that are refused.

        What nobody has touched yet is not blamed for being empty, unless `everything` is asked for.
        """
        if self._soon is not None:
            self._soon.stop()
            self._soon = None
        problems = [*self.extra_problems(), *(one for one in self.state.problems() if not self.waived(one))]
        refused = []
        for item in self.query(Item):
            asked = item.when is None or item.when(self.state.answers)
            if item.display != asked:
                item.display = asked
            found = next((problem for problem in problems if item.concerns(problem)), None)
            if item.display and found is not None and found.severity == "error":
                refused.append(item)
            item.touched = item.touched or everything
            item.show(found if item.touched or (found and found.value) else None)
        return refused

    # ---- keys -------------------------------------------------------------------------------

    @on(PushButton.Pressed)
    async def _pressed(self, event: PushButton.Pressed) -> None:
        await self.run_action(f"{event.button.id}")

    def action_help(self) -> None:
        self.app.push_screen(Pager(f"Help: {self.TITLE}", self.HELP.strip() + MOVING, flowing=True))

    def action_back(self) -> None:
        """Go back; out of one of the settings without what was typed there."""
        if not self.state.first and self.ANSWERS:
            self.state.answers.tree = self._before
        self.app.go_back(self)

    def action_next(self) -> None:
        if refused := self.review_answers(everything=True):
            self.focus_item(refused[0])
            self.say("Fix what is marked in red first.")
            return
        try:
            self.leave()
            self.app.go_on(self)
        except ApplianceError as error:
            self.say(f"{error.message}: {error.hint}")

    def say(self, text: str) -> None:
        """Show a message in the line above the buttons."""
        self.query_one("#hint", Static).update(text)

    # ---- test -------------------------------------------------------------------------------

    def action_test(self) -> None:
        if not self.TEST:
            return
        if refused := self.review_answers(everything=True):
            self.focus_item(refused[0])
            self.say("Fix what is marked in red first, then test.")
            return
        try:
            self.before_test()
        except ApplianceError as error:
            self.say(f"{error.message}: {error.hint}")
            return
        self.query_one(FindingList).fill(self.findings, "testing ...")
