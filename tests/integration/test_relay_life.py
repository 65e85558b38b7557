"""The relay's life: start, reload, watchdog and stop, with its connections and what is on its disk."""

import json
import os
import re
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cramjam
import pytest

from appliance.config import model
from appliance.config.units import Size
from appliance.relay.loki import push_format
from appliance.relay.spool.spool import NewSegment, Segment, Spool
from tests.harness.net import port_open, wait_until
from tests.harness.processes import Process, Relay
from tests.harness.relp_client import RelpClient
from tests.harness.senders import numbered, octet_counted, rfc5424, send_tcp
from tests.loki_double import LokiUnderTest

StartRelay = Callable[..., Relay]
NOBODY = "http://127.0.0.1:9/loki/api/v1/push"


def fill_spool(path: Path, segments: int) -> None:
    """A spool of small segments, without writing each of them the slow way."""
    spool = Spool(model.Spool(path=str(path), min_free=Size(0)))
    now = time.time_ns()
    body = push_format.encode_stream('{job="old"}', [push_format.Entry(now, b"old", ())])
    spool.append([NewSegment(bytes(cramjam.snappy.compress_raw(body)), None, 1, len(body), now, now, "")])
    [first] = spool.segments()
    data = (path / first.name).read_bytes()
    for number in range(1, segments):
        values = (first.created_ms, now, now, 1, len(body), len(data), first.crc, "")
        (path / Segment(first.sequence + number, *values).name).write_bytes(data)


