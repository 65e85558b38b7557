"""The receiver by real sockets: exact frames, nothing lost or twice, whatever is killed, full or changed."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.net import free_port, port_open, wait_until
from tests.harness.processes import Process
from tests.harness.receiver import Receiver
from tests.harness.senders import lines, numbered, octet_counted, rfc5424, send_tcp
from tests.harness.small_disk import fill, small_disk
from tests.harness.systemd import SystemdDouble

StartReceiver = Callable[..., Receiver]


@pytest.fixture
def receive(tmp_path: Path, processes: list[Process]) -> StartReceiver:
    """receive(systemd=…, tcp=…, …) -> a running Receiver."""

    def start(**settings: Any) -> Receiver:
        receiver = Receiver(tmp_path / "receiver", **settings)
        processes.append(receiver)
        return receiver.up()

    return start


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[SystemdDouble]:
    double = SystemdDouble(tmp_path)
    yield double
    double.close()


def connect(receiver: Receiver) -> socket.socket:
    return socket.create_connection(("127.0.0.1", receiver.port), timeout=10)


def arrived(receiver: Receiver, number: int, timeout: float = 10) -> list[bytes]:
    """The messages, once there are so many."""
    wait_until(
        lambda: len(receiver.lines()) >= number, timeout, what=lambda: f"{number}, have {receiver.messages()[:20]}"
    )
    return receiver.messages()


class Senders:
    """Numbered messages over several connections, as fast as they are taken, until told to stop."""

    def __init__(self, port: int, connections: int = 4, *, pause: float = 0.0, counted: bool = False) -> None:
        self._port, self._pause, self._counted = port, pause, counted
        self._stop = threading.Event()
        self.sent = [0] * connections
        self.errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._send, args=(number,), daemon=True) for number in range(connections)
        ]
        for thread in self._threads:
            thread.start()

    def _send(self, number: int) -> None:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
                while not self._stop.is_set():
                    first = self.sent[number]
                    some = [rfc5424(f"n={number}.{one} ".ljust(150, "x")) for one in range(first, first + 50)]
                    connection.sendall((octet_counted if self._counted else lines)(some))
                    self.sent[number] += 50
                    time.sleep(self._pause)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(20)
                connection.recv(1)
        except OSError as error:
            self.errors.append(repr(error))

    def finish(self) -> int:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not self.errors
        return sum(self.sent)

    def check(self, messages: list[bytes]) -> None:
        """Each is there once, in order within its connection."""
        found: list[list[int]] = [[] for _ in self.sent]
        for message in messages:
            connection, _, one = message[message.index(b"n=") + 2 :].split(b" ", 1)[0].partition(b".")
            found[int(connection)].append(int(one))
        for number, sent in enumerate(self.sent):
            assert found[number] == list(range(sent))


# ---- frames -------------------------------------------------------------------------------------


def test_lines_that_begin_with_digits_arrive_whole(receive: StartReceiver) -> None:
    receiver = receive()
    sent = [
        b"2026-11-27 06:30:01 45 X",
        b"2026-11-27T06:30:01Z CEF:0|Vendor|X",
        b"45 X",
        b"<13>Nov 27 06:30:01 web app: X",
    ]
    send_tcp(receiver.port, lines(sent))
    assert arrived(receiver, 4) == sent


def test_counted_and_terminated_frames_mix_on_one_connection(receive: StartReceiver) -> None:
    receiver = receive()
    counted = [b"<13>one", b"<14>with\nlf"]
    send_tcp(
        receiver.port, octet_counted(counted) + b"<15>three\r\n2026-11-27 06:30:01 X\n" + octet_counted([b"<16>five"])
    )
    assert arrived(receiver, 5) == [
        b"<13>one",
        b"<14>with\x01012lf",
        b"<15>three",
        b"2026-11-27 06:30:01 X",
        b"<16>five",
    ]


def test_a_frame_may_come_byte_by_byte_and_its_sender_and_input_are_named(receive: StartReceiver) -> None:
    receiver = receive()
    before = time.time()
    with connect(receiver) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"12 <13>slow one<14>line\n":
            connection.sendall(bytes([byte]))
            time.sleep(0.002)
        assert arrived(receiver, 2) == [b"<13>slow one", b"<14>line"]
    stamp, sender, way, _ = receiver.lines()[0].split(b" ", 3)
    assert before <= float(stamp) <= time.time()
    assert (sender, way) == (b"127.0.0.1", b"tcp")


def test_a_message_is_in_its_file_within_a_tenth_of_a_second(receive: StartReceiver) -> None:
    receiver = receive()
    with connect(receiver) as connection:
        delays = []
        for number in range(20):
            sent = time.time()
            connection.sendall(b"<13>%d\n" % number)
            stamp = float(arrived(receiver, number + 1) and receiver.lines()[-1].split(b" ")[0])
            delays.append(stamp - sent)
            time.sleep(0.05)
    assert sorted(delays)[len(delays) // 2] < 0.1


def test_what_is_too_long_is_cut_marked_and_counted_and_the_next_message_is_whole(receive: StartReceiver) -> None:
    receiver = receive(connections={"max_message": "64KiB"})
    long = b"<13>" + b"x" * 3_000_000
    send_tcp(receiver.port, lines([long, b"<14>next"]) + octet_counted([long, b"<14>last"]))
    assert arrived(receiver, 4) == [long[:65536], b"<14>next", long[:65536], b"<14>last"]
    assert [line.split(b" ")[2] for line in receiver.lines()] == [b"tcp;cut", b"tcp", b"tcp;cut", b"tcp"]
    wait_until(lambda: receiver.counts().get("cut", {}).get("count") == 2, what=receiver.counts)


def test_what_a_sender_leaves_unterminated_is_a_message(receive: StartReceiver) -> None:
    receiver = receive()
    send_tcp(receiver.port, b"<13>whole\n<14>not ended")
    assert arrived(receiver, 2) == [b"<13>whole", b"<14>not ended"]


@pytest.mark.parametrize(
    ("first", "key"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n<13>x\n", "tls"),
        (b"GET /metrics HTTP/1.1\r\nHost: forwarder\r\n\r\n", "http"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "ssh"),
        (b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00", "rdp"),
        (b"1 open 85 relp_version=0\nrelp_software=librelp\ncommands=syslog\n", "relp"),
    ],
)
def test_another_protocol_is_counted_with_its_sender_and_never_stored(
    receive: StartReceiver, first: bytes, key: str
) -> None:
    receiver = receive()
    with connect(receiver) as connection:
        connection.sendall(first)
        while connection.recv(4096):
            pass  # an answer, where there is one, and the end
    send_tcp(receiver.port, b"<13>syslog\n")
    assert arrived(receiver, 1) == [b"<13>syslog"]
    trouble = wait_until(lambda: receiver.counts().get("foreign", {}).get(key), what=receiver.counts)
    assert (trouble["count"], trouble["sender"]) == (1, "127.0.0.1")
    assert abs(trouble["last"] - time.time()) < 60


def test_what_is_of_no_known_protocol_is_kept_as_text_and_counted_with_its_sender(receive: StartReceiver) -> None:
    receiver = receive()
    send_tcp(receiver.port, b"\x02\x05\xffbinary\n<13>more\n")
    assert arrived(receiver, 2) == [b"\x01002\x01005\xffbinary", b"<13>more"]
    trouble = wait_until(
        lambda: receiver.counts().get("unreadable", {}).get("count") and receiver.counts()["unreadable"]
    )
    assert (trouble["count"], trouble["sender"]) == (1, "127.0.0.1")


# ---- bounds -------------------------------------------------------------------------------------


def test_two_thousand_connections_are_served_at_once(receive: StartReceiver) -> None:
    receiver = receive(tcp={"max_connections": 4200})
    idle = receiver.rss()
    open_ones = [connect(receiver) for _ in range(2000)]
    try:
        for number, connection in enumerate(open_ones):
            connection.sendall(b"<13>first %d\n<13>unfin" % number)
        arrived(receiver, 2000, 30)
        for connection in open_ones:
            connection.sendall(b"ished\n")
        messages = arrived(receiver, 4000, 30)
        assert messages.count(b"<13>unfinished") == 2000
        assert receiver.rss() - idle < 2000 * 4096
        assert receiver.rss() < 48 * 2**20
    finally:
        for connection in open_ones:
            connection.close()


def test_more_connections_than_the_bounds_allow_are_refused_and_counted(receive: StartReceiver) -> None:
    receiver = receive(tcp={"max_connections": 5, "max_connections_per_sender": 3})
    open_ones = [connect(receiver) for _ in range(3)]
    open_ones[2].sendall(b"<13>in\n")
    arrived(receiver, 1)
    with connect(receiver) as refused:
        assert refused.recv(1) == b""
    others = [socket.create_connection(("127.0.0.1", receiver.port), source_address=("127.0.0.2", 0)) for _ in range(2)]
    others[1].sendall(b"<13>in\n")
    arrived(receiver, 2)
    with socket.create_connection(("127.0.0.1", receiver.port), source_address=("127.0.0.3", 0)) as refused:
        assert refused.recv(1) == b""
    for connection in [*open_ones, *others]:
        connection.close()
    found = wait_until(lambda: receiver.counts().get("refused"), what=receiver.counts)
    assert (found["sender"]["sender"], found["total"]["sender"]) == ("127.0.0.1", "127.0.0.3")
    wait_until(lambda: receiver.counts()["connections"] == 0)
    send_tcp(receiver.port, b"<13>again\n")
    arrived(receiver, 3)


def test_a_silent_connection_gives_its_place_to_a_new_one(receive: StartReceiver) -> None:
    receiver = receive(tcp={"max_connections": 2}, connections={"idle_timeout": "1s"})
    others = [
        socket.create_connection(("127.0.0.1", receiver.port), source_address=(f"127.0.0.{n}", 0)) for n in (2, 3)
    ]
    others[0].sendall(b"<13>first\n<13>unterminated")
    arrived(receiver, 1)
    time.sleep(1.5)
    others[1].sendall(b"<13>busy\n")
    arrived(receiver, 2)
    with socket.create_connection(("127.0.0.1", receiver.port), source_address=("127.0.0.4", 0)) as new:
        new.sendall(b"<13>new\n")
        assert sorted(arrived(receiver, 4)) == [b"<13>busy", b"<13>first", b"<13>new", b"<13>unterminated"]
        assert others[0].recv(1) == b""
        others[1].sendall(b"<13>still here\n")
        arrived(receiver, 5)
    for one in others:
        one.close()


class Taker:
    """Takes and deletes all hand-over files but the newest, as the relay does."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._kept: list[bytes] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            for file in sorted((self._receiver.handover / "receiver").glob("*.log"))[:-1]:
                self._kept += file.read_bytes().split(b"\n")[:-1]
                file.unlink()

    def messages(self) -> list[bytes]:
        self._stop.set()
        self._thread.join()
        return [line.split(b" ", 3)[3] for line in [*self._kept, *self._receiver.lines()]]


