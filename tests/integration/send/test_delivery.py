"""Every line that is in the spool arrives once, whatever fails, and goes in order."""

import time
from pathlib import Path
from typing import Any

import pytest

from appliance.config import model
from appliance.config.units import Duration, Size
from appliance.relay.spool.spool import Spool
from tests.harness.sending import SECOND, MakeBench, answering, eventually, lines, segment, stream


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_what_is_in_the_spool_is_stored_once_and_leaves_the_spool(bench: MakeBench, encoding: str) -> None:
    b = bench(encoding=encoding)
    for number in range(20):
        b.put(*[(stream(f"h{host}"), lines(f"{number}", 10)) for host in range(5)])
    b.start()
    assert b.drained()
    assert b.loki.count() == 1000
    assert b.loki.duplicates() == 0
    assert b.sender is not None and b.sender.stats.pushed_entries == 1000
    assert b.loki.stats()["formats"].keys() == {encoding}


def test_new_segments_are_sent_as_they_come(bench: MakeBench) -> None:
    b = bench()
    b.start()
    for number in range(5):
        b.put((stream("h"), lines(f"{number}", 1)))
        assert eventually(lambda number=number: b.loki.count() == number + 1, 2)


@pytest.mark.parametrize(
    ("fault", "details"),
    [
        ("refuse", {}),
        ("hang", {}),
        ("reset", {}),
        ("garbage", {}),
        ("cut", {}),
        ("status", {"status": 500}),
        ("status", {"status": 503, "headers": {"Retry-After": "1"}}),
        ("status", {"status": 429, "headers": {"Retry-After": "1"}}),
        ("status", {"status": 401}),
        ("status", {"status": 404}),
        ("status", {"status": 260}),
        ("status", {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}),
        ("status", {"status": 400, "body": "no idea"}),
        ("status", {"status": 200, "body": "<html>Welcome</html>"}),
    ],
)
def test_nothing_is_lost_while_loki_fails_and_all_arrives_once_after(
    bench: MakeBench, fault: str, details: dict[str, Any]
) -> None:
    b = bench(timeout=Duration(1))
    b.loki.fault(fault, **details)
    for number in range(3):
        b.put(*[(stream(f"h{host}"), lines(f"{number}", 4)) for host in range(3)])
    sender = b.start()
    time.sleep(1.3)
    assert b.loki.count() == 0
    assert len(b.spool) == 3
    assert sender.stats.last_error is not None and sender.stats.last_error.remedy
    assert sender.stats.state in ("waiting", "held")
    b.loki.clear()
    sender.reload(b.config())
    assert b.drained(20)
    assert b.loki.count() == 36
    assert b.loki.duplicates() == 0
    assert eventually(lambda: sender.stats.state == "ok")


def test_stop_takes_less_than_two_seconds_while_loki_hangs_and_loses_nothing(bench: MakeBench) -> None:
    b = bench(timeout=Duration(30))
    b.loki.fault("hang")
    b.put((stream("h"), lines("a", 10)))
    sender = b.start()
    assert eventually(lambda: sender.stats.in_flight == 1)
    started = time.monotonic()
    b.stop()
    assert time.monotonic() - started < 2.1
    assert len(b.spool) == 1


def test_many_small_segments_share_pushes(bench: MakeBench) -> None:
    b = bench()
    now = time.time_ns()
    for number in range(0, 1000, 50):
        b.spool.append([segment([(stream("h"), lines(f"{number + i}", 1, now + i))]) for i in range(50)])
    b.start()
    assert b.drained()
    assert b.loki.count() == 1000
    assert b.loki.front.pushes < 20


