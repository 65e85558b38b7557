"""A disk that fails costs neither a line nor a copy of one, and what another relay wrote is left alone."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cramjam
import pytest

from appliance.config import model
from appliance.config.units import Duration, Size
from appliance.errors import ApplianceError
from appliance.relay.loki.push_format import Entry, encode_stream
from appliance.relay.spool.spool import NewSegment, SegmentUnreadable, Spool, SpoolFull


def batch(text: str) -> NewSegment:
    body = encode_stream('{job="t"}', [Entry(5, text.encode())])
    return NewSegment(bytes(cramjam.snappy.compress_raw(body)), None, 1, len(body), 5, 5, "")


def spool(path: Path, **changes: Any) -> Spool:
    return Spool(model.Spool(**{"path": str(path), "min_free": Size(0), "reserve": Size(0), **changes}))


def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int, times: int = 10**9) -> None:
    """The system call fails so many times."""
    real, left = getattr(os, name), [times]

    def call(*arguments: Any, **named: Any) -> Any:
        if left[0] <= 0:
            return real(*arguments, **named)
        left[0] -= 1
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, call)


def test_a_directory_that_cannot_be_synced_multiplies_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = spool(tmp_path)
    one.append([batch("before")])
    failing(monkeypatch, "fsync", errno.EIO, times=5)
    for _ in range(5):
        with pytest.raises(SpoolFull, match="the disk fails"):
            one.append([batch("a"), batch("b")])
        assert len(one) == 1 and one.stats.written == 1, "nothing is given to the sender that is not durable"
        assert one.no_room(), "and the relay is not ready"
    one.append([batch("a"), batch("b")])
    assert len(one) == 3 and len(list(tmp_path.glob("*.push"))) == 3
    assert len(spool(tmp_path)) == 3 and one.stats.entries == 3


def test_what_is_written_within_one_commit_counts_towards_the_bound(tmp_path: Path) -> None:
    size = len(batch("0").compressed)
    one = spool(tmp_path, max_size=Size(size * 3))
    with pytest.raises(SpoolFull):
        one.append([batch(str(number)) for number in range(5)])
    assert len(one) == 3 == one.stats.written


def test_a_disk_that_became_read_only_is_full_and_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = spool(tmp_path)
    failing(monkeypatch, "open", errno.EROFS)
    failing(monkeypatch, "unlink", errno.EROFS)
    with pytest.raises(SpoolFull, match="Read-only file system"):
        one.append([batch("a")])
    assert "Read-only" in one.no_room() and one.stats.full


def test_batches_too_old_on_a_read_only_disk_end_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    settings = model.Spool(path=str(tmp_path), min_free=Size(0), max_age=Duration(60))
    one = Spool(settings, now=lambda: clock[0])
    one.append([batch("a"), batch("b")])
    clock[0] += 100
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EROFS, "read-only")))
    one.drop_expired()
    assert len(one) == 0 and one.stats.dropped == {"spool_age": 2}


_SECOND = """
import sys
from appliance.config import model
from appliance.config.units import Size
from appliance.errors import ApplianceError
from appliance.relay.spool.spool import Spool
try:
    Spool(model.Spool(path=sys.argv[1], min_free=Size(0))).claim()
except ApplianceError as error:
    sys.exit(error.message)
"""


def test_a_second_relay_touches_nothing_of_the_first(tmp_path: Path) -> None:
    first = spool(tmp_path)
    first.claim()
    (tmp_path / "0000000000000007.writing").write_bytes(b"being written by the first")
    (tmp_path / "nonsense.push").write_bytes(b"?")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    second = subprocess.run([sys.executable, "-c", _SECOND, str(tmp_path)], capture_output=True, text=True)
    assert second.returncode == 1 and "in use by another relay" in second.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_read_error_is_tried_again_before_anything_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool(tmp_path).append([batch("precious")])
    one = spool(tmp_path)
    [segment] = one.segments()
    with monkeypatch.context() as failing_disk:
        failing_disk.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        for _ in range(20):
            with pytest.raises(OSError, match="I/O error"):
                one.load(segment)
    assert one.load(segment).compressed == batch("precious").compressed
    monkeypatch.setattr("appliance.relay.spool.quarantine._READ_PATIENCE", 0.0)
    monkeypatch.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
    for _ in range(5):
        with pytest.raises(OSError, match="I/O error"):
            one.load(segment)
    with pytest.raises(SegmentUnreadable, match="I/O error"):
        one.load(segment)


@pytest.mark.parametrize("name", ["9-0001-2-3-4-5-6-7-.push", "3-0000018bcfe56800-1-2-3-4-5-00000000-x-y-z.push"])
def test_a_spool_of_another_version_is_refused_and_stays_as_it_is(tmp_path: Path, name: str) -> None:
    spool(tmp_path).append([batch("ours")])
    (tmp_path / name).write_bytes(b"of a version to come")
    (tmp_path / "nonsense.push").write_bytes(b"?")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(ApplianceError, match="written by another version") as error:
        spool(tmp_path)
    assert "start the version that wrote it" in error.value.hint
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
