"""What the relay reads from and tells to its surroundings: kernel losses, rsyslog's numbers, systemd, senders."""

import asyncio
import contextlib
import os
import socket
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.relay.notify import Notifier
from appliance.relay.report.impstats import parse_impstats, read_impstats
from appliance.relay.report.senders import Sources
from appliance.relay.report.udp_drops import read_udp_losses

# ---- kernel --------------------------------------------------------------------------------------


def test_datagrams_dropped_at_a_full_buffer_are_counted_for_their_port_only() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reader,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.bind(("127.0.0.1", 0))
        port = reader.getsockname()[1]
        other = sender.getsockname()[1] or 9
        assert read_udp_losses([port]).drops == {port: 0}
        for _ in range(200):
            sender.sendto(b"x" * 1000, ("127.0.0.1", port))
        losses = read_udp_losses([port, other])
        assert 100 < losses.drops[port] < 200
        assert losses.drops[other] == 0
        assert losses.queued[port] > 0
        assert losses.receive_buffer_errors >= losses.drops[port]


def test_files_that_are_absent_or_cut_say_zero(tmp_path: Path) -> None:
    assert read_udp_losses([514], tmp_path).drops == {514: 0}
    (tmp_path / "udp").write_text("  sl  local_address\n  1: 0100007F:0202 0000\n 2: x\n")
    (tmp_path / "snmp").write_text("Udp: InDatagrams RcvbufErrors\nUdp: 5")
    losses = read_udp_losses([514], tmp_path)
    assert (losses.drops, losses.receive_buffer_errors) == ({514: 0}, 0)


# ---- rsyslog -------------------------------------------------------------------------------------

BLOCK = """\
Mon Nov 23 13:43:56 2026: {{ "name": "relay", "origin": "core.action", "processed": 6, "failed": 1, "suspended": 2, "suspended.duration": 0, "resumed": 0 }}
Mon Nov 23 13:43:56 2026: {{ "name": "udp(127.0.0.1\\/514\\/IPv4)", "origin": "imudp", "submitted": 6, "disallowed": 3 }}
Mon Nov 23 13:43:56 2026: {{ "name": "tcp(514)", "origin": "imtcp", "submitted": 4 }}
Mon Nov 23 13:43:56 2026: {{ "name": "relay queue[DA]", "origin": "core.queue", "size": {disk}, "enqueued": 90, "full": 0, "discarded.full": 1, "discarded.nf": 0, "maxqsize": 90 }}
Mon Nov 23 13:43:56 2026: {{ "name": "relay queue", "origin": "core.queue", "size": {size}, "enqueued": {enqueued}, "full": 5, "discarded.full": 2, "discarded.nf": 3, "maxqsize": 70 }}
Mon Nov 23 13:43:56 2026: {{ "name": "main Q", "origin": "core.queue", "size": 0, "enqueued": 6, "full": 0, "discarded.full": 0, "discarded.nf": 0, "maxqsize": 1 }}
"""  # noqa: E501


def block(size: int, enqueued: int, disk: int = 0) -> bytes:
    return BLOCK.format(size=size, enqueued=enqueued, disk=disk).encode()


def test_the_newest_block_of_impstats_is_told() -> None:
    state = parse_impstats(block(1, 10) + block(5, 20, disk=30), 2.0)
    assert state is not None
    assert (state.backlog, state.largest_backlog, state.enqueued) == (35, 90, 20)
    assert (state.discarded, state.discarded_not_full, state.full_events) == (6, 3, 5)
    assert (state.failed, state.suspended) == (1, 2)
    assert state.submitted == {"udp": 6, "tcp": 4}
    assert state.disallowed == {"udp": 3}
    assert not state.stale


def test_a_queue_that_nothing_leaves_is_stalled() -> None:
    stalled = parse_impstats(block(5, 20) + block(15, 30), 0)
    draining = parse_impstats(block(15, 20) + block(20, 30), 0)
    moved_to_disk = parse_impstats(block(15, 20) + block(5, 30, disk=15), 0)
    draining_from_disk = parse_impstats(block(5, 20, disk=15) + block(5, 20, disk=10), 0)
    empty = parse_impstats(block(0, 20) + block(0, 20), 0)
    once = parse_impstats(block(5, 20), 0)
    assert stalled and stalled.stalled
    assert draining and not draining.stalled
    assert moved_to_disk and not moved_to_disk.stalled
    assert draining_from_disk and not draining_from_disk.stalled
    assert empty and not empty.stalled
    assert once and not once.stalled


