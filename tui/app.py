"""The program on the console: which screen comes when. Screens are elsewhere, what they know is `state.py`."""

from collections.abc import Callable
from time import monotonic
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.events import Event, InputEvent, Paste
from textual.scrollbar import ScrollBar

from tui.glyphs import ConsoleFont
from tui.machine import Machine
from tui.pages import BY_NAME, PAGES
from tui.state import State
from tui.terminal import ConsoleDriver
from tui.widgets.bars import PlainScrollBar
from tui.widgets.dialog import AskPassword
from tui.wizard.apply import ApplyPage
from tui.wizard.done import Done
from tui.wizard.page import Page
from tui.wizard.review import Review
from tui.wizard.welcome import Welcome

NAME = "Log forwarder"
IDLE = 600.0
"""Seconds without a key after which settings, and whatever else was opened, give way to the dashboard."""


class Console(App[int]):
    """`wizard`: only set up, then end. Else the dashboard, with the wizard before it when nothing is set up."""

    CSS_PATH = "look.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "leave", show=False, priority=True, system=True),
        Binding("ctrl+l", "redraw", show=False, priority=True),
    ]

    def __init__(self, machine: Machine, *, wizard: bool = False, state: State | None = None) -> None:
        super().__init__(ansi_color=True, driver_class=ConsoleDriver)
        self.theme = "ansi-dark"
        # What a console font lacks would be a small square.
        self._filters.append(ConsoleFont())
        ScrollBar.renderer = PlainScrollBar
        self.wizard = wizard
        self.state = state or State(machine)
        self._given = state is not None
        self._last_key = monotonic()
        self._keyboard = ("us", "")

    def on_mount(self) -> None:
        self.set_interval(IDLE / 100, self._leave_when_idle)
        if not self._given:
            self.state.begin()
        if self.wizard or self.state.first:
            self.load_keyboard()
            self.push_screen(BY_NAME.get(self.state.answers.page, Welcome)())
        else:
            self.show_dashboard()

    # ---- from page to page ------------------------------------------------------------------

    def name_of_console(self, first: bool) -> str:
        return f"{NAME}  setup" if first else f"{NAME}  settings"

    def place_of(self, page: Page) -> str:
        """Return where in the wizard a page is."""
        place = f"{PAGES.index(type(page)) + 1} of {len(PAGES)}  " if self.state.first else ""
        return f"{place}{page.TITLE}"

    def go_on(self, page: Page) -> None:
        """Show what comes after a page; the answers are kept first. Raise ApplianceError when they cannot be."""
        if isinstance(page, Done):
            self._finished()
        elif not self.state.first and not isinstance(page, (Review, ApplyPage)):
            self.pop_screen()  # back to the list of settings
        else:
            following = PAGES[PAGES.index(type(page)) + 1]
            if not isinstance(page, (Review, ApplyPage)):
                self.state.keep(following.NAME)
            self.switch_screen(following())

    def go_back(self, page: Page) -> None:
        if isinstance(page, Done):
            self._finished()
        elif not self.state.first:
            self.pop_screen()
        elif (index := PAGES.index(type(page))) > 0:
            self.switch_screen(PAGES[index - 1]())

    def _finished(self) -> None:
        if self.wizard:
            self.exit(0)
        else:
            self.show_dashboard()

    def show_dashboard(self) -> None:
        """Show the dashboard in place of everything else."""
        from tui.dashboard.screen import Dashboard

        while len(self.screen_stack) > 2:
            self.pop_screen()
        if len(self.screen_stack) == 2:
            self.switch_screen(Dashboard())
        else:
            self.push_screen(Dashboard())

    def load_keyboard(self) -> None:
        """Load the layout that was answered, in the background: what is typed from here on is what is meant."""
        get, machine = self.state.answers.get, self.state.machine
        wanted = (str(get("system.keyboard.layout") or "us"), str(get("system.keyboard.variant") or ""))
        if self.state.first and wanted != self._keyboard:
            self._keyboard = wanted
            self.run_worker(lambda: machine.load_keyboard(*wanted), thread=True, group="keyboard", exclusive=True)

    # ---- nobody there -----------------------------------------------------------------------

    async def on_event(self, event: Event) -> None:
        """Record that somebody is present, then handle the event as Textual does."""
        if isinstance(event, (InputEvent, Paste)):
            self._last_key = monotonic()
        await super().on_event(event)

    def _leave_when_idle(self) -> None:
        """Go back to the dashboard when nobody has pressed a key for long: an unlocked console does not stay open.

        The first setup waits forever, and so does a change that is being applied.
        """
        if monotonic() - self._last_key < IDLE or self.wizard or self.state.first:
            return
        busy = any(isinstance(screen, ApplyPage) and screen.busy for screen in self.screen_stack)
        if len(self.screen_stack) > 2 and not busy:
            self.show_dashboard()

    # ---- guarded actions --------------------------------------------------------------------

    def if_unlocked(self, action: Callable[[], None]) -> None:
        """Do something that changes the machine: after the administrator's password, when the console is locked."""
        machine = self.state.machine
        if not machine.is_locked():
            action()
            return

        def answered(right: bool | None) -> None:
            if right:
                action()

        self.push_screen(AskPassword(machine.password_is_right), answered)

    def action_leave(self) -> None:
        """Leave the program; on the machine's own console it comes again at once."""
        self.exit(0)

    def action_help_quit(self) -> None:
        """Ctrl+C does nothing: nobody leaves a console by accident."""

    def action_redraw(self) -> None:
        """Redraw everything, in case something else has written over it."""
        self.refresh(repaint=True, layout=True)
