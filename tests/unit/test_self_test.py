"""`appliance check`: each test sees what it is there for, on real sockets."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.config.load import parse
from appliance.config.model import Config
from appliance.host import self_test
from appliance.host.layout import Layout
from appliance.host.runner import Answer, Notes
from appliance.host.status.facts import Facts
from appliance.host.system.ports import OpenPort
from appliance.host.tls.own import ensure_own
from appliance.host.tls.store import TlsStore
from tests.harness.net import free_port


@contextmanager
def answering(reply: Callable[[bytes], bytes]) -> Iterator[int]:
    """A UDP server on loopback that answers one question after another."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    question, sender = server.recvfrom(4096)
                    server.sendto(reply(question), sender)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def ntp(ahead: float, stratum: int = 2) -> Callable[[bytes], bytes]:
    def reply(question: bytes) -> bytes:
        moment = time.time() + ahead + 2_208_988_800
        stamp = struct.pack("!II", int(moment) & 0xFFFFFFFF, int(moment % 1 * 2**32))
        return bytes([0x24, stratum]) + bytes(38) + stamp

    return reply


@pytest.mark.parametrize("ahead", [0.0, 5.0, -3600.0])
def test_the_offset_of_a_time_server_is_measured(ahead: float) -> None:
    with answering(ntp(ahead)) as port:
        assert self_test.clock_offset("127.0.0.1", port) == pytest.approx(ahead, abs=0.5)


def test_a_time_server_that_knows_no_time_is_not_believed() -> None:
    with answering(ntp(0, stratum=0)) as port, pytest.raises(OSError, match="not synchronized itself"):
        self_test.clock_offset("127.0.0.1", port)


def test_a_clock_that_is_far_off_fails_and_one_nearly_right_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets = iter([0.01, 2.0, -90.0])
    monkeypatch.setattr(self_test, "clock_offset", lambda server: next(offsets))
    found = list(self_test.check_time_servers(["a", "b", "c"]))
    assert [finding.ok for finding in found] == [True, None, False]
    assert "90.0 s ahead of c" in found[2].detail


def config(text: str) -> Config:
    return parse("loki: {url: 'http://127.0.0.1:1/loki/api/v1/push'}\n" + text).config


def test_a_gateway_that_does_not_answer_is_named() -> None:
    runner = Notes(answers={"ip route": Answer(0, "127.0.0.1 via 192.0.2.1 dev enX0 src 192.0.2.9"),
                            "ip neigh": Answer(0, "192.0.2.1 dev enX0 FAILED")})  # fmt: skip
    (finding,) = self_test.check_route(config(""), Facts(now=0), runner)
    assert finding.ok is False and "192.0.2.1 does not answer on enX0" in finding.detail
    runner.answers["ip neigh"] = Answer(0, "192.0.2.1 dev enX0 REACHABLE")
    assert next(self_test.check_route(config(""), Facts(now=0), runner)).ok is True


def test_a_listener_that_is_on_but_not_there_fails(tmp_path: Path) -> None:
    port = free_port()
    (finding,) = self_test.check_listeners(config(f"listeners: {{tcp: {{port: {port}}}}}\n"), Layout(tmp_path))
    assert finding.ok is False and str(port) in finding.detail and "journalctl" in finding.remedy


def test_a_check_leaves_sshd_nothing_to_complain_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connected = []
    with socket.create_server(("127.0.0.1", 0)) as sshd:
        sshd.settimeout(0.2)
        port = OpenPort("tcp", sshd.getsockname()[1], None, "access.ssh", "ssh")
        monkeypatch.setattr(self_test, "open_ports", lambda config: [port])
        (finding,) = self_test.check_listeners(config(""), Layout(tmp_path))
        try:
            connected.append(sshd.accept())
        except TimeoutError:
            pass
    assert finding.ok is True and connected == []


def test_a_time_server_whose_name_is_not_known_is_a_matter_of_dns() -> None:
    (finding,) = self_test.check_time_servers(["ntp.invalid"])
    assert finding.ok is None and "cannot be resolved" in finding.detail
    assert "DNS" in finding.remedy and "123" not in finding.remedy


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[int, Layout, str]]:
    layout = Layout(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = f"listeners: {{tls: {{port: {port}}}}}\nsystem: {{hostname: fwd}}\n"
        ensure_own(TlsStore(layout), config(text), [])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(layout.tls / "server.crt", layout.tls / "server.key")

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    if server.fileno() < 0:
                        return

        threading.Thread(target=serve, daemon=True).start()
        yield port, layout, text


def test_a_tls_listener_is_tried_as_a_sender_would(tls_server: tuple[int, Layout, str]) -> None:
    port, layout, text = tls_server
    (finding,) = self_test.check_listeners(config(text), layout)
    assert finding.ok is True and "TLSv1.3" in finding.detail


def test_a_certificate_for_another_name_is_a_warning(tls_server: tuple[int, Layout, str]) -> None:
    port, layout, text = tls_server
    (finding,) = self_test.check_listeners(config(text.replace("fwd", "other")), layout)
    assert finding.ok is None and "refuse its certificate" in finding.detail
