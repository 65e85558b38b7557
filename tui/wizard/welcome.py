"""First page: what this is, what is about to be asked, and the keyboard; in the settings the keyboard alone."""

from collections.abc import Iterable
from typing import ClassVar

from textual.widget import Widget

from tui.widgets.item import TextItem
from tui.wizard.page import Page


class Welcome(Page):
    NAME: ClassVar[str] = "welcome"
    TITLE: ClassVar[str] = "Welcome"
    INTRO: ClassVar[str] = """
This machine receives the logs of your devices and forwards every line to Grafana Loki.

It will ask for: network, time, Loki, listeners, certificates, and who
administers it. That takes about five minutes. Nothing is changed before you
have seen and confirmed a summary. Answers are kept if the machine is restarted.

You need: the address of your Loki, and its user and password or token, if it needs them.
"""
    HELP: ClassVar[str] = """
The keyboard's layout is asked first, so that what you type next comes out right.
It is an XKB layout: us, gb, fr, de, ch, es, it, be, dk, no, se and many more.
On the screen of the machine it takes effect when this page is left, after a moment.
A serial line and SSH use the keyboard of the computer you sit at.
"""

    def questions(self) -> Iterable[Widget]:
        answers = self.state.answers
        yield TextItem(
            "system.keyboard.layout", "Keyboard layout", answers.get("system.keyboard.layout"), placeholder="us",
            room="name", hint="XKB layout, such as us, gb, fr, de, ch, es",
        )  # fmt: skip
        yield TextItem(
            "system.keyboard.variant", "Variant", answers.get("system.keyboard.variant"), room="name",
            hint="usually empty; such as nodeadkeys or bepo",
        )  # fmt: skip

    def leave(self) -> None:
        self.app.load_keyboard()


class Keyboard(Welcome):
    """The keyboard among the settings."""

    NAME: ClassVar[str] = "keyboard"
    TITLE: ClassVar[str] = "Keyboard"
    INTRO: ClassVar[str] = "The keyboard layout of this machine's own console."
    HELP: ClassVar[str] = """
It is an XKB layout: us, gb, fr, de, ch, es, it, be, dk, no, se and many more.
On the screen of the machine it takes effect when the settings are applied.
A serial line and SSH use the keyboard of the computer you sit at.
"""
