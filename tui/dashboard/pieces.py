"""The pieces of the dashboard's picture. Pure: facts, verdict and width in, rows of text out."""

import re
import time
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

from textual.content import Content

from appliance.host.status.verdict import Part, State, Verdict
from appliance.severity import OF_STATE

STYLES: dict[State, str] = {"green": "ansi_bright_green", "amber": "ansi_bright_yellow", "red": "ansi_bright_red"}
BADGES: dict[State, str] = {
    "green": "ansi_black on ansi_green", "amber": "ansi_black on ansi_yellow", "red": "ansi_bright_white on ansi_red",
}  # fmt: skip
SILENT_AFTER = 900.0
"""Seconds without a line after which a source is marked silent."""


def cut(text: str, width: int) -> str:
    """Return the text in at most `width` columns; a ~ says that there was more."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "~"


def cut_parts(text: str, width: int) -> str:
    """Return the text without those last parts that do not fit; of the first what fits."""
    if len(text) <= width:
        return text
    ends = [match.start() for match in re.finditer(r", | \(| of ", text)]
    return text[: max((end for end in ends if end <= width), default=0)] or cut(text, width)


def head(verdict: Verdict, width: int) -> list[Content]:
    """Return up to five rows: the verdict, or the worst problem and below it its whole remedy."""
    badge = f" {OF_STATE[verdict.state]} "
    indent = len(badge) + 2
    worst = next((part for part in verdict.parts if part.state != "green"), None)
    cause = _without_ticks(worst.cause if worst else verdict.headline)
    lines = [(line, "ansi_bright_white") for line in _fit(cause, width - indent, 2)] or [("", "")]
    remedy = f"-> {_without_ticks(worst.remedy)}" if worst and worst.remedy else ""
    lines += [(line, "ansi_bright_yellow") for line in _fit(remedy, width - indent, 3, hanging="   ")]
    first = Content.assemble((badge, BADGES[verdict.state]), "  ", lines[0])
    return [first, *(Content.styled(f"{'':{indent}}{line}", style) for line, style in lines[1:])]


def _fit(text: str, width: int, rows: int, *, hanging: str = "") -> list[str]:
    """Return a text in so many rows; one that needs more ends with a whole word and where the rest is."""
    lines = wrap(text, width, subsequent_indent=hanging)
    if len(lines) > rows:
        rest = " ... (V)"
        lines = [*lines[: rows - 1], wrap(lines[rows - 1], width - len(rest), subsequent_indent=hanging)[0] + rest]
    return lines


def part_cells(verdict: Verdict, width: int) -> list[Content]:
    """Return each part in a cell of `width` columns."""
    words = max((len(OF_STATE[part.state]) for part in verdict.parts), default=0)
    return [part_cell(part, width, words) for part in verdict.parts]


def part_cell(part: Part, width: int, words: int) -> Content:
    """Return a part in `width` columns, of which its state's word takes `words`."""
    name, word = f"{part.name:14}", f"{OF_STATE[part.state]:{words}} "
    rest = cut_parts(part.summary, width - len(word) - len(name))
    gap = " " * max(0, width - len(word) - len(name) - len(rest))
    return Content.assemble((word, STYLES[part.state]), (name, "ansi_bright_white"), rest, gap)


def two_columns(cells: list[Content], width: int) -> list[Content]:
    """Return cells side by side, down the first column, then down the second."""
    half = (len(cells) + 1) // 2
    gap = Content("  ")
    rows = []
    for index in range(half):
        right = cells[index + half] if index + half < len(cells) else Content("")
        rows.append(Content.assemble(cells[index], gap, right))
    return rows


def part_details(verdict: Verdict) -> str:
    """Return every part with its cause and remedy, for reading."""
    lines = []
    words = max((len(OF_STATE[part.state]) for part in verdict.parts), default=0)
    indent = " " * (words + 16)
    for part in verdict.parts:
        lines.append(f"{OF_STATE[part.state]:{words}}  {part.name:14}{part.summary}")
        for text, arrow in ((part.cause, ""), (part.remedy, "-> ")):
            hanging = indent + " " * len(arrow)
            lines += wrap(text, 76, initial_indent=indent + arrow, subsequent_indent=hanging, break_on_hyphens=False)
    return "\n".join(lines)


def source_rows(relay: Mapping[str, Any] | None, now: float, width: int, height: int) -> list[Content]:
    """Return the sources that send most first, silent ones last and marked."""
    sources = (relay or {}).get("sources") or {}
    latest = list(sources.get("latest") or [])
    if not latest:
        return [Content.styled("none yet: D shows how to configure devices", "ansi_white")]
    latest.sort(key=lambda one: (_silent(one, now), -float(one["messages_per_second"]), -float(one["last_seen"])))
    room = width - 28
    rows = [Content.styled(f"{'sender':{room}} {'by':8}{'lines/s':>7} {'last':>11}", "ansi_cyan")]
    shown = latest[: height - 1]
    silent = [one for one in latest if _silent(one, now)]
    if silent and silent[0] not in shown and len(shown) > 1:
        shown[-1] = silent[0]  # one that fell silent is what somebody should see
    for one in shown:
        ago = max(0.0, now - float(one["last_seen"]))
        by = cut(str(one.get("input", "")), 7)
        text = f"{cut(str(one['sender']), room):{room}} {by:8}{float(one['messages_per_second']):7.1f} "
        if _silent(one, now):
            rows.append(Content.styled(f"{text}{'silent ' + age(ago):>11}"[:width], "ansi_bright_yellow"))
        else:
            rows.append(Content(f"{text}{age(ago):>11}"))
    return rows


def _silent(source: Mapping[str, Any], now: float) -> bool:
    return now - float(source["last_seen"]) > SILENT_AFTER


def age(seconds: float) -> str:
    """Return a length of time in at most five characters."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.0f}s"


def error_rows(relay: Mapping[str, Any] | None, relay_error: str, width: int, height: int) -> list[Content]:
    """Return what went wrong lately, newest first."""
    rows = [Content.styled(cut(line, width), "ansi_white") for line in _errors(relay, relay_error)]
    return rows[:height] or [Content.styled("none", "ansi_white")]


def _errors(relay: Mapping[str, Any] | None, relay_error: str) -> Iterator[str]:
    if relay is None:
        yield f"relay: {relay_error or 'no answer'}"
        return
    error = (relay.get("loki") or {}).get("last_error")
    if error:
        when = time.strftime("%H:%M:%S", time.localtime(float(error["when"])))
        yield f"{when} loki: {error['cause']}"
    for problem in relay.get("problems") or []:
        if problem.get("part") != "loki":
            yield f"{problem.get('part')}: {problem.get('problem')}"


def traffic(relay: Mapping[str, Any] | None) -> tuple[float, float, float]:
    """Return lines per second in and out, and bytes in the spool."""
    if relay is None:
        return 0.0, 0.0, 0.0
    came = sum(float(one.get("messages_per_second_10s", 0)) for one in (relay.get("inputs") or {}).values())
    left = float((relay.get("loki") or {}).get("entries_per_second_10s", 0))
    return came, left, float((relay.get("queue") or {}).get("bytes", 0))


def size(number: float) -> str:
    """Return bytes in their largest fitting unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 10 else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _without_ticks(text: str) -> str:
    return text.replace("`", "'")
