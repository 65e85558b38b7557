"""Lines per second over the last minutes as columns of blocks. Pure: samples in, rows of text out."""

from collections.abc import Sequence

from textual.content import Content

from tui.state import Sample

BOTH, CAME, LEFT = "█", "▒", "░"
STYLES = {BOTH: "ansi_green", CAME: "ansi_bright_yellow", LEFT: "ansi_bright_cyan", "_": "ansi_green"}
AXIS = 7  # columns for the numbers at the left


def nice(value: float) -> float:
    """Return the next round number (one digit, or 15, 150 ...) that is not less; at least 1."""
    step = 1.0
    while True:
        for factor in (1, 1.5, 2, 3, 4, 5, 6, 8):
            if step * factor >= value:
                return step * factor
        step *= 10


def short(value: float) -> str:
    """Return a number in at most five characters: 950, 12k, 3.4M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            scaled = value / size
            return f"{scaled:.0f}{unit}" if scaled >= 10 or scaled == int(scaled) else f"{scaled:.1f}{unit}"
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def columns(samples: Sequence[Sample], width: int, now: float, span: float) -> list[tuple[float, float] | None]:
    """Return the mean of lines in and out for each column, oldest first; None where nothing was seen."""
    sums: list[list[tuple[float, float]]] = [[] for _ in range(width)]
    for sample in samples:
        place = int((sample.when - (now - span)) / span * width)
        if 0 <= place < width or sample.when == now:
            sums[min(place, width - 1)].append((sample.came, sample.left))
    means: list[tuple[float, float] | None] = [
        (sum(a for a, _ in one) / len(one), sum(b for _, b in one) / len(one)) if one else None for one in sums
    ]
    # A column narrower than the time between two samples shows the one before, not a gap.
    for index in range(1, width):
        if means[index] is None and means[index - 1] is not None:
            behind = next((i for i in range(index, min(index + 4, width)) if means[i] is not None), None)
            means[index] = means[index - 1] if behind is not None else None
    return means


def plot(samples: Sequence[Sample], width: int, height: int, now: float, span: float) -> list[Content]:
    """Return `height` rows of `width` columns; the last row is the time axis."""
    rows, across = height - 1, width - AXIS
    means = columns(samples, across, now, span)
    top = nice(max((max(mean) for mean in means if mean), default=1.0))
    lines = []
    for row in range(rows):
        middle = (rows - row - 0.5) / rows * top  # a cell is filled from its middle up
        cells = "".join(_cell(mean, middle, lowest=row == rows - 1) for mean in means)
        number = short(top) if row == 0 else "0" if row == rows - 1 else ""
        lines.append(Content.assemble((f"{number:>{AXIS - 2}} ", "ansi_white"), ("│", "ansi_cyan"), *_painted(cells)))
    minutes = f"-{span / 60:.0f} min"
    axis = minutes + " " * max(1, across - len(minutes) - 3) + "now"
    lines.append(Content.styled(" " * AXIS + axis, "ansi_cyan"))
    return lines


def _cell(mean: tuple[float, float] | None, middle: float, *, lowest: bool) -> str:
    if mean is None:
        return " "
    came, left = mean
    if min(came, left) >= middle:
        return BOTH
    if came >= middle:
        return CAME
    if left >= middle:
        return LEFT
    return "_" if lowest and (came > 0 or left > 0) else " "


def _painted(cells: str) -> list[Content]:
    """Return runs of the same glyph in its color."""
    found: list[Content] = []
    start = 0
    for index in range(1, len(cells) + 1):
        if index == len(cells) or cells[index] != cells[start]:
            run = cells[start:index]
            found.append(Content.styled(run, STYLES[run[0]]) if run[0] in STYLES else Content(run))
            start = index
    return found