def test_at_the_backlogs_bound_senders_wait_and_then_go_on_without_a_loss(receive: StartReceiver) -> None:
    receiver = receive(max_disk="16MiB")  # of which the receiver has half
    senders = Senders(receiver.port, 2)
    reason = wait_until(lambda: receiver.counts().get("blocked"), 30, what=receiver.counts)
    assert "bytes wait" in reason
    held = sum(senders.sent)
    taker = Taker(receiver)
    wait_until(lambda: sum(senders.sent) > held + 20_000, 30)
    total = senders.finish()
    wait_until(lambda: receiver.counts()["messages"] == total, what=receiver.counts)
    senders.check(taker.messages())
    assert not receiver.counts()["blocked"]


def test_a_full_disk_holds_senders_back_and_loses_nothing(receive: StartReceiver, tmp_path: Path) -> None:
    with small_disk(tmp_path, size=32 * 2**20) as disk:
        receiver = receive(handover=disk / "handover", max_disk="64MiB")
        senders = Senders(receiver.port, 2, pause=0.002)
        taker = Taker(receiver)
        wait_until(lambda: receiver.counts().get("messages", 0) > 1000)
        filler = fill(disk)
        # Again until it is: the reader of the files deletes them, which makes room.
        reason = wait_until(lambda: fill(disk) and receiver.counts().get("blocked"), 30, what=receiver.counts)
        assert "No space left" in reason
        held = receiver.counts()["messages"]
        time.sleep(1)
        filler.unlink()
        wait_until(lambda: receiver.counts()["messages"] > held + 1000, 20, what=receiver.counts)
        total = senders.finish()
        wait_until(lambda: receiver.counts()["messages"] == total, what=receiver.counts)
        senders.check(taker.messages())
        receiver.terminate()


