"""Lines of the journal for people: what a unit said, each thing once.

rsyslogd says its errors twice, to syslog and, with its own name before them, to standard error. The latter
alone tells why it could not start, so neither can be switched off; here the second saying goes. Pure.
"""

import re
from collections.abc import Iterable

_NEAR = 4  # lines between the two sayings of one thing, at most
_OWN_NAME = re.compile(r"(^|\]: )rsyslogd: ")


def said_once(lines: Iterable[str]) -> list[str]:
    """Return the lines without those that say what one just before said, but for the name in front of it."""
    kept: list[str] = []
    for line in lines:
        plain = _without_stamp(_OWN_NAME.sub(r"\1", line))
        twin = next((at for at in range(len(kept) - 1, max(-1, len(kept) - 1 - _NEAR), -1)
                     if _without_stamp(_OWN_NAME.sub(r"\1", kept[at])) == plain), None)  # fmt: skip
        if twin is None or (_OWN_NAME.search(line) is None and _OWN_NAME.search(kept[twin]) is None):
            kept.append(line)
        elif _OWN_NAME.search(kept[twin]):
            kept[twin] = line
    return kept


def _without_stamp(line: str) -> str:
    """Return what was said, without the time and the process that stand before it."""
    head, found, rest = line.partition("]: ")
    return rest if found and " " in head else line
