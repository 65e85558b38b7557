"""What Loki refuses is repaired within its bounds, by value."""

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config import model
from appliance.relay.loki.limit_table import Reason
from appliance.relay.loki.push_format import (
    Entry,
    encode_raw,
    encode_stream,
    entries_of,
    raw_entries,
    scan,
)
from appliance.relay.send.repair import (
    Bounds,
    broken,
    cut,
    format_time,
    label_reason,
    reduce_labels,
    repair,
    repair_labels,
    restamp,
)

SECOND = 10**9
LIMITS = model.LokiLimits()
calmly = settings(deadline=None, max_examples=60)


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
def test_a_repaired_entry_keeps_to_all_bounds(stamp: int, line: bytes, metadata: tuple[tuple[str, str], ...]) -> None:
    bounds = Bounds(500, 1500, 100, 600, 8)
    repaired = repair(Entry(stamp, line, metadata), bounds, 1000)
    assert broken(repaired, bounds) is None
    if broken(Entry(stamp, line, metadata), bounds) in (Reason.TOO_OLD, Reason.TOO_NEW):
        assert repaired.timestamp_ns == 1000
        assert dict(repaired.metadata)["repaired"].split(",")[0] in ("too_old", "too_new")


names_of_ours = st.sampled_from(["a", "bc", "repaired", "original_timestamp"])


@calmly
@given(
    st.integers(0, 2**62),
    st.binary(max_size=150),
    st.lists(st.tuples(names_of_ours, st.text("xyz\x1a", max_size=60)), max_size=9).map(tuple),
    st.sampled_from([Reason.TOO_OLD, Reason.TOO_NEW, Reason.TOO_FAR_BEHIND]),
)
def test_an_entry_restamped_undecoded_is_the_repaired_one(
    stamp: int, line: bytes, metadata: tuple[tuple[str, str], ...], reason: Reason
) -> None:
    bounds = Bounds(0, 2**62, 100, 600, 8)
    body = encode_stream('{a="b"}', [Entry(stamp, line, metadata), Entry(5, b"next")])
    first, second = raw_entries(body, scan(body)[0])
    restamped = encode_raw('{a="b"}', [restamp(first, bounds, 1000, reason), second.field])
    expected = [repair(Entry(stamp, line, metadata), bounds, 1000, reason), Entry(5, b"next")]
    assert entries_of(restamped, scan(restamped)[0]) == expected


def test_an_entry_whose_time_stamp_does_not_come_first_is_restamped_all_the_same() -> None:
    line_then_stamp = b"\x12\x01x" + b"\x0a\x02\x08\x07"
    body = encode_raw('{a="b"}', [b"\x12" + bytes([len(line_then_stamp)]) + line_then_stamp])
    [raw] = raw_entries(body, scan(body)[0])
    assert (raw.timestamp_ns, raw.rest) == (7 * SECOND, None)
    repaired = encode_raw('{a="b"}', [restamp(raw, Bounds(), 1000, Reason.TOO_OLD)])
    [entry] = entries_of(repaired, scan(repaired)[0])
    assert (entry.timestamp_ns, entry.line) == (1000, b"x")
    assert dict(entry.metadata) == {"repaired": "too_old", "original_timestamp": format_time(7 * SECOND)}


def test_the_original_time_stamp_and_earlier_repairs_are_kept() -> None:
    entry = Entry(0, b"x", (("repaired", "utf8,clock"), ("original_timestamp", "Nov 23 06:30:06")))
    repaired = repair(entry, Bounds(oldest_ns=1), 5)
    assert dict(repaired.metadata) == {"original_timestamp": "Nov 23 06:30:06", "repaired": "utf8,clock,too_old"}
    assert (
        dict(repair(Entry(1, b"x"), Bounds(oldest_ns=2), 5).metadata)["original_timestamp"]
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


def test_repaired_labels_are_taken() -> None:
    for text in ("{" + ", ".join(f'l{n}="v"' for n in range(30)) + "}", '{a="' + "x" * 5000 + '"}', "{bad-name=1}", ""):
        labels, moved = repair_labels(text, LIMITS, ["host"])
        assert label_reason(labels, LIMITS) is None
        assert moved