# ---- changes and ends ---------------------------------------------------------------------------


def test_a_moved_port_keeps_connections_open_under_load(receive: StartReceiver) -> None:
    receiver = receive()
    senders = Senders(receiver.port, 4, pause=0.005)
    old = receiver.port
    for _ in range(3):
        now = sum(senders.sent)
        wait_until(lambda: sum(senders.sent) > now + 1000)  # noqa: B023 — called here
        receiver.configure({"port": free_port(), "address": "127.0.0.1"}, connections={"max_message": "128KiB"})
        receiver.signal(signal.SIGHUP)
        wait_until(lambda: port_open(receiver.port))
    assert not port_open(old)
    total = senders.finish()
    senders.check(arrived(receiver, total))


def test_a_port_that_is_taken_changes_nothing(receive: StartReceiver) -> None:
    receiver = receive()
    old = receiver.port
    with socket.create_server(("127.0.0.1", 0)) as other, connect(receiver) as connection:
        receiver.configure({"port": other.getsockname()[1], "address": "127.0.0.1"})
        receiver.signal(signal.SIGHUP)
        reason = wait_until(lambda: receiver.counts().get("reload_failure"), what=receiver.counts)
        assert "Address already in use" in reason
        connection.sendall(b"<13>still\n")
        send_tcp(old, b"<13>here\n")
        assert sorted(arrived(receiver, 2)) == [b"<13>here", b"<13>still"]


