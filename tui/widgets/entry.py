"""What is filled in by keys: a line of text, one of several choices, a button."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input


class Entry(Input):
    """A line of text; Up and Down leave it, where a text longer than the field would be scrolled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, value: str, *, placeholder: str = "", secret: bool = False) -> None:
        super().__init__(value, placeholder=placeholder, password=secret, compact=True, select_on_focus=False)
        self.cursor_blink = False


class Choice(Widget, can_focus=True):
    """One of several; the arrows or Space choose, Enter continues."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", show=False),
        Binding("right,space", "step(1)", show=False),
        Binding("enter", "app.focus_next", show=False),
    ]

    class Chosen(Message):
        def __init__(self, choice: "Choice", value: str) -> None:
            super().__init__()
            self.choice, self.value = choice, value

        @property
        def control(self) -> "Choice":
            return self.choice

    def __init__(self, options: list[tuple[str, str]], value: str) -> None:
        """Options are pairs of value and words."""
        super().__init__()
        self.options = options
        self.value = value if value in dict(options) else options[0][0]

    def action_step(self, by: int) -> None:
        values = [value for value, _ in self.options]
        self.value = values[(values.index(self.value) + by) % len(values)]
        self.refresh()
        self.post_message(self.Chosen(self, self.value))

    def render(self) -> Content:
        parts: list[Content] = []
        for value, words in self.options:
            chosen = value == self.value
            style = "ansi_black on ansi_cyan" if chosen and self.has_focus else ""
            style = style or ("ansi_bright_white bold" if chosen else "ansi_white")
            parts += [Content.styled(f"({'*' if chosen else ' '}) {words}", style), Content("   ")]
        return Content.assemble(*parts)


class Tick(Choice):
    """On or off: Space or the arrows change it."""

    def __init__(self, words: str, on: bool) -> None:
        super().__init__([("on", words), ("off", words)], "on" if on else "off")

    def render(self) -> Content:
        words = self.options[0][1]
        style = "ansi_black on ansi_cyan" if self.has_focus else "ansi_white"
        style = "ansi_bright_white bold" if self.value == "on" and not self.has_focus else style
        return Content.styled(f"[{'x' if self.value == 'on' else ' '}] {words}", style)


class PushButton(Widget, can_focus=True):
    """A word in brackets that Enter presses."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "press", show=False),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    class Pressed(Message):
        def __init__(self, button: "PushButton") -> None:
            super().__init__()
            self.button = button

        @property
        def control(self) -> "PushButton":
            return self.button

    def __init__(self, words: str, *, id: str) -> None:
        super().__init__(id=id)
        self.words = words

    def action_press(self) -> None:
        self.post_message(self.Pressed(self))

    def render(self) -> str:
        return f"[ {self.words} ]".replace("[", r"\[")
