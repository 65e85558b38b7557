"""The sender's small parts by value: mending, sorting out, pacing, secrets, dead letters, joined blocks."""

import json
import os
from pathlib import Path

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config import model
from appliance.config.units import Duration
from appliance.relay.loki.credentials import SecretFile, SecretUnreadable
from appliance.relay.loki.push_format import (
    Entry,
    MalformedPush,
    encode_raw,
    encode_stream,
    entries_of,
    list_parts,
    raw_entries,
    scan,
)
from appliance.relay.loki.rejections import Reason, Verdict
from appliance.relay.send.repair import (
    Bounds,
    broken,
    cut,
    format_time,
    label_reason,
    mend,
    mend_labels,
    reduce_labels,
    restamp,
)
from appliance.relay.send.request import Opener, compress, join_blocks
from appliance.relay.send.sorting import late
from appliance.relay.send.throttle import Backoff, Pace
from appliance.relay.spool.dead_letters import DeadLetter, DeadLetters

SECOND = 10**9
LIMITS = model.LokiLimits()
calmly = settings(deadline=None, max_examples=60)


# ---- mending -----------------------------------------------------------------------------------


@calmly
@given(st.text(max_size=200), st.integers(10, 120))
def test_a_cut_line_is_short_enough_marked_and_valid_text(text: str, size: int) -> None:
    line = text.encode("utf-8", "replace")
    short = cut(line, size)
    assert len(short) <= size
    short.decode()
    assert (short == line) == (len(line) <= size)
    assert line.startswith(short.removesuffix("…[cut]".encode()))


pairs = st.lists(st.tuples(st.text("abc", min_size=1, max_size=3), st.text("xyz", max_size=400)), max_size=12).map(
    tuple
)


@calmly
@given(st.integers(0, 2000), st.binary(max_size=400), pairs)
def test_a_mended_entry_keeps_to_all_bounds(stamp: int, line: bytes, metadata: tuple[tuple[str, str], ...]) -> None:
    bounds = Bounds(500, 1500, 100, 600, 8)
    mended = mend(Entry(stamp, line, metadata), bounds, 1000)
    assert broken(mended, bounds) is None
    if broken(Entry(stamp, line, metadata), bounds) in (Reason.TOO_OLD, Reason.TOO_NEW):
        assert mended.timestamp_ns == 1000
        assert dict(mended.metadata)["repaired"].split(",")[0] in ("too_old", "too_new")


names_of_ours = st.sampled_from(["a", "bc", "repaired", "original_timestamp"])


@calmly
@given(
    st.integers(0, 2**62),
    st.binary(max_size=150),
    st.lists(st.tuples(names_of_ours, st.text("xyz\x1a", max_size=60)), max_size=9).map(tuple),
    st.sampled_from([Reason.TOO_OLD, Reason.TOO_NEW, Reason.TOO_FAR_BEHIND]),
)
def test_an_entry_restamped_undecoded_is_the_mended_one(
    stamp: int, line: bytes, metadata: tuple[tuple[str, str], ...], reason: Reason
) -> None:
    bounds = Bounds(0, 2**62, 100, 600, 8)
    body = encode_stream('{a="b"}', [Entry(stamp, line, metadata), Entry(5, b"next")])
    first, second = raw_entries(body, scan(body)[0])
    restamped = encode_raw('{a="b"}', [restamp(first, bounds, 1000, reason), second.field])
    expected = [mend(Entry(stamp, line, metadata), bounds, 1000, reason), Entry(5, b"next")]
    assert entries_of(restamped, scan(restamped)[0]) == expected


def test_an_entry_whose_time_stamp_does_not_come_first_is_restamped_all_the_same() -> None:
    line_then_stamp = b"\x12\x01x" + b"\x0a\x02\x08\x07"
    body = encode_raw('{a="b"}', [b"\x12" + bytes([len(line_then_stamp)]) + line_then_stamp])
    [raw] = raw_entries(body, scan(body)[0])
    assert (raw.timestamp_ns, raw.rest) == (7 * SECOND, None)
    mended = encode_raw('{a="b"}', [restamp(raw, Bounds(), 1000, Reason.TOO_OLD)])
    [entry] = entries_of(mended, scan(mended)[0])
    assert (entry.timestamp_ns, entry.line) == (1000, b"x")
    assert dict(entry.metadata) == {"repaired": "too_old", "original_timestamp": format_time(7 * SECOND)}


