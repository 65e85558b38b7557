"""Senders are remembered over restarts, within bounds, and one that falls silent is noticed."""

import os
import time
from pathlib import Path

import pytest

from appliance.relay.report.sender_file import NAME, SenderFile
from appliance.relay.report.senders import Sources

HOUR = 3600.0


def busy(now: float, *, every: float = 10.0, lines: int = 1000) -> Sources:
    """A table with one sender that sent a line each `every` seconds up to `now`."""
    sources = Sources()
    for number in range(lines):
        sources.record("192.0.2.1", "udp", 1, now - (lines - 1 - number) * every)
    return sources


def restarted(directory: Path, sources: Sources) -> Sources:
    SenderFile(directory).write(SenderFile(directory).snapshot(sources))
    after = Sources()
    after.remember(SenderFile(directory).read())
    return after


def test_a_restart_forgets_no_sender_and_no_first_time(tmp_path: Path) -> None:
    now = time.time()
    after = restarted(tmp_path, busy(now - HOUR))
    after.record("192.0.2.1", "udp", 5, now)
    after.record("192.0.2.2", "tcp", 1, now)
    first, second = sorted(after.all(), key=lambda source: source.sender)
    assert (first.count, first.last_seen, second.count) == (1005, now, 1)
    assert first.first_seen == pytest.approx(now - HOUR - 999 * 10)
    assert first.rate(now) < 6, "what came before the restart is no traffic of now"


def test_the_table_stays_within_its_bound_after_a_restart(tmp_path: Path) -> None:
    sources = Sources(limit=50)
    for number in range(50):
        sources.record(f"192.0.2.{number}", "udp", 1, time.time() - 50 + number)
    SenderFile(tmp_path).write(SenderFile(tmp_path).snapshot(sources))
    small = Sources(limit=10)
    small.record("198.51.100.1", "tcp", 1)
    small.remember(SenderFile(tmp_path).read())
    assert len(small) == 10 and small.latest(1)[0].sender == "198.51.100.1"


def test_a_damaged_file_is_no_reason_not_to_start(tmp_path: Path) -> None:
    for content in (b"", b"[[", b'{"a": 1}', b"\xff" * 100):
        (tmp_path / NAME).write_bytes(content)
        assert SenderFile(tmp_path).read() == []


def test_a_write_that_fails_keeps_what_was_written_before(tmp_path: Path) -> None:
    kept = SenderFile(tmp_path)
    kept.write(kept.snapshot(busy(time.time())))
    before = (tmp_path / NAME).read_bytes()
    (tmp_path / "senders.new").mkdir()  # the temporary name cannot be opened
    kept.write(b"[]")
    assert (tmp_path / NAME).read_bytes() == before
    assert os.stat(tmp_path / NAME).st_mode & 0o077 == 0


def test_one_that_sent_regularly_and_stops_is_silent_until_it_sends_again_or_has_gone() -> None:
    now = time.time()
    sources, long_ago = busy(now), now - 30 * 86400
    assert sources.silent(now + HOUR, long_ago) == []
    assert [source.sender for source in sources.silent(now + 5 * HOUR, long_ago)] == ["192.0.2.1"]
    assert sources.silent(now + 8 * 86400, long_ago) == []
    sources.record("192.0.2.1", "udp", 1, now + 5 * HOUR)
    assert sources.silent(now + 5 * HOUR + 1, long_ago) == []


def test_one_that_went_over_to_another_input_is_not_silent() -> None:
    now = time.time()
    sources = busy(now)
    sources.record("192.0.2.1", "tcp", 1, now + 5 * HOUR)
    assert sources.silent(now + 5 * HOUR, now - 30 * 86400) == []


def test_time_in_which_nobody_listened_makes_no_sender_silent() -> None:
    now = time.time()
    assert busy(now).silent(now + 9 * HOUR, listening_since=now + 8 * HOUR) == []


def test_one_that_speaks_once_a_day_is_not_missed_after_five_hours() -> None:
    now = time.time()
    assert busy(now, every=86400.0, lines=30).silent(now + 5 * HOUR, now - 40 * 86400) == []
    assert Sources().silent(now, now) == []
