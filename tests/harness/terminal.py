"""A program on a terminal that tests can read (pexpect and pyte), and a picture of it in VGA's colors."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from html import escape
from pathlib import Path

import pexpect
import pyte

# The sixteen colors of the Linux console, by the names that pyte gives them.
VGA = {
    "black": "#000000", "red": "#aa0000", "green": "#00aa00", "brown": "#aa5500", "blue": "#0000aa",
    "magenta": "#aa00aa", "cyan": "#00aaaa", "white": "#aaaaaa", "default": "#aaaaaa",
    "brightblack": "#555555", "brightred": "#ff5555", "brightgreen": "#55ff55", "brightbrown": "#ffff55",
    "brightblue": "#5555ff", "brightmagenta": "#ff55ff", "bfightmagenta": "#ff55ff", "brightcyan": "#55ffff",
    "brightwhite": "#ffffff",
}  # fmt: skip


class Terminal:
    """A program under a pseudo terminal of a given size and kind.

    `errors`: what bytes that are no UTF-8 do, as for `bytes.decode`.
    """

    def __init__(
        self,
        command: list[str],
        *,
        columns: int = 80,
        rows: int = 24,
        term: str = "linux",
        env: dict[str, str],
        errors: str = "strict",
    ):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.Stream(self.screen)
        self.raw = ""
        self.process = pexpect.spawn(
            command[0], command[1:], env={**env, "TERM": term}, dimensions=(rows, columns), encoding="utf-8",
            codec_errors=errors, timeout=5,
        )  # fmt: skip
        self.process.delaybeforesend = None

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def read(self, seconds: float = 0.05) -> None:
        """Take what the program has written."""
        try:
            data = self.process.read_nonblocking(65536, timeout=seconds)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return
        self.raw += data
        self.stream.feed(data)

    def wait_for(self, words: str | Callable[[str], bool], within: float = 15) -> str:
        """Return the screen as soon as it has the words; fail with the screen when time is over."""
        deadline = time.monotonic() + within
        found = (lambda text: words in text) if isinstance(words, str) else words
        while not found(self.text):
            assert time.monotonic() < deadline, f"{words!r} did not come:\n{self.text}"
            self.read()
        return self.text

    def press(self, keys: str) -> None:
        self.process.send(keys)

    def close(self) -> None:
        self.process.close(force=True)

    def glyphs(self) -> set[str]:
        return {character for line in self.screen.display for character in line}


def picture(screen: pyte.Screen, path: Path, *, scale: float = 1.0) -> None:
    """Draw a screen as PNG (needs rsvg-convert), each cell in its VGA colors."""
    w, h = 8, 16
    cells = [f'<rect width="{screen.columns * w}" height="{screen.lines * h}" fill="#000"/>']
    texts = []
    for y in range(screen.lines):
        for x in range(screen.columns):
            cell = screen.buffer[y][x]
            ink, paper = (
                VGA.get(cell.fg, f"#{cell.fg}"),
                VGA.get("black" if cell.bg == "default" else cell.bg, f"#{cell.bg}"),
            )
            if cell.bold and cell.fg in ("default", "white"):
                ink = VGA["brightwhite"]
            if cell.reverse:
                ink, paper = paper, ink
            if paper != "#000000":
                cells.append(f'<rect x="{x * w}" y="{y * h}" width="{w}" height="{h}" fill="{paper}"/>')
            if cell.data.strip():
                texts.append(_glyph(cell.data, x * w, y * h, w, h, ink))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{screen.columns * w}" height="{screen.lines * h}" '
        f'shape-rendering="crispEdges" font-family="DejaVu Sans Mono" font-size="13.2" xml:space="preserve">'
        + "".join(cells) + "".join(texts) + "</svg>"
    )  # fmt: skip
    tool = shutil.which("rsvg-convert")
    assert tool, "rsvg-convert is missing: apt-get install librsvg2-bin"
    subprocess.run([tool, "--zoom", str(scale), "-o", str(path)], input=svg.encode(), check=True)


def _glyph(data: str, x: int, y: int, w: int, h: int, ink: str) -> str:
    middle_x, middle_y = x + w // 2, y + h // 2
    arms = {"─": "lr", "│": "ud", "┌": "rd", "┐": "ld", "└": "ru", "┘": "lu"}.get(data)
    if arms:
        parts = []
        if "l" in arms or "r" in arms:
            x0, x1 = (x if "l" in arms else middle_x), (x + w if "r" in arms else middle_x + 1)
            parts.append(f'<rect x="{x0}" y="{middle_y}" width="{x1 - x0}" height="1" fill="{ink}"/>')
        if "u" in arms or "d" in arms:
            y0, y1 = (y if "u" in arms else middle_y), (y + h if "d" in arms else middle_y + 1)
            parts.append(f'<rect x="{middle_x}" y="{y0}" width="1" height="{y1 - y0}" fill="{ink}"/>')
        return "".join(parts)
    if data == "█":
        return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="{ink}"/>'
    if data in "▒░":
        step = 2 if data == "▒" else 4
        return "".join(
            f'<rect x="{x + dx}" y="{y + dy}" width="1" height="1" fill="{ink}"/>'
            for dy in range(0, h, 2 if data == "░" else 1)
            for dx in range((dy // (2 if data == "░" else 1) * (step // 2)) % step, w, step)
        )
    fit = f'textLength="{w}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{x}" y="{y + 12.5}" fill="{ink}" {fit}>{escape(data)}</text>'


PYTHON = sys.executable
