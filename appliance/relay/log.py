"""The relay's own log: logfmt on stderr through stdlib logging, each message limited per minute.

A message that comes too often is counted instead, and the count is said once the minute is over.
That bounds the relay's share of the journal, which rsyslog may forward back to the relay: a
message about forwarding cannot feed back. Secrets are removed as a last resort; the code that logs
must not pass them in the first place.
Source: sd-daemon(3) for the `<4>` prefixes that tell journald the level.
"""

import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "key"}
_BARE = re.compile(r'[^\s"=\\\x00-\x1f\x7f]+')
_SECRET_NAME = re.compile(r"password|passwd|secret|token|authorization|credential|private_key", re.IGNORECASE)
_SECRETS = (
    (re.compile(r"(://[^/\s:@\"]*:)[^/\s@\"]+@"), r"\1***@"),  # user:password@ in a URL
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), r"\1 ***"),
)
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_LONGEST = 8 * 1024  # characters of one line


def logfmt(fields: Mapping[str, object]) -> str:
    """`name=value` pairs on one line; values with anything but plain characters are quoted."""
    return " ".join(f"{name}={_value(name, value)}" for name, value in fields.items())


def _value(name: str, value: object) -> str:
    if _SECRET_NAME.search(name) and not name.endswith("_file"):
        return "***"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, bool) or value is None:
        return "true" if value is True else "false" if value is False else "null"
    text = str(value)
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    if _BARE.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return '"' + re.sub(r"[\x00-\x1f\x7f]", "\N{REPLACEMENT CHARACTER}", escaped) + '"'


class LogfmtFormatter(logging.Formatter):
    """`journal`: prefix the level for journald, which adds the time itself; else write the time."""

    def __init__(self, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {}
        if not self._journal:
            moment = time.gmtime(record.created)
            fields["ts"] = time.strftime("%Y-%m-%dT%H:%M:%S", moment) + f".{int(record.msecs):03d}Z"
        fields["level"] = record.levelname.lower()
        fields["part"] = record.name.rpartition(".")[2]
        fields["msg"] = record.getMessage()
        fields.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            fields["error"] = f"{type(error).__name__}: {error}"
            fields["traceback"] = "".join(traceback.format_tb(error.__traceback__)[-6:])
        line = logfmt(fields)
        if len(line) > _LONGEST:
            line = line[:_LONGEST] + '…"'
        if self._journal:
            return f"<{_PRIORITY.get(record.levelno, 6)}>{line}"
        return line


@dataclass(slots=True)
class _Window:
    started: float
    said: int
    suppressed: int
    record: logging.LogRecord  # the last one suppressed, whose words the summary uses


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Lets each message through `burst` times in `period` seconds, then sums up.

    What makes two records the same message is `extra={"key": …}`, else the text before its
    arguments are filled in, with level and logger.
    """

    def __init__(
        self, stream: TextIO, burst: int = 10, period: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(stream)
        self._burst, self._period, self._clock = burst, period, clock
        self._windows: dict[tuple[str, int, str], _Window] = {}
        self.suppressed_total = 0

    def emit(self, record: logging.LogRecord) -> None:
        # Called under the handler's lock, from any thread.
        now = self._clock()
        self._sum_up(now)
        key = (record.name, record.levelno, str(getattr(record, "key", record.msg)))
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= 1000:  # messages built with f-strings would grow it without bound
                self._sum_up(float("inf"))
            window = self._windows[key] = _Window(now, 0, 0, record)
        if window.said >= self._burst and record.levelno < logging.CRITICAL:
            window.suppressed += 1
            window.record = record
            self.suppressed_total += 1
            return
        window.said += 1
        super().emit(record)

    def sum_up(self) -> None:
        """Say what was suppressed in windows that are over; for a timer, where nothing else is logged."""
        self.acquire()
        try:
            self._sum_up(self._clock())
        finally:
            self.release()

    def close(self) -> None:
        self._sum_up(float("inf"))
        super().close()

    def _sum_up(self, now: float) -> None:
        for key in [key for key, window in self._windows.items() if now - window.started >= self._period]:
            window = self._windows.pop(key)
            if window.suppressed:
                summary = logging.makeLogRecord(vars(window.record))
                summary.suppressed = window.suppressed
                summary.period = f"{self._period:.0f}s"
                super().emit(summary)


def configure(level: str, stream: TextIO | None = None, environment: Mapping[str, str] = os.environ) -> LimitedHandler:
    """Make stderr the log of the process. Returns the handler, whose `sum_up` a timer may call."""
    handler = LimitedHandler(stream or sys.stderr)
    handler.setFormatter(LogfmtFormatter(journal=_is_journal(handler.stream, environment)))
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, LimitedHandler):
            root.removeHandler(old)
    root.addHandler(handler)
    set_level(level)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # says each retry; the sender says it once
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.raiseExceptions = False  # a full journal must not raise inside the log path
    return handler


def set_level(level: str) -> None:
    """`debug`, `info`, `warning` or `error`; may be called again on reload."""
    logging.getLogger().setLevel(level.upper())


def _is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether the stream is the one systemd connected to the journal (JOURNAL_STREAM=device:inode)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"


async def sum_up_regularly(handler: LimitedHandler, period: float = 30.0) -> None:
    """For a task of the event loop: counts of what was suppressed are said even when all is quiet again."""
    import asyncio  # here: the receiver has no use for it

    while True:
        await asyncio.sleep(period)
        handler.sum_up()
