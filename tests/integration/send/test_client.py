"""How pushes reach Loki: TLS, client certificates, proxy, credentials; and what is said when they do not."""

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from typer.testing import CliRunner

from appliance.cli.test import app
from appliance.config import model
from appliance.config.units import Duration
from appliance.relay.loki.client import LokiClient
from appliance.relay.loki.push_format import Entry, encode_stream
from appliance.relay.loki.response import Failure
from appliance.relay.probe.read_back import verify
from appliance.relay.send.request import compress
from tests.harness.net import free_port
from tests.loki_double import InProcessLoki

BODY = compress(encode_stream('{job="test"}', [Entry(time.time_ns(), b"hello")]))


def client(url: str, **settings: object) -> LokiClient:
    return LokiClient(model.Loki(**{"url": url, "timeout": Duration(2), **settings}))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return context


def test_a_server_with_a_certificate_of_our_authority_is_trusted_and_others_are_not(
    authority: trustme.CA, ca_file: str
) -> None:
    loki = InProcessLoki(tls=server_context(authority, "127.0.0.1"))
    try:
        assert client(loki.push_url, tls=model.ClientTls(ca_file=ca_file)).push(BODY).status == 204
        answer = client(loki.push_url).push(BODY)
        assert answer.failure is Failure.TLS and "certificate" in answer.detail
        skipping = model.ClientTls(insecure_skip_verify=True)
        assert client(loki.push_url, tls=skipping).push(BODY).status == 204
    finally:
        loki.close()


def test_server_name_is_what_the_certificate_must_bear(authority: trustme.CA, ca_file: str) -> None:
    loki = InProcessLoki(tls=server_context(authority, "loki.example.org"))
    try:
        assert client(loki.push_url, tls=model.ClientTls(ca_file=ca_file)).push(BODY).failure is Failure.TLS
        named = model.ClientTls(ca_file=ca_file, server_name="loki.example.org")
        assert client(loki.push_url, tls=named).push(BODY).status == 204
    finally:
        loki.close()


