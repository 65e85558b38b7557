"""A spool that cannot grow: disk full, size reached, free space at its floor; memory stays bounded."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartRelay
from tests.harness.load import RelpLoad
from tests.harness.net import wait_until
from tests.harness.processes import Relay
from tests.harness.senders import numbered, octet_counted, rfc5424
from tests.harness.small_disk import small_disk as disk_of
from tests.integration.test_faults_loki import arrives
from tests.loki_double import LokiUnderTest

MIB = 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk_of(tmp_path, size=6 * MIB) as disk:
        yield disk


def random_text(number: int) -> bytes:
    """Text that snappy cannot shrink, so that a small disk is full soon."""
    import random

    from tests.harness.senders import rfc5424

    return rfc5424(f"n={number} {random.Random(number).randbytes(150).hex()}", host=f"host{number % 10}")


def is_full(status: str) -> bool:
    return json.loads(status)["queue"]["full"] is True


def test_a_full_disk_stops_the_intake_and_loses_nothing(
    loki: LokiUnderTest, start_relay: StartRelay, small_disk: Path
) -> None:
    relay = start_relay(loki.push_url, {"relay": {"spool": {"path": str(small_disk / "spool"), "min_free": "0B"}}})
    loki.fault("refuse")
    load = RelpLoad(relay.relp, total=60000, make=random_text, patience=120)
    wait_until(lambda: is_full(relay.get("/status")[1]), 30)
    time.sleep(2)
    assert load.running, "60,000 messages of 350 bytes cannot be on a disk of 6 MiB"
    assert relay.running
    loki.clear()
    sent = load.finish(90, stop=False)
    tally = arrives(loki, sent, 60)
    assert (tally.lost, tally.strange) == (0, [])
    assert tally.duplicates == 0
    assert not list((small_disk / "spool").glob("*.writing"))


def test_a_disk_filled_by_others_and_a_kill_lose_nothing(
    loki: LokiUnderTest, start_relay: StartRelay, small_disk: Path
) -> None:
    relay = start_relay(loki.push_url, {"relay": {"spool": {"path": str(small_disk / "spool"), "min_free": "0B"}}})
    loki.fault("refuse")
    load = RelpLoad(relay.relp, rate=2000, make=random_text, patience=120, window=1000)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        time.sleep(0.7)
        try:
            while True:
                assert file.write(b"\0" * 4096)
        except OSError:
            pass  # the disk is full, as wanted
    time.sleep(1.5)
    relay.kill()
    relay.up()
    time.sleep(0.5)
    filler.unlink()
    loki.clear()
    tally = arrives(loki, load.finish(90), 60)
    assert tally.lost == 0
    assert tally.duplicates <= 2 * 1000  # the window, and what was sent again to the full disk


def test_a_full_spool_holds_senders_back_and_memory_stays_bounded(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    """Plain TCP: nothing is acknowledged, so the sender has to feel it."""
    settings = {"batch": {"size": "512KiB"}, "spool": {"max_size": "4MiB"}, "connections": {"idle_timeout": "1s"}}
    relay = start_relay(loki.push_url, {"relay": settings})
    loki.fault("hang")
    total = 60000
    data = octet_counted(random_text(number) for number in range(total))
    done = threading.Event()

    def send() -> None:
        with socket.create_connection(("127.0.0.1", relay.syslog_tcp)) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)
        done.set()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    wait_until(lambda: is_full(relay.get("/status")[1]), 20)
    time.sleep(4)  # longer than it may be silent, which it is not of its own will
    assert not done.is_set()
    assert relay.rss() < 120 * MIB
    status, text = relay.get("/ready")
    assert status == 503, text
    loki.clear()
    tally = arrives(loki, total, 60)
    assert (tally.lost, tally.duplicates) == (0, 0)
    thread.join(10)
    assert relay.rss() < 120 * MIB


FULL_SOON = {"relay": {"batch": {"size": "256KiB"}, "spool": {"max_size": "2MiB"}}}


def held(relay: Relay, load: RelpLoad) -> None:
    """Wait until the spool is full and its sender waits for acknowledgements."""
    wait_until(lambda: is_full(relay.get("/status")[1]), 30)

    def stands_still() -> bool:
        before = load.produced
        time.sleep(0.5)
        return load.produced == before

    wait_until(stands_still, 20)


def test_a_sender_that_ends_its_session_before_a_full_spool_is_acknowledged_what_it_sent(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    relay = start_relay(loki.push_url, FULL_SOON)
    loki.fault("refuse")
    filling = RelpLoad(relay.relp, make=random_text, patience=120)
    held(relay, filling)
    with socket.create_connection(("127.0.0.1", relay.relp), timeout=10) as sender:
        sender.sendall(b"1 open 30 relp_version=0\ncommands=syslog\n")
        assert b"1 rsp" in sender.recv(1000)
        message = random_text(10**6)
        sender.sendall(b"2 syslog %d %s\n" % (len(message), message))
        sender.settimeout(2)
        with pytest.raises(TimeoutError):
            sender.recv(1000)
        sender.sendall(b"3 close 0\n")
        sender.settimeout(10)
        answers = b""
        while b"3 rsp" not in answers:
            answers += sender.recv(1000)
        assert b"2 rsp 6 200 OK\n" in answers
    loki.clear()
    sent = filling.finish(60)
    wait_until(lambda: loki.count() == sent + 1, 30, what=lambda: (loki.count(), sent))


def test_a_sender_that_vanishes_before_a_full_spool_left_nothing_behind(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    """As rsyslogd does that is stopped and has nobody who takes over: what it sent is on disk all the same."""
    relay = start_relay(loki.push_url, FULL_SOON)
    loki.fault("refuse")
    load = RelpLoad(relay.relp, make=random_text, patience=120)
    held(relay, load)
    sent, acknowledged = load.produced, load.client.acknowledged
    load.client.vanish()
    time.sleep(0.5)
    relay.kill()
    relay.up()
    loki.clear()
    wait_until(lambda: loki.count() >= sent - 1, 30, what=lambda: (loki.count(), sent, acknowledged))
    tally = loki.tally(sent)
    # The last one produced may not have been sent yet.
    assert tally.lost <= 1 < sent - acknowledged
    assert tally.duplicates == 0


def test_a_full_relay_that_is_stopped_acknowledges_what_it_has_so_that_it_does_not_come_twice(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    relay = start_relay(loki.push_url, FULL_SOON)
    loki.fault("refuse")
    load = RelpLoad(relay.relp, make=random_text, patience=120)
    held(relay, load)
    assert load.produced - load.client.acknowledged > 1000
    assert relay.terminate() < 5
    relay.up()
    held(relay, load)
    loki.clear()
    sent = load.finish(60)
    tally = arrives(loki, sent, 60)
    assert (tally.lost, tally.duplicates) == (0, 0)


def test_what_a_full_relay_has_not_read_of_plain_tcp_is_taken_when_it_is_stopped(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    relay = start_relay(loki.push_url, FULL_SOON)
    loki.fault("refuse")
    filling = RelpLoad(relay.relp, make=random_text, patience=120)
    held(relay, filling)
    with socket.create_connection(("127.0.0.1", relay.syslog_tcp)) as sender:
        sender.sendall(octet_counted(rfc5424(f"tcp {number}", application="tcp") for number in range(500)))
        time.sleep(0.5)
        inputs = json.loads(relay.get("/status")[1])["inputs"]
        assert inputs["syslog_tcp"]["messages"] == 0, "it was read: the test says nothing"
        assert relay.terminate() < 5
    relay.up()
    loki.clear()
    filling.finish(60)
    wait_until(lambda: loki.count('{application="tcp"}') == 500, 30, what=lambda: loki.count('{application="tcp"}'))


def test_drop_oldest_counts_every_entry_it_gives_up(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(
        loki.push_url,
        {"relay": {"batch": {"size": "256KiB"}, "spool": {"max_size": "2MiB", "when_full": "drop_oldest"}}},
    )
    loki.fault("refuse")
    load = RelpLoad(relay.relp, total=40000, make=random_text)
    sent = load.finish(stop=False)
    dropped = sum(json.loads(relay.get("/status")[1])["dropped"].values())
    assert dropped > 0
    loki.clear()
    wait_until(lambda: loki.count() >= sent - dropped, 30)
    time.sleep(1)
    tally = loki.tally(sent)
    assert (tally.lost, tally.duplicates) == (dropped, 0)


@pytest.mark.parametrize(("reserve", "left"), [("0B", 2.0), ("64MiB", 1.0)])
def test_free_space_below_the_floor_is_not_touched_but_for_the_reserve(
    loki: LokiUnderTest, start_relay: StartRelay, small_disk: Path, reserve: str, left: float
) -> None:
    import shutil

    spool = {"path": str(small_disk / "spool"), "min_free": "3MiB", "reserve": reserve}
    relay = start_relay(loki.push_url, {"relay": {"spool": spool}})
    loki.fault("refuse")
    load = RelpLoad(relay.relp, total=30000, make=random_text, patience=120)
    wait_until(lambda: is_full(relay.get("/status")[1]), 30)
    time.sleep(1)
    # The floor, or half of it with a reserve, less the batch that met it.
    assert shutil.disk_usage(small_disk).free >= left * MIB
    loki.clear()
    tally = arrives(loki, load.finish(90, stop=False), 60)
    assert (tally.lost, tally.duplicates) == (0, 0)


def test_batches_that_cannot_be_read_are_set_aside_and_the_rest_goes_on(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    relay = start_relay(loki.push_url)
    loki.fault("refuse")
    for part in range(4):
        load = RelpLoad(relay.relp, total=1000, make=lambda n, part=part: next(numbered((part * 1000 + n,))))  # type: ignore[misc]
        load.finish(stop=False)
        time.sleep(0.2)
    relay.kill()
    files = sorted(relay.spool.glob("*.push"))
    assert len(files) >= 4
    damaged = files[1]
    damaged.write_bytes(damaged.read_bytes()[:-10])
    relay.up()
    loki.clear()
    relay_entries = int(damaged.name.split("-")[5])
    wait_until(lambda: loki.count() >= 4000 - relay_entries, 30)
    time.sleep(0.5)
    tally = loki.tally(4000)
    assert (tally.lost, tally.duplicates) == (relay_entries, 0)
    assert relay.spooled() == 0
    assert list((relay.spool / "set-aside").iterdir())