def test_the_original_time_stamp_and_earlier_repairs_are_kept() -> None:
    entry = Entry(0, b"x", (("repaired", "utf8,clock"), ("original_timestamp", "Nov 23 06:30:06")))
    mended = mend(entry, Bounds(oldest_ns=1), 5)
    assert dict(mended.metadata) == {"original_timestamp": "Nov 23 06:30:06", "repaired": "utf8,clock,too_old"}
    assert (
        dict(mend(Entry(1, b"x"), Bounds(oldest_ns=2), 5).metadata)["original_timestamp"]
        == "1970-01-01T00:00:00.000000001Z"
    )
    assert format_time(10**30) == str(10**30)


def test_labels_are_given_up_in_the_configured_order_job_last() -> None:
    order = ["facility", "level", "application", "host"]
    labels = '{application="a", custom="c", host="h", job="j", level="l"}'
    gone = []
    while (reduced := reduce_labels(labels, order)) is not None:
        labels, moved = reduced
        gone.append(moved[0][0])
    assert gone == ["custom", "level", "application", "host"] and labels == '{job="j"}'


def test_mended_labels_are_taken() -> None:
    for text in ("{" + ", ".join(f'l{n}="v"' for n in range(30)) + "}", '{a="' + "x" * 5000 + '"}', "{bad-name=1}", ""):
        labels, moved = mend_labels(text, LIMITS, ["host"])
        assert label_reason(labels, LIMITS) is None
        assert moved


# ---- sorting out -------------------------------------------------------------------------------


@calmly
@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.one_of(st.none(), st.integers(0, 40)))
def test_entries_too_far_behind_are_found_as_loki_judged_them(stamps: list[int], before: int | None) -> None:
    """Against a plain model of Loki's ingester with a window of ten seconds; none that was refused is missed."""
    entries = [Entry(stamp * SECOND, str(index).encode()) for index, stamp in enumerate(stamps)]
    newest, refused, cutoffs = before, [], []
    for index, stamp in enumerate(stamps):
        if newest is not None and stamp < newest - 10:
            refused.append(index)
            cutoffs.append((newest - 10) * SECOND)
        else:
            newest = stamp if newest is None else max(newest, stamp)
    if not refused:
        return
    verdict = Verdict(
        Reason.TOO_FAR_BEHIND, cutoff_ns=max(cutoffs[:10]), first_cutoff_ns=cutoffs[0], ignored=len(refused),
        stamps_ns=tuple(stamps[index] * SECOND for index in refused[:10]),
    )  # fmt: skip
    found = late(entries, verdict, 10 * SECOND)
    assert set(refused) <= found or len(found) == len(refused)
    if before is None or all(stamp >= before - 10 for stamp in stamps):
        assert found == set(refused)


# ---- pace --------------------------------------------------------------------------------------


def test_waits_grow_with_jitter_to_their_bound_and_honour_retry_after() -> None:
    backoff = Backoff(model.Backoff(min=Duration(0.5), max=Duration(30)), jitter=lambda: 1.0)
    waits = []
    for _ in range(10):
        backoff.failed(100.0)
        waits.append(backoff.until - 100.0)
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0] and max(waits) == 30.0
    backoff.failed(100.0, retry_after=50.0)
    assert backoff.until >= 150.0
    backoff.succeeded()
    assert backoff.until == 0.0


