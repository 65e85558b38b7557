"""The relay's own log: one readable line each, limited, without secrets."""

import asyncio
import io
import logging
import os
import tempfile
from collections.abc import Iterator

import pytest

from appliance.relay import log as relay_log
from appliance.relay.log import LimitedHandler, LogfmtFormatter, configure, logfmt


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("appliance.relay.probe")
    found.propagate = False
    found.setLevel(logging.DEBUG)
    yield found
    found.handlers.clear()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def attach(logger: logging.Logger, burst: int = 3, journal: bool = True) -> tuple[io.StringIO, LimitedHandler, Clock]:
    stream, clock = io.StringIO(), Clock()
    handler = LimitedHandler(stream, burst=burst, period=60, clock=clock)
    handler.setFormatter(LogfmtFormatter(journal))
    logger.addHandler(handler)
    return stream, handler, clock


def test_values_are_quoted_so_that_a_line_stays_a_line() -> None:
    assert logfmt(
        {"a": 1, "b": "x y", "c": 'q"\\', "d": "n\nl", "e": True, "f": None, "g": 0.25, "h": "", "i": "\x1b[0m"}
    ) == ('a=1 b="x y" c="q\\"\\\\" d="n\\nl" e=true f=null g=0.250 h="" i="\N{REPLACEMENT CHARACTER}[0m"')


def test_a_record_is_one_line_with_its_fields_and_journalds_level(logger: logging.Logger) -> None:
    stream, _, _ = attach(logger)
    logger.warning("the spool is %s", "full", extra={"bytes": 5, "hint": "enlarge it"})
    assert stream.getvalue() == '<4>level=warning part=probe msg="the spool is full" bytes=5 hint="enlarge it"\n'


def test_outside_the_journal_the_time_is_written(logger: logging.Logger) -> None:
    stream, _, _ = attach(logger, journal=False)
    logger.error("x")
    assert stream.getvalue().startswith("ts=2")
    assert "Z level=error part=probe msg=x\n" in stream.getvalue()


def test_a_failure_keeps_its_traceback_on_the_line(logger: logging.Logger) -> None:
    stream, _, _ = attach(logger)
    try:
        raise ValueError("bad\nthing")
    except ValueError:
        logger.exception("failed")
    assert stream.getvalue().count("\n") == 1
    assert 'error="ValueError: bad\\nthing"' in stream.getvalue()
    assert "test_relay_log.py" in stream.getvalue()


def test_the_same_message_is_said_some_times_a_minute_and_then_counted(logger: logging.Logger) -> None:
    stream, handler, clock = attach(logger, burst=3)
    for number in range(100):
        logger.error("push %d failed", number)
    logger.error("another")
    assert stream.getvalue().count("failed") == 3
    assert "another" in stream.getvalue()
    assert handler.suppressed_total == 97
    clock.now += 61
    handler.sum_up()
    assert 'msg="push 99 failed" suppressed=97 period=60s' in stream.getvalue()
    logger.error("push %d failed", 100)
    assert "push 100 failed" in stream.getvalue()


def test_a_key_makes_different_words_the_same_message(logger: logging.Logger) -> None:
    stream, _, _ = attach(logger, burst=2)
    for number in range(10):
        logger.error(f"it is {number}", extra={"key": "spool full"})
    assert len(stream.getvalue().splitlines()) == 2
    assert "spool full" not in stream.getvalue()


def test_messages_that_are_all_different_do_not_grow_the_table(logger: logging.Logger) -> None:
    _, handler, _ = attach(logger)
    for number in range(5000):
        logger.error(f"unlike {number}")
    assert len(handler._windows) <= 1000


def test_secrets_do_not_get_into_a_line(logger: logging.Logger) -> None:
    stream, _, _ = attach(logger)
    logger.error(
        "cannot reach https://me:hunter2@loki.example/push with Bearer abcdef.GHIJK and Basic bWU6aHVudGVyMg==",
        extra={
            "password": "hunter2",
            "bearer_token": "abcdef",
            "password_file": "/etc/p",
            "url": "http://u:hunter2@h/",
        },
    )
    line = stream.getvalue()
    assert "hunter2" not in line and "abcdef" not in line and "bWU6" not in line
    assert "me:***@loki.example" in line and "password_file=/etc/p" in line


def test_what_was_suppressed_is_said_even_when_nothing_follows(logger: logging.Logger) -> None:
    stream, handler, clock = attach(logger, burst=1)
    logger.error("again")
    logger.error("again")

    async def scenario() -> None:
        task = asyncio.create_task(relay_log.sum_up_regularly(handler, 0.01))
        clock.now += 61
        await asyncio.sleep(0.1)
        task.cancel()

    asyncio.run(scenario())
    assert "suppressed=1" in stream.getvalue()


def test_only_the_journals_own_stream_gets_the_prefix() -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        for is_journal in (True, False):
            with tempfile.TemporaryFile("w+") as stream:
                status = os.fstat(stream.fileno())
                environment = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + (not is_journal)}"}
                configure("info", stream, environment)
                logging.getLogger("appliance.x").info("hello")
                logging.getLogger("appliance.x").debug("hidden")
                stream.seek(0)
                (line,) = stream.read().splitlines()
                assert line.startswith("<6>level=info" if is_journal else "ts=")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
