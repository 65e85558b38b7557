"""The frame of a screen: a title above, the keys below, each with a rule, and the scroll bar."""

from collections.abc import Sequence
from typing import ClassVar

from textual.containers import VerticalScroll
from textual.content import Content
from textual.scrollbar import ScrollBarRender
from textual.widgets import Static

RULE = "ansi_cyan"


def rule(width: int, caption: str = "") -> Content:
    """Return a line of the given width, with a caption at its beginning."""
    if not caption:
        return Content.styled("─" * width, RULE)
    left = f"─ {caption} "[:width]
    return Content.styled(left + "─" * (width - len(left)), RULE)


class TitleBar(Static):
    """What this screen is, at the left; where one is, at the right."""

    def __init__(self, left: str, right: str = "") -> None:
        super().__init__()
        self._left, self._right = left, right

    def set(self, left: str, right: str) -> None:
        self._left, self._right = left, right
        self.refresh()

    def render(self) -> Content:
        width = self.content_size.width
        left = self._left[: max(0, width - len(self._right) - 1)]
        gap = " " * max(1, width - len(left) - len(self._right))
        return Content.assemble((left, "ansi_bright_white bold"), gap, (self._right, "ansi_white"), "\n", rule(width))


class KeyBar(Static):
    """The keys that do something here; those that do not fit are in the help (F1)."""

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._keys = list(keys)

    def set(self, keys: Sequence[tuple[str, str]]) -> None:
        self._keys = list(keys)
        self.refresh()

    def render(self) -> Content:
        width = self.content_size.width
        parts: list[Content] = []
        used = 0
        for key, word in self._keys:
            if used + len(key) + len(word) + 1 > width:
                break
            parts.append(Content.assemble((key, "ansi_bright_white bold"), (f" {word}   ", "ansi_white")))
            used += len(key) + len(word) + 4
        return Content.assemble(rule(width), "\n", *parts)


class Body(VerticalScroll, inherit_bindings=False, can_focus=False):
    """What is between title and keys, scrolled by what has the focus: the arrows go from field to field."""


class PlainScrollBar(ScrollBarRender):
    """A scroll bar without eighths of blocks, which console fonts lack."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "]
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "]