def test_a_missing_empty_half_written_or_old_file_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "stats"
    assert read_impstats(path) is None
    path.write_bytes(b"")
    assert read_impstats(path) is None
    path.write_bytes(block(5, 20) * 500 + block(7, 30)[:-40])
    state = read_impstats(path)
    assert state is not None
    assert state.backlog == 7
    os.utime(path, (time.time() - 500, time.time() - 500))
    state = read_impstats(path)
    assert state is not None
    assert state.stale


def test_a_file_just_rotated_away_is_still_known(tmp_path: Path) -> None:
    path = tmp_path / "stats"
    path.write_bytes(block(5, 20) * 20 + block(6, 30))
    path.rename(tmp_path / "stats.1")
    state = read_impstats(path)
    assert state is not None
    assert (state.backlog, state.stale) == (6, False)
    path.write_bytes(block(9, 30))
    state = read_impstats(path)
    assert state is not None
    assert (state.backlog, state.stalled) == (9, True)


@given(st.binary(max_size=200), st.integers(0, 1000))
def test_any_bytes_in_that_file_are_passed_over(noise: bytes, cut: int) -> None:
    parse_impstats(noise, 0)
    state = parse_impstats(block(5, 20)[:cut] + b"\n" + noise + b"\n" + block(7, 30), 0)
    assert state is not None


# ---- systemd -------------------------------------------------------------------------------------


def test_systemd_is_told_by_path_and_by_abstract_name(tmp_path: Path) -> None:
    for address in (str(tmp_path / "notify"), f"@forwarder-test-{os.getpid()}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(address.replace("@", "\0"))
            systemd.settimeout(2)
            notifier = Notifier({"NOTIFY_SOCKET": address})
            notifier.ready("forwarding")
            assert systemd.recv(1000) == b"READY=1\nSTATUS=forwarding"
            notifier.reloading()
            assert systemd.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            notifier.status("one")
            notifier.status("one")
            notifier.status("two")
            assert [systemd.recv(1000) for _ in range(2)] == [b"STATUS=one", b"STATUS=two"]
            notifier.stopping()
            assert systemd.recv(1000) == b"STOPPING=1"


def test_without_systemd_or_with_a_dead_socket_nothing_happens(tmp_path: Path) -> None:
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()


def test_the_watchdog_is_fed_only_while_there_is_progress(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "90000", "WATCHDOG_PID": str(os.getpid())}
    assert Notifier({**environment, "WATCHDOG_PID": "1"}).watchdog_period == 0
    progress = True

    async def scenario(systemd: socket.socket) -> tuple[int, int]:
        nonlocal progress
        feeding = asyncio.create_task(Notifier(environment).feed_watchdog(lambda: progress))
        await asyncio.sleep(0.2)
        fed = drain(systemd)
        progress = False
        await asyncio.sleep(0.15)
        starved = drain(systemd)
        feeding.cancel()
        return fed, starved

    def drain(systemd: socket.socket) -> int:
        count = 0
        with contextlib.suppress(BlockingIOError):
            while systemd.recv(100) == b"WATCHDOG=1":
                count += 1
        return count

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.setblocking(False)
        fed, starved = asyncio.run(scenario(systemd))
    assert 3 <= fed <= 10
    assert starved <= 1


# ---- senders -------------------------------------------------------------------------------------


def test_senders_are_counted_and_the_one_not_seen_for_longest_gives_way() -> None:
    sources = Sources(limit=3)
    for moment, sender in enumerate(("a", "b", "c", "a", "d")):
        sources.record(sender, "udp", 2, 100.0 + moment)
    assert [(s.sender, s.count, s.first_seen, s.last_seen) for s in sources.latest(10)] == [
        ("d", 2, 104.0, 104.0),
        ("a", 4, 100.0, 103.0),
        ("c", 2, 102.0, 102.0),
    ]
    assert (len(sources), sources.evicted) == (3, 1)
    assert [s.sender for s in sources.latest(1)] == ["d"]


def test_one_sender_on_two_inputs_is_two_lines() -> None:
    sources = Sources()
    sources.record("a", "udp", 1, 1.0)
    sources.record("a", "tls", 1, 2.0)
    assert [(s.sender, s.input) for s in sources.latest(5)] == [("a", "tls"), ("a", "udp")]


def test_a_senders_rate_follows_what_it_sends_and_falls_to_zero_in_silence() -> None:
    sources = Sources()
    for second in range(300):
        sources.record("a", "udp", 50, 1000.0 + second)
    (source,) = sources.latest(1)
    assert 40 <= source.rate(1300.0) <= 60
    assert source.rate(1330.0) < 40
    assert source.rate(1500.0) == 0


def test_a_clock_stepped_back_does_no_harm() -> None:
    sources = Sources()
    sources.record("a", "udp", 50, 5000.0)
    sources.record("a", "udp", 50, 1000.0)
    (source,) = sources.latest(1)
    assert source.count == 100
    assert source.rate(1001.0) >= 0
