"""Dead letters are complete, private and bounded."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import settings

from appliance.config import model
from appliance.relay.loki.push_format import (
    Entry,
)
from appliance.relay.spool.dead_letters import DeadLetter, DeadLetters

SECOND = 10**9
LIMITS = model.LokiLimits()
calmly = settings(deadline=None, max_examples=60)


def letter(number: int) -> DeadLetter:
    return DeadLetter("t", '{a="b"}', Entry(number, b"line \xff" + b"x" * 200, (("k", "v"),)), "refused", "why")


def test_dead_letters_are_private_complete_and_bounded(tmp_path: Path) -> None:
    dead = DeadLetters(tmp_path / "dead", 20_000)
    kept: list[int] = []
    for number in range(200):
        dead.keep([letter(number)], lambda number=number: kept.append(number))  # type: ignore[misc]
    assert kept == list(range(200))
    files = dead.files()
    assert sum(path.stat().st_size for path in files) <= 20_000
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    kept = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    assert kept[-1]["timestamp_ns"] == "199" and kept[-1]["metadata"] == {"k": "v"}
    assert kept[-1]["line"].startswith("line \\xff")
    assert dead.kept == 200 and dead.given_up == 200 - len(kept) > 0


def test_dead_letters_that_cannot_be_written_wait_and_stand_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.relay.spool.dead_letters._AGAIN", 0.0)
    dead = DeadLetters(tmp_path / "dead", 10**6)
    kept: list[str] = []
    dead.keep([letter(0)], lambda: kept.append("first"))
    real = os.write

    def half(file: int, data: bytes) -> int:
        if len(data) < 300:
            raise OSError(28, "No space left on device")
        return real(file, data[: len(data) // 2])

    monkeypatch.setattr("os.write", half)
    dead.keep([letter(1), letter(2)], lambda: kept.append("second"))
    assert kept == ["first"] and dead.unwritten == 2
    monkeypatch.setattr("os.write", real)
    dead.try_again()
    assert kept == ["first", "second"] and dead.unwritten == 0
    [file] = dead.files()
    assert [json.loads(line)["timestamp_ns"] for line in file.read_text().splitlines()] == ["0", "1", "2"]


def test_dead_letters_in_memory_are_bounded_and_the_oldest_given_up_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.relay.spool.dead_letters._UNWRITTEN", 5)
    (tmp_path / "dead").write_text("in the way")
    dead = DeadLetters(tmp_path / "dead", 10**6)
    done: list[int] = []
    for number in range(8):
        dead.keep([letter(number)], lambda number=number: done.append(number))  # type: ignore[misc]
    assert (dead.unwritten, dead.given_up, done) == (5, 3, [0, 1, 2])
