"""Text for reading, as wide as the screen: paragraphs flow, the second of two columns stays a column. Pure."""

import re
from collections.abc import Iterator
from textwrap import wrap

_COLUMNS = re.compile(r"^(\s*\S(?:.*?\S)?\s{2,})(\S.*)$")


def fit(text: str, width: int) -> str:
    """Return the text with lines that are too long continued below their second column, or their beginning."""
    return "\n".join(row for line in text.splitlines() for row in _wrapped(line, width))


def flow(text: str, width: int) -> str:
    """Return prose in paragraphs, with entries of two columns in it, as wide as `width`; tables stay as they are."""
    return "\n".join(row for line in _joined(text.splitlines()) for row in _wrapped(line, width))


def _joined(lines: list[str]) -> Iterator[str]:
    """Yield lines with those joined to them that only go on with their sentence."""
    current = ""
    for line in lines:
        if current and line.strip() and not _is_table(line) and _indent(line) == _column(current):
            current += " " + line.strip()
            continue
        if current:
            yield current
        if not line.strip() or _is_table(line):
            yield line
            current = ""
        else:
            current = line
    if current:
        yield current


def _wrapped(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    column = min(_column(line), width // 2)
    return wrap(line, width, subsequent_indent=" " * column, break_on_hyphens=False, drop_whitespace=True) or [line]


def _column(line: str) -> int:
    """Return where the text of a line begins: at its second column when it has two."""
    match = _COLUMNS.match(line)
    return len(match[1]) if match else _indent(line)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_table(line: str) -> bool:
    """Return whether a line has three columns or more."""
    return len(re.findall(r"\S\s{2,}(?=\S)", line)) > 1