def test_a_listener_switched_off_takes_what_was_sent_and_ends_its_connections(receive: StartReceiver) -> None:
    receiver = receive()
    with connect(receiver) as connection:
        connection.sendall(b"<13>before\n")
        arrived(receiver, 1)
        old = receiver.port
        receiver.configure(None)
        receiver.signal(signal.SIGHUP)
        assert connection.recv(1) == b""
    assert not port_open(old)
    receiver.configure({"port": old, "address": "127.0.0.1"})
    receiver.signal(signal.SIGHUP)
    wait_until(lambda: port_open(old))


def test_an_orderly_end_takes_what_senders_have_under_way(receive: StartReceiver) -> None:
    receiver = receive()
    with connect(receiver) as connection:
        connection.sendall(lines(numbered(range(20_000), size=100)) + b"<13>unterminated")
        receiver.signal(signal.SIGTERM)
        assert receiver.wait(10) == 0
    assert len(receiver.lines()) == 20_001


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("counted", [False, True])
def test_connections_and_unfinished_messages_outlive_the_receiver(
    receive: StartReceiver, systemd: SystemdDouble, number: signal.Signals, counted: bool
) -> None:
    receiver = receive(systemd=systemd)
    frame = octet_counted if counted else lines
    data = frame([b"<13>before", b"<14>" + b"cut in two " * 3000, b"<15>after"])
    with connect(receiver) as connection:
        connection.sendall(data[:20_000])
        wait_until(lambda: systemd.kept("c") == 1)
        arrived(receiver, 1)
        receiver.signal(number)
        receiver.wait()
        connection.sendall(data[20_000:])  # while nobody is there
        late = connect(receiver)  # the kernel accepts for the listener that systemd has
        late.sendall(b"<13>late\n")
        receiver.up()
        messages = arrived(receiver, 4)
        assert sorted(messages) == sorted([b"<13>before", b"<14>" + b"cut in two " * 3000, b"<15>after", b"<13>late"])
        connection.sendall(frame([b"<16>more"]))
        assert arrived(receiver, 5)[-1] == b"<16>more"
        late.close()
    wait_until(lambda: systemd.kept("c") == 0, what=lambda: systemd.store)
    assert (systemd.kept("listener-"), systemd.kept("table-")) == (1, 1)


@pytest.mark.slow
def test_restarts_and_kills_under_load_lose_nothing(receive: StartReceiver, systemd: SystemdDouble) -> None:
    receiver = receive(systemd=systemd)
    plain, counted = Senders(receiver.port, 3, pause=0.004), Senders(receiver.port, 3, pause=0.004, counted=True)
    wait_until(lambda: systemd.kept("c") == 6)
    for number in [signal.SIGTERM, signal.SIGKILL] * 3:
        time.sleep(0.7)
        receiver.signal(number)
        receiver.wait()
        time.sleep(0.3)
        receiver.up()
    total = plain.finish() + counted.finish()
    messages = arrived(receiver, total, 20)
    # Killed between a file and a socket it takes the last read again; in an orderly restart never.
    assert len(messages) - len(set(messages)) <= 3 * 256 * 1024 // 200
    assert len(set(messages)) >= total // 2  # both kinds of senders send the same texts
    for senders in (plain, counted):
        texts = {message[message.index(b"n=") :].split(b" ")[0] for message in messages}
        for number, sent in enumerate(senders.sent):
            assert {b"n=%d.%d" % (number, one) for one in range(sent)} <= texts


def test_another_port_after_a_restart_leaves_no_socket_behind(receive: StartReceiver, systemd: SystemdDouble) -> None:
    receiver = receive(systemd=systemd)
    old = receiver.port
    receiver.terminate()
    receiver.configure({"port": free_port(), "address": "127.0.0.1"})
    receiver.up()
    wait_until(lambda: not port_open(old))
    receiver.configure({"port": old})  # from one address to all
    receiver.signal(signal.SIGHUP)
    wait_until(lambda: port_open(old))
    wait_until(lambda: systemd.kept("listener-") == 1)