def test_it_starts_in_a_second_with_ten_thousand_segments(tmp_path: Path, processes: list[Process]) -> None:
    """From its start to READY=1, as systemd would measure it."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.settimeout(20)
    relay = Relay(tmp_path / "relay", NOBODY, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    processes.append(relay)
    fill_spool(relay.spool, 10_000)
    took, used = [], []
    for _ in range(20):  # of which a busy machine leaves one in peace
        started = time.monotonic()
        relay.start()
        while b"READY=1" not in listener.recv(1000):
            pass
        took.append(time.monotonic() - started)
        used.append(relay.cpu())
        assert json.loads(relay.get("/status")[1])["queue"]["batches"] == 10_000
        relay.kill()
        if took[-1] < 1:
            break
    assert min(took) < 1, (took, used)
    assert min(used) < 0.7, (took, used)


def test_it_ends_in_under_five_seconds_with_loki_hanging_and_loses_nothing(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    loki.fault("hang")
    relay = start_relay(loki.push_url)
    client = RelpClient(relay.relp)
    client.connect()
    client.send(numbered(range(5000)))
    send_tcp(relay.syslog_tcp, octet_counted(numbered(range(5000, 6000))))
    wait_until(lambda: '"syslog_tcp": {\n      "messages": 1000' in relay.get("/status")[1])
    assert relay.terminate() < 5
    loki.clear()
    relay.up()
    wait_until(lambda: loki.count() >= 6000, 30)
    tally = loki.tally(6000)
    assert not tally.lost and not tally.duplicates


def test_a_full_spool_does_not_cost_what_was_taken_when_it_stops(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    loki.fault("status", status=503)
    relay = start_relay(loki.push_url, {"relay": {"spool": {"max_size": "80kB"}, "batch": {"size": "20kB"}}})
    taken = 0
    with socket.create_connection(("127.0.0.1", relay.syslog_tcp)) as tcp:
        while '"full": false' in relay.get("/status")[1]:
            tcp.sendall(octet_counted(numbered(range(taken, taken + 500), size=100)))
            taken += 500
            time.sleep(0.1)
        tcp.sendall(b"and one without its end n=%d" % taken)
        time.sleep(1)
        assert relay.terminate() < 5
    loki.clear()
    relay.up()
    wait_until(lambda: not loki.tally(taken).lost, 30, what=lambda: loki.tally(taken))


def test_a_burst_of_connections_waits_for_a_relay_that_is_busy(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url)
    relay.signal(signal.SIGSTOP)
    senders = []
    try:
        for line in numbered(range(600)):
            senders.append(socket.create_connection(("127.0.0.1", relay.syslog_tcp), timeout=2))
            senders[-1].sendall(octet_counted([line]))
        relay.signal(signal.SIGCONT)
        wait_until(lambda: loki.count() >= 600, 30)
    finally:
        for sender in senders:
            sender.close()
    tally = loki.tally(600)
    assert not tally.lost and not tally.duplicates


def test_what_was_sent_without_acknowledgement_is_taken_before_it_ends(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    relay = start_relay(loki.push_url)
    with (
        socket.create_connection(("127.0.0.1", relay.syslog_tcp)) as unread,
        socket.create_connection(("127.0.0.1", relay.syslog_tcp)) as unfinished,
    ):
        unfinished.sendall(rfc5424("n=6000"))  # no LF
        time.sleep(0.3)
        relay.signal(signal.SIGSTOP)
        data = octet_counted(numbered(range(6000), size=150))
        sender = threading.Thread(target=unread.sendall, args=(data,))
        sender.start()
        time.sleep(0.3)
        relay.signal(signal.SIGTERM)
        relay.signal(signal.SIGCONT)
        relay.wait(5)
        sender.join()
    relay.up()
    wait_until(lambda: loki.count() >= 6001, 20, what=lambda: loki.tally(6001))
    tally = loki.tally(6001)
    assert (tally.lost, tally.duplicates) == (0, 0)


def test_a_sender_is_told_that_the_relay_goes(start_relay: StartRelay) -> None:
    relay = start_relay(NOBODY)
    client = RelpClient(relay.relp)
    client.connect()
    client.send(numbered(range(10)))
    relay.terminate()
    wait_until(lambda: client_hears(client))


def client_hears(client: RelpClient) -> bool:
    assert client._socket is not None
    client._socket.settimeout(1)
    data = b""
    try:
        while piece := client._socket.recv(4096):
            data += piece
    except OSError:
        pass
    return b"serverclose" in data


def test_reload_keeps_connections_and_applies_the_new_labels(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url)
    client = RelpClient(relay.relp)
    client.connect()
    client.send([rfc5424(b"before")])
    with socket.create_connection(("127.0.0.1", relay.syslog_tcp)) as tcp:
        tcp.sendall(octet_counted([rfc5424(b"tcp before")]))
        wait_until(lambda: loki.count() == 2)
        relay.configure({"labels": {"static": {"job": "syslog", "site": "b"}}})
        relay.signal(signal.SIGHUP)
        wait_until(lambda: "configuration was reloaded" in relay.output)
        tcp.sendall(octet_counted([rfc5424(b"tcp after")]))
        client.send([rfc5424(b"after")])
        wait_until(lambda: loki.count() == 4)
    assert client.connections == 1
    assert sorted(loki.lines('{site="b"}')) == [b"after", b"tcp after"]


@pytest.mark.parametrize("relp", [False, True])
def test_a_smaller_bound_on_messages_holds_for_one_that_is_on_its_way(
    loki: LokiUnderTest, start_relay: StartRelay, relp: bool
) -> None:
    relay = start_relay(loki.push_url, {"relay": {"connections": {"max_message": "2MiB"}}})
    long = rfc5424(b"a" * 1_500_000)
    with socket.create_connection(("127.0.0.1", relay.relp if relp else relay.syslog_tcp), timeout=10) as sender:
        if relp:
            sender.sendall(b"1 open 30 relp_version=0\ncommands=syslog\n")
            assert b"200 OK" in sender.recv(1000)
        frame = (b"2 syslog %d %b\n" if relp else b"%d %b") % (len(long), long)
        sender.sendall(frame[:1_000_000])
        time.sleep(0.3)
        relay.configure({"relay": {"connections": {"max_message": "64KiB"}}})
        relay.signal(signal.SIGHUP)
        wait_until(lambda: "the configuration was reloaded" in relay.output)
        after = rfc5424(b"after")
        sender.sendall(frame[1_000_000:] + (b"3 syslog %d %b\n" if relp else b"%d %b") % (len(after), after))
        wait_until(lambda: len(loki.lines()) == 2, what=lambda: relay.output[-2000:])
    cut, whole = sorted(loki.lines(), key=len, reverse=True)
    assert whole == b"after"
    assert set(cut) == {ord("a")} and len(cut) <= 65536


def test_another_spool_path_is_said_to_wait_for_a_restart(start_relay: StartRelay, tmp_path: Path) -> None:
    relay = start_relay(NOBODY)
    relay.configure({"relay": {"spool": {"path": str(tmp_path / "elsewhere")}}})
    relay.signal(signal.SIGHUP)
    wait_until(lambda: "configuration was reloaded" in relay.output)
    assert "relay.spool.path takes effect at the next start" in relay.output


def test_two_relays_do_not_share_a_spool(start_relay: StartRelay) -> None:
    first = start_relay(NOBODY)
    second = start_relay(NOBODY, {"relay": {"spool": {"path": str(first.spool)}}}, name="second", up=False)
    second.start()
    assert second.wait(20) != 0
    assert "in use by another relay" in second.output and "hint" in second.output
    first.kill()
    second.start()
    wait_until(lambda: port_open(second.relp))


def test_a_wrong_configuration_changes_nothing(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url)
    relay.configure({"labels": {"statik": {"job": "x"}}})
    relay.signal(signal.SIGHUP)
    wait_until(lambda: "configuration was refused" in relay.output)
    send_tcp(relay.syslog_tcp, octet_counted([rfc5424(b"still here")]))
    wait_until(lambda: loki.lines() == [b"still here"])


def test_an_address_that_cannot_be_had_leaves_the_old_ones(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        relay.configure({"relay": {"listen": {"syslog_tcp": f"127.0.0.1:{port}"}}})
        relay.signal(signal.SIGHUP)
        wait_until(lambda: "configuration was refused" in relay.output)
    send_tcp(relay.syslog_tcp, octet_counted([rfc5424(b"still here")]))
    wait_until(lambda: loki.lines() == [b"still here"])


def test_systemd_is_told_and_its_watchdog_fed(tmp_path: Path, start_relay: StartRelay) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(10)
        relay = start_relay(NOBODY, env={**os.environ, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "600000"})
        heard = [systemd.recv(4096) for _ in range(4)]
        assert heard[0].startswith(b"READY=1")
        assert b"WATCHDOG=1" in heard
        relay.signal(signal.SIGSTOP)
        time.sleep(0.7)
        systemd.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while True:
                systemd.recv(4096)
        relay.signal(signal.SIGCONT)
        systemd.settimeout(10)
        relay.signal(signal.SIGHUP)
        heard = []
        while not any(b"READY=1" in one for one in heard):
            heard.append(systemd.recv(4096))
        assert any(b"RELOADING=1" in one for one in heard)
        relay.signal(signal.SIGTERM)
        while b"STOPPING=1" not in heard:
            heard.append(systemd.recv(4096))


def test_idle_memory_is_small(start_relay: StartRelay) -> None:
    relay = start_relay(NOBODY)
    relay.get("/metrics")
    time.sleep(1)
    assert relay.rss() < 45 * 2**20


@pytest.mark.slow
def test_the_memory_of_a_load_is_given_back_when_that_is_over(
    loki_process: LokiUnderTest, start_relay: StartRelay
) -> None:
    relay = start_relay(loki_process.push_url)

    def send(first: int) -> None:
        lines = (
            rfc5424(f"n={n} ".ljust(150, "x"), host=f"host{n % 60}", application=f"app{n // 60 % 50}")
            for n in range(first, first + 60_000)
        )
        send_tcp(relay.syslog_tcp, octet_counted(lines))

    threads = [threading.Thread(target=send, args=(first,)) for first in range(0, 360_000, 60_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: loki_process.count() == 360_000, 60)
    loaded = relay.rss()
    # Not all is given back in one moment.
    wanted = min(loaded - 6 * 2**20, 50 * 2**20)
    wait_until(lambda: relay.rss() < wanted, 75, every=1, what=lambda: f"{loaded}, {relay.rss()}")


# ---- sessions -------------------------------------------------------------------------------------


def test_a_message_is_acknowledged_only_when_it_is_on_disk(start_relay: StartRelay) -> None:
    relay = start_relay(NOBODY)
    client = RelpClient(relay.relp)
    client.connect()
    client.send([rfc5424(b"precious")])
    relay.kill()
    spool = Spool(model.Spool(path=str(relay.spool), min_free=Size(0)))
    bodies = [bytes(cramjam.snappy.decompress_raw(spool.load(one).compressed)) for one in spool.segments()]
    assert any(b"precious" in body for body in bodies)


def test_a_sender_with_a_small_window_is_soon_acknowledged_at_once(start_relay: StartRelay) -> None:
    relay = start_relay(NOBODY)
    client = RelpClient(relay.relp, window=1)
    client.connect()
    client.send(numbered(range(5)))  # the relay learns how far this sender goes ahead
    started = time.monotonic()
    client.send(numbered(range(5, 55)))
    assert time.monotonic() - started < 5  # a batch's age for each would be 50 s


def test_several_sessions_are_served_and_closed_in_order(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url)
    clients = [RelpClient(relay.relp, window=100) for _ in range(5)]
    for client in clients:
        client.connect()
    for number, client in enumerate(clients):
        client.send(numbered(range(number * 200, number * 200 + 200)))
    for client in clients:
        client.close()
    wait_until(lambda: loki.count() == 1000)
    assert not loki.tally(1000).lost


def raw_relp(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while piece := connection.recv(4096):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


def test_commands_are_answered_as_the_protocol_says(start_relay: StartRelay) -> None:
    relay = start_relay(NOBODY)
    offer = b"relp_version=0\ncommands=syslog"
    message = rfc5424(b"x")
    frames = b"1 open %d %b\n" % (len(offer), offer)
    frames += b"2 syslog %d %b\n" % (len(message), message)
    frames += b"3 sing 0\n4 close 0\n"
    with socket.create_connection(("127.0.0.1", relay.relp), timeout=10) as connection:
        connection.sendall(frames)
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    assert answer.startswith(b"1 rsp ") and b"200 OK\nrelp_version=0\n" in answer
    assert b"3 rsp 19 500 unknown command\n" in answer
    assert answer.index(b"2 rsp 6 200 OK\n") < answer.index(b"4 rsp 0\n") < answer.index(b"0 serverclose 0\n")


def test_garbage_on_relp_costs_only_its_connection(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url)
    client = RelpClient(relay.relp)
    client.connect()
    raw_relp(relay.relp, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    raw_relp(relay.relp, os.urandom(5000))
    client.send([rfc5424(b"good")])
    wait_until(lambda: loki.lines() == [b"good"])
    assert client.connections == 1
    assert re.search(r'msg="what came is no RELP frame"', relay.output)


def test_a_sender_that_reads_no_answers_is_held_back(start_relay: StartRelay) -> None:
    """Its acknowledgements may not pile up in memory; once it reads, everything is acknowledged."""
    relay = start_relay(NOBODY)
    before = relay.rss()
    with socket.socket() as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sender.connect(("127.0.0.1", relay.relp))
        sender.settimeout(2)
        sender.sendall(b"1 open 30 relp_version=0\ncommands=syslog\n")
        message = rfc5424(b"x")
        data = memoryview(b"".join(b"%d syslog %d %b\n" % (n, len(message), message) for n in range(2, 600_000)))
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < len(data):
                sent += sender.send(data[sent : sent + 65536])
        assert relay.rss() - before < 40 * 2**20
        answers = 0
        sender.setblocking(False)
        deadline = time.monotonic() + 30
        while sent < len(data) and time.monotonic() < deadline:
            readable, writable, _ = select.select([sender], [sender], [], 1)
            if readable:
                answers += sender.recv(1 << 20).count(b"200 OK\n")
            if writable:
                sent += sender.send(data[sent : sent + 65536])
        assert sent == len(data) and answers > 1000


def test_the_log_says_nothing_about_each_message_connection_or_push(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    """At its most talkative, while every message is odd, every connection broken and every push refused."""
    relay = start_relay(
        loki.push_url, {"relay": {"log_level": "debug"}, "loki": {"backoff": {"min": "50ms", "max": "50ms"}}}
    )
    loki.fault("status", status=500, body="no")
    for turn in range(100):
        send_tcp(relay.syslog_tcp, b"".join(b"<999> odd %d \x00\xff\n" % (turn * 30 + n) for n in range(30)))
        with socket.create_connection(("127.0.0.1", relay.relp)) as garbage:
            garbage.sendall(b"GET / HTTP/1.0\r\n\r\n")
            garbage.recv(100)
    wait_until(lambda: sum(loki.stats()["statuses"].values()) > 20, 20)
    said = relay.output.splitlines()
    assert len(said) < 60, "\n".join(said[-20:])
    assert all(re.match(r"ts=\S+ level=\w+ part=\w+ msg=", line) for line in said), said
    loki.clear()
    wait_until(lambda: loki.count() == 3000, 20)


def test_connections_are_limited(start_relay: StartRelay) -> None:
    relay = start_relay(NOBODY, {"relay": {"connections": {"max": 3}}})
    wait_until(lambda: '"connections": 0' in relay.get("/status")[1].partition('"syslog_tcp"')[2][:120])
    open_ones = [socket.create_connection(("127.0.0.1", relay.syslog_tcp)) for _ in range(3)]
    time.sleep(0.2)
    with socket.create_connection(("127.0.0.1", relay.syslog_tcp), timeout=5) as refused:
        try:
            assert refused.recv(1) == b""
        except ConnectionResetError:
            pass
    open_ones[0].close()
    time.sleep(0.2)
    send_tcp(relay.syslog_tcp, octet_counted([rfc5424(b"room again")]))
    wait_until(lambda: '"messages": 1,' in relay.get("/status")[1].partition('"syslog_tcp"')[2][:120])
    for one in open_ones:
        one.close()


def test_silent_connections_are_closed_and_what_they_left_unfinished_is_kept(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    relay = start_relay(loki.push_url, {"relay": {"connections": {"idle_timeout": "1s"}}})
    client = RelpClient(relay.relp)  # it waits for its acknowledgements, and is not closed
    client.connect()
    with (
        socket.create_connection(("127.0.0.1", relay.syslog_tcp), timeout=5) as silent,
        socket.create_connection(("127.0.0.1", relay.syslog_tcp), timeout=5) as busy,
    ):
        silent.sendall(rfc5424(b"silent"))
        for _ in range(8):
            busy.sendall(octet_counted([rfc5424(b"busy")]))
            time.sleep(0.25)
        assert silent.recv(1) == b""
        busy.settimeout(0.1)
        with pytest.raises(TimeoutError):
            busy.recv(1)
    client.send([rfc5424(b"relp")])
    wait_until(lambda: sorted(loki.lines()) == [b"busy"] * 8 + [b"relp", b"silent"], what=loki.lines)
    assert client.connections == 1
