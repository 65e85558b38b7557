"""The settings: the wizard's pages to choose from, then review and apply."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from tui.pages import BY_NAME, SETTINGS
from tui.widgets.bars import Body, KeyBar, TitleBar
from tui.widgets.dialog import Dialog
from tui.widgets.entry import PushButton
from tui.widgets.menu import Menu
from tui.wizard.review import Review

_WORDS = {
    "keyboard": ("Keyboard", "layout of the keys"),
    "network": ("Network", "name, addresses, name servers, VLAN, proxy"),
    "time": ("Time", "zone and time servers"),
    "loki": ("Loki", "address, tenant, credentials, authority; with a test"),
    "listeners": ("Listeners", "how devices may send"),
    "tls": ("Certificates", "of this machine, and of senders"),
    "administrator": ("Administrator", "password, SSH keys, console lock"),
}


class Settings(Menu):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("f10,ctrl+n", "review", show=False)]

    def compose(self) -> ComposeResult:
        yield TitleBar("Log forwarder  settings")
        with Body(id="body"):
            yield Static("Nothing changes until you review and apply it.\n", classes="text", markup=False)
            for page in SETTINGS:
                title, words = _WORDS[page.NAME]
                yield PushButton(f"{title:14} {words:52}", id=f"page-{page.NAME}")
            yield Static("", classes="gap")
            yield PushButton("Review and apply", id="page-review")
        yield KeyBar([("Up Down", "choose"), ("Enter", "open"), ("F10", "review and apply"), ("Esc", "back")])

    def on_mount(self) -> None:
        self.before = self.app.state.answers.text()

    def on_push_button_pressed(self, event: PushButton.Pressed) -> None:
        name = (event.button.id or "").removeprefix("page-")
        self.app.push_screen(Review() if name == "review" else BY_NAME[name]())

    def action_review(self) -> None:
        self.app.push_screen(Review())

    def action_leave(self) -> None:
        if self.app.state.answers.text() == self.before:
            self.app.show_dashboard()
            return

        def answered(leave: bool | None) -> None:
            if leave:
                self.app.show_dashboard()

        text = "You changed settings that were not applied.\nDiscard these changes?"
        self.app.push_screen(Dialog("Not applied", text, yes="Discard", no="Stay"), answered)
