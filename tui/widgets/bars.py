"""The frame of a screen: a title above, the keys below, each with a rule, and the scroll bar."""

from collections.abc import Sequence
from typing import ClassVar

from textual.containers import VerticalScroll
from textual.content import Content
from textual.scrollbar import ScrollBarRender
from textual.widgets import Static

RULE = "ansi_cyan"


def rule(width: int, caption: str = "", at_end: str = "") -> Content:
    """Return a line of the given width, with captions at its beginning and its end."""
    left = f"─ {caption} "[:width] if caption else ""
    right = f" {at_end} ─" if at_end and len(left) + len(at_end) + 4 <= width else ""
    return Content.styled(left + "─" * (width - len(left) - len(right)) + right, RULE)


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
        keys = self._keys
        while keys and _length(keys, 2) > width:
            keys = keys[:-1]
        gap = " " * (3 if _length(keys, 3) <= width else 2)
        parts = [
            Content.assemble((key, "ansi_bright_white bold"), (f" {word}{gap}", "ansi_white")) for key, word in keys
        ]
        return Content.assemble(rule(width), "\n", *parts)


def _length(keys: Sequence[tuple[str, str]], gap: int) -> int:
    return sum(len(key) + 1 + len(word) for key, word in keys) + gap * (len(keys) - 1)


class Body(VerticalScroll, inherit_bindings=False, can_focus=False):
    """What is between title and keys, scrolled by what has the focus: the arrows go from field to field."""


class PlainScrollBar(ScrollBarRender):
    """A scroll bar without eighths of blocks, which console fonts lack."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "]
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "]
