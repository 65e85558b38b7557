"""What can be drawn: the glyphs that every console font has, and keeping all output to them.

A virtual machine's screen shows 256 or 512 glyphs and sixteen colors. Whatever is not among them,
in a log line for instance, is replaced here, so that it cannot spoil the picture.
"""

from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

LINES = "─│┌┐└┘├┤┬┴┼"
BLOCKS = "█▒░"
LATIN_1 = "".join(chr(code) for code in range(0xA1, 0x100) if code != 0xAD)
ASCII = "".join(chr(code) for code in range(0x20, 0x7F))
DRAWABLE = frozenset(ASCII + LATIN_1 + LINES + BLOCKS)

_SPELLED = str.maketrans({
    "\xa0": " ", "…": "~", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "•": "*", "→": ">",
    "✓": "+", "✗": "x", "━": "─", "┃": "│", "▄": "█", "▀": "█", "€": "E", "\t": " ",
})  # fmt: skip


@lru_cache(4096)
def drawable(text: str) -> str:
    """Return the text with nothing in it that a console font lacks, and as wide as before."""
    spelled = text.translate(_SPELLED)
    if all(character in DRAWABLE for character in spelled):
        return spelled
    return "".join(c if c in DRAWABLE else "?" * cell_len(c) for c in spelled)


class ConsoleFont(LineFilter):
    """The last word on everything that is drawn."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment if segment.control or segment.text in DRAWABLE else Segment(drawable(segment.text), segment.style)
            for segment in segments
        ]