def test_a_client_certificate_is_shown_and_replaced_without_a_restart(
    authority: trustme.CA, ca_file: str, tmp_path: Path
) -> None:
    context = server_context(authority, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    loki = InProcessLoki(tls=context)
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"

    def issue(by: trustme.CA) -> None:
        issued = by.issue_cert("relay@example.org")
        issued.cert_chain_pems[0].write_to_path(tmp_path / "new.pem")
        issued.private_key_pem.write_to_path(tmp_path / "new.key")
        os.replace(tmp_path / "new.key", key)
        os.replace(tmp_path / "new.pem", cert)

    try:
        tls = model.ClientTls(ca_file=ca_file, cert_file=str(cert), key_file=str(key))
        ours = client(loki.push_url, tls=tls)
        missing = ours.push(BODY)
        assert missing.failure is Failure.CREDENTIALS and str(cert) in missing.detail
        issue(trustme.CA())
        assert ours.push(BODY).failure in (Failure.TLS, Failure.RESET, Failure.PROTOCOL)
        issue(authority)
        assert ours.push(BODY).status == 204
        assert client(loki.push_url, tls=model.ClientTls(ca_file=ca_file)).push(BODY).status != 204
    finally:
        loki.close()


def test_a_server_that_speaks_only_old_tls_is_refused(authority: trustme.CA, ca_file: str) -> None:
    context = server_context(authority, "127.0.0.1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    loki = InProcessLoki(tls=context)
    try:
        strict = model.ClientTls(ca_file=ca_file, min_version="1.3")
        assert client(loki.push_url, tls=strict).push(BODY).failure is Failure.TLS
        assert client(loki.push_url, tls=model.ClientTls(ca_file=ca_file)).push(BODY).status == 204
    finally:
        loki.close()


class Proxy:
    """Passes on what it gets to one address; remembers the first line and the headers of each request."""

    def __init__(self, target: int, refuse: bool = False) -> None:
        self.heads: list[bytes] = []
        self._target, self._refuse = target, refuse
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        data = connection.recv(65536)
        self.heads.append(data.partition(b"\r\n\r\n")[0])
        if self._refuse:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            connection.close()
            return
        upstream = socket.create_connection(("127.0.0.1", self._target))
        if data.startswith(b"CONNECT"):
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            upstream.sendall(data.replace(f"http://127.0.0.1:{self._target}".encode(), b"", 1))
        back = threading.Thread(target=self._pump, args=(upstream, connection), daemon=True)
        back.start()
        self._pump(connection, upstream)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            return

    def close(self) -> None:
        self._listener.close()


def test_a_proxy_is_used_with_its_credentials_for_http_and_https(authority: trustme.CA, ca_file: str) -> None:
    plain, secure = InProcessLoki(), InProcessLoki(tls=server_context(authority, "127.0.0.1"))
    through = [Proxy(plain.front.port), Proxy(secure.front.port)]
    try:
        for loki, proxy in zip((plain, secure), through, strict=True):
            url = f"http://me:secret@127.0.0.1:{proxy.port}"
            ours = client(loki.push_url, proxy=url, tls=model.ClientTls(ca_file=ca_file))
            assert ours.push(BODY).status == 204
            assert b"Basic bWU6c2VjcmV0" in proxy.heads[0]
        assert through[0].heads[0].startswith(f"POST {plain.push_url} HTTP/1.1".encode())
        assert through[1].heads[0].startswith(b"CONNECT")
    finally:
        for one in (*through, plain, secure):
            one.close()


def test_a_proxy_that_refuses_or_is_not_there_is_named_as_the_cause(authority: trustme.CA) -> None:
    proxy = Proxy(0, refuse=True)
    answer = client("https://loki.invalid/loki/api/v1/push", proxy=f"http://127.0.0.1:{proxy.port}").push(BODY)
    assert answer.failure is Failure.PROXY
    proxy.close()
    answer = client("http://loki.invalid/loki/api/v1/push", proxy=f"http://127.0.0.1:{free_port()}").push(BODY)
    assert answer.failure is Failure.PROXY


def test_each_way_to_fail_is_told_apart() -> None:
    assert client("http://loki.invalid/loki/api/v1/push").push(BODY).failure is Failure.DNS
    assert client(f"http://127.0.0.1:{free_port()}/push").push(BODY).failure is Failure.REFUSED
    loki = InProcessLoki()
    try:
        assert client(loki.push_url.replace("http:", "https:")).push(BODY).failure is Failure.TLS
        for fault, failure in (("hang", Failure.TIMEOUT), ("reset", Failure.RESET), ("garbage", Failure.PROTOCOL)):
            loki.fault(fault)
            patience = Duration(0.3 if fault == "hang" else 10)
            assert client(loki.push_url, timeout=patience).push(BODY).failure is failure
        loki.clear()
        assert client(loki.push_url, bearer_token_file="/nonexistent").push(BODY).failure is Failure.CREDENTIALS
    finally:
        loki.close()


def answering(head: bytes, drip: bytes) -> tuple[socket.socket, str]:
    """A server that answers with `head` and then `drip` forever, ten times a second."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            while True:
                connection, _ = listener.accept()
                connection.recv(65536)
                connection.sendall(head)
                while True:
                    connection.sendall(drip)
                    time.sleep(0.1 if len(drip) < 100 else 0)
        except OSError:
            return

    threading.Thread(target=serve, daemon=True).start()
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}/push"


def test_an_answer_without_end_costs_neither_memory_nor_more_than_the_time_allowed() -> None:
    listener, url = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n", b"x" * 65536)
    answer = client(url).push(BODY)
    assert answer.status == 400 and len(answer.body) <= 65536
    listener.close()
    listener, url = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n", b"x")
    started = time.monotonic()
    assert client(url, timeout=Duration(0.5)).push(BODY).failure is Failure.TIMEOUT
    assert time.monotonic() - started < 2
    listener.close()


def test_connections_are_kept() -> None:
    loki = InProcessLoki()
    try:
        ours = client(loki.push_url)
        for _ in range(20):
            assert ours.push(BODY).status == 204
        assert len(loki.front._connections) == 1
    finally:
        loki.close()


def test_basic_authentication_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pa:ss\n")
    loki = InProcessLoki()
    loki.front.access.basic = ("user", "pa:ss")
    try:
        basic = model.BasicAuth(username="user", password_file=str(tmp_path / "password"))
        headers = {"Authorization": "forged", "content-type": "forged", "X-Own": "kept"}
        assert client(loki.push_url, basic_auth=basic, headers=headers).push(BODY).status == 204
        assert loki.front.last_headers["x-own"] == "kept"
        assert client(loki.push_url).push(BODY).status == 401
    finally:
        loki.close()


# ---- test loki --verify ------------------------------------------------------------------------


@pytest.fixture
def double() -> Iterator[InProcessLoki]:
    loki = InProcessLoki()
    yield loki
    loki.close()


def run(path: Path, url: str, *options: str) -> tuple[int, str]:
    (path / "appliance.yaml").write_text(f"loki: {{url: '{url}', timeout: 2s}}\n")
    result = CliRunner().invoke(app, ["loki", "--config", str(path / "appliance.yaml"), *options])
    return result.exit_code, result.output


def test_verify_pushes_over_several_streams_and_counts_back(double: InProcessLoki, tmp_path: Path) -> None:
    code, output = run(tmp_path, double.push_url, "--verify", "--streams", "3", "--entries", "7")
    assert code == 0, output
    assert double.count('{job="appliance-test"}') == 21
    assert "stream 2: 7 sent, 7 found" in output and "21 of 21" in output


def test_verify_pushes_no_more_at_once_than_loki_takes(double: InProcessLoki, tmp_path: Path) -> None:
    """A hundred streams of a thousand entries are more than the 4 MiB of one push."""
    code, output = run(tmp_path, double.push_url, "--verify", "--streams", "100", "--entries", "1000")
    assert code == 0, output
    assert "100000 of 100000" in output and double.count('{job="appliance-test"}') == 100_000
    assert 2 <= double.stats()["statuses"]["204"] <= 5


def test_verify_finds_what_a_204_hides(double: InProcessLoki) -> None:
    double.set_limits(max_streams=2)
    loki = model.Loki(url=double.push_url, timeout=Duration(2))
    result = verify(loki, "run1", streams=4, entries=5, timeout=0.1)
    assert result.ok is False
    assert [one.found for one in result.counts] == [5, 5, 0, 0]
    assert "stream" in result.finding.detail and result.finding.remedy


def test_verify_says_so_when_a_gateway_allows_only_pushes(
    double: InProcessLoki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.relay.probe.read_back.base_path", lambda target: "/nowhere")
    result = verify(model.Loki(url=double.push_url, timeout=Duration(2)), "run2", timeout=5)
    assert result.ok is None
    assert "query API is not reachable" in result.finding.detail and result.finding.remedy


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://loki.invalid/loki/api/v1/push", "cannot be resolved"),
        ("http://127.0.0.1:1/loki/api/v1/push", "refused"),
    ],
)
def test_the_step_that_fails_is_named(tmp_path: Path, url: str, words: str) -> None:
    code, output = run(tmp_path, url, "--verify")
    assert code == 1
    assert words in output.lower()


def test_wrong_credentials_are_told_from_a_wrong_path(double: InProcessLoki, tmp_path: Path) -> None:
    code, output = run(tmp_path, double.base_url + "/wrong/path", "--verify")
    assert code == 1 and "404" in output and "path" in output
    double.front.access.bearer = "x"
    code, output = run(tmp_path, double.push_url, "--verify")
    assert code == 1 and "401" in output and "credentials" in output