def test_a_reload_changes_credentials_without_losing_what_waits(bench: MakeBench, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    b = bench(bearer_token_file=str(token), tenant="t1", headers={"X-Team": "net", "User-Agent": "forged"})
    b.loki.front.access.bearer = "new"
    b.put((stream("h"), lines("a", 10)))
    sender = b.start()
    assert eventually(lambda: sender.stats.state == "held")
    assert sender.stats.last_error is not None and "401" in sender.stats.last_error.cause
    assert "old" not in repr(sender.stats.last_error)
    token.write_text("new\n")
    assert b.drained(3)
    assert b.loki.count() == 10
    headers = b.loki.front.last_headers
    assert headers["x-scope-orgid"] == "t1" and headers["x-team"] == "net" and "forwarder" in headers["user-agent"]


def test_a_backlog_goes_oldest_first_and_does_not_put_itself_out_of_lokis_window(bench: MakeBench) -> None:
    b = bench()
    now = time.time_ns()
    for age in range(180, 0, -1):  # three hours, a segment a minute
        b.put((stream("h"), lines(f"{age}", 20, now - age * 60 * SECOND)))
    sender = b.start()
    for number in range(20):
        b.put((stream("h"), lines(f"fresh {number}", 5)))
        time.sleep(0.02)
    assert b.drained()
    assert b.loki.count() == 180 * 20 + 100
    assert b.loki.duplicates() == 0
    assert sender.stats.repaired == {} and sum(b.loki.stats()["hidden"].values()) == 0


def test_fresh_lines_do_not_wait_for_the_whole_backlog(bench: MakeBench) -> None:
    b = bench(connections=1)
    now = time.time_ns()
    b.spool._now = lambda: time.time() - 60
    for age in range(120, 0, -1):
        b.put((stream(f"h{age}"), lines(f"{age}", 3, now - age * SECOND, size=200_000)))
    b.spool._now = time.time
    b.put((stream("new"), lines("fresh", 1)))
    b.loki.fault("slow", seconds=0.05)
    sender = b.start()
    assert eventually(lambda: b.loki.count('{host="new"}') == 1)
    assert len(b.spool) > 60
    b.loki.clear()
    assert b.drained(30) and b.loki.count() == 361
    assert sender.stats.repaired == {} and sum(b.loki.stats()["hidden"].values()) == 0


def test_what_the_spool_gives_up_is_not_waited_for_in_memory(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.relay.send.sender._DROPPED", 10)
    b = bench()
    b.loki.fault("refuse")
    sender = b.start()
    b.spool.settings = model.Spool(path=str(b.path), min_free=Size(0), max_size=Size(2000), when_full="drop_oldest")
    for number in range(300):
        b.put((stream("h"), lines(f"{number}", 1)))
    [queue] = sender.destination.queues.values()
    assert eventually(lambda: len(queue.waiting) <= len(b.spool) + 10)
    assert len(b.spool) < 50
    b.loki.clear()
    assert b.drained() and b.loki.count() > 0


def test_it_says_so_when_a_thread_has_died(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    b = bench()
    sender = b.start()
    assert sender.alive()
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    monkeypatch.setattr("appliance.relay.send.queue.PushQueue.next", lambda *_: 1 / 0)
    b.put((stream("h"), lines("x", 1)))
    assert eventually(lambda: not sender.alive())


def test_a_segment_that_cannot_be_read_does_not_stop_the_others(bench: MakeBench) -> None:
    b = bench()
    b.put((stream("a"), lines("a", 3)))
    b.put((stream("b"), lines("b", 3)))
    b.put((stream("c"), lines("c", 3)))
    broken = b.spool.segments()[1]
    path = b.spool.path / broken.name
    path.write_bytes(b"\0" * broken.size)
    b.spool.close()
    b.spool = Spool(b.spool.settings)
    b.start()
    assert b.drained()
    assert b.loki.count() == 6
    assert b.spool.stats.set_aside == 1


@pytest.mark.parametrize("status", [401, 429])
def test_a_tenant_that_is_refused_or_slowed_does_not_hold_up_the_others(bench: MakeBench, status: int) -> None:
    b = bench()
    answering(b, b"\0never\0", status, b"no", tenant="bad")
    b.put((stream("x"), lines("bad", 10)), tenant="bad")
    for number in range(20):
        b.put((stream("x"), lines(f"good {number}", 10)), tenant="good")
    sender = b.start()
    assert eventually(lambda: b.loki.count() == 200, 5)
    assert eventually(lambda: len(b.spool) == 1)
    assert sender.stats.state in ("held", "waiting")


def test_a_batch_that_cannot_be_read_for_a_while_waits_and_holds_up_no_other(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.relay.send.delivery.READ_AGAIN", 0.2)
    b = bench()
    for name in ("a", "b", "c"):
        b.put((stream(name), lines(name, 3)))
    bad = b.spool.path / b.spool.segments()[1].name
    b.spool.close()
    b.spool = Spool(b.spool.settings)
    real, failing = Path.read_bytes, True

    def read(path: Path) -> bytes:
        if failing and path == bad:
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    b.start()
    assert eventually(lambda: b.loki.count() == 6)
    time.sleep(1)
    assert len(b.spool) == 1 and b.spool.stats.set_aside == 0
    failing = False
    assert b.drained()
    assert (b.loki.count(), b.loki.duplicates()) == (9, 0)