def test_a_tenants_rate_is_kept_to_and_forgotten_once_loki_takes_more() -> None:
    pace = Pace(4, Backoff(model.Backoff(), jitter=lambda: 0.0))
    pace.refused(1_000_000, None, 0.0)
    assert pace.rate == 950_000 and pace.in_flight_limit == 2
    now = taken = 0.0
    while now < 10:
        now = pace.ready_at(now) + 1e-6
        pace.charge(100_000, now)
        taken += 100_000
    assert taken < 950_000 * 12
    for _ in range(100):
        pace.stored(100_000, now)
    assert pace.rate == 0.0 and pace.in_flight_limit == 4


# ---- secrets and dead letters ------------------------------------------------------------------


def test_a_secret_is_read_again_when_its_file_is_replaced_or_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one\n")
    secret = SecretFile(str(path))
    assert secret.read() == "one"
    (tmp_path / "new").write_text("two\n")
    os.replace(tmp_path / "new", path)
    assert secret.read() == "two"
    path.write_text("")  # just being rewritten
    assert secret.read() == "two"
    path.write_text("three")
    assert secret.read() == "three"


def test_a_secret_that_never_was_readable_is_said_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "token"
    with pytest.raises(SecretUnreadable, match="token"):
        SecretFile(str(path)).read()
    path.write_text("first\nsecond")
    with pytest.raises(SecretUnreadable) as error:
        SecretFile(str(path)).read()
    assert "first" not in str(error.value)


def letter(number: int) -> DeadLetter:
    return DeadLetter("t", '{a="b"}', Entry(number, b"line \xff" + b"x" * 200, (("k", "v"),)), "refused", "why")


def test_dead_letters_are_private_complete_and_bounded(tmp_path: Path) -> None:
    dead = DeadLetters(tmp_path / "dead", 20_000)
    buried: list[int] = []
    for number in range(200):
        dead.bury([letter(number)], lambda number=number: buried.append(number))  # type: ignore[misc]
    assert buried == list(range(200))
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
    buried: list[str] = []
    dead.bury([letter(0)], lambda: buried.append("first"))
    real = os.write

    def half(file: int, data: bytes) -> int:
        if len(data) < 300:
            raise OSError(28, "No space left on device")
        return real(file, data[: len(data) // 2])

    monkeypatch.setattr("os.write", half)
    dead.bury([letter(1), letter(2)], lambda: buried.append("second"))
    assert buried == ["first"] and dead.unwritten == 2
    monkeypatch.setattr("os.write", real)
    dead.try_again()
    assert buried == ["first", "second"] and dead.unwritten == 0
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
        dead.bury([letter(number)], lambda number=number: done.append(number))  # type: ignore[misc]
    assert (dead.unwritten, dead.given_up, done) == (5, 3, [0, 1, 2])


# ---- bodies ------------------------------------------------------------------------------------


@calmly
@given(st.lists(st.binary(max_size=5000), min_size=1, max_size=5), st.integers(1, 3))
def test_joined_snappy_blocks_are_the_block_of_the_joined_bytes(bodies: list[bytes], times: int) -> None:
    bodies = [body * times for body in bodies]
    joined = join_blocks([compress(body) for body in bodies])
    assert bytes(cramjam.snappy.decompress_raw(joined)) == b"".join(bodies)


@calmly
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 300)), min_size=2, max_size=6))
def test_segments_looked_into_in_the_same_memory_are_each_its_own(shapes: list[tuple[int, int]]) -> None:
    opener = Opener()
    for streams, size in shapes:
        body = b"".join(
            encode_stream(f'{{n="{number}"}}', [Entry(number, b"x" * size), Entry(7, b"")]) for number in range(streams)
        )
        assert list_parts(opener.streams(compress(body))) == scan(body)


def test_a_segment_that_cannot_be_read_is_said_to_be_so_and_the_next_is_read() -> None:
    opener = Opener()
    with pytest.raises(MalformedPush):
        opener.streams(compress(b"\x0a\x7f"))
    with pytest.raises(cramjam.DecompressionError):
        opener.streams(b"\x05\xff\xff")
    body = encode_stream('{a="1"}', [Entry(1, b"text")])
    assert list_parts(opener.streams(compress(body))) == scan(body)
