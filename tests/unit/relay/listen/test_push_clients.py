"""Who may push and for which tenant: tokens, passwords, certificates and addresses, over HTTP and TLS."""

import asyncio
import base64
import os
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from appliance.config import model
from appliance.config.load import parse
from appliance.config.units import Endpoint
from appliance.errors import ApplianceError
from appliance.relay.http.tls import name_permitted
from appliance.relay.listen.push_api import PushApi
from appliance.relay.listen.push_proto import PushedStream
from appliance.relay.report.senders import Sources

PUSH = b'{"streams":[{"stream":{"a":"1"},"values":[["1795000000000000000","hello"]]}]}'


class Recorder:
    def __init__(self) -> None:
        self.pushed: list[tuple[str, list[PushedStream]]] = []

    async def push(self, tenant: str, streams: list[PushedStream]) -> None:
        self.pushed.append((tenant, streams))


class Rig:
    def __init__(self, api: PushApi, intake: Recorder) -> None:
        self.api, self.intake = api, intake

    async def post(
        self,
        *headers: str,
        address: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        path: str = "/loki/api/v1/push",
    ) -> tuple[int, str]:
        """Status and text of the answer."""
        assert self.api.endpoint is not None
        name = "forwarder.example.org" if tls else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.api.endpoint.port, local_addr=(address, 0), ssl=tls, server_hostname=name
        )
        head = [
            "POST " + path + " HTTP/1.1",
            "Host: a",
            "Content-Type: application/json",
            "Connection: close",
            *headers,
        ]
        writer.write("\r\n".join([*head, f"Content-Length: {len(PUSH)}"]).encode() + b"\r\n\r\n" + PUSH)
        answer = (await asyncio.wait_for(reader.read(), 10)).decode()
        writer.close()
        return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]

    @property
    def tenants(self) -> list[str]:
        return [tenant for tenant, _ in self.intake.pushed]


def relay_of(push: str) -> model.Relay:
    text = "loki: {url: http://a/loki/api/v1/push}\nrelay:\n  listen: {push: '127.0.0.1:0'}\n  push: " + push + "\n"
    return parse(text).config.relay


def run(push: str, scenario: Callable[[Rig], Awaitable[None]], *, own: str | None = "house") -> None:
    async def whole() -> None:
        intake = Recorder()
        api = PushApi(intake, relay_of(push), sources=Sources(), own_tenant=own)
        await api.start(Endpoint("127.0.0.1:0"))
        try:
            await scenario(Rig(api, intake))
        finally:
            await api.stop(0.5)

    asyncio.run(asyncio.wait_for(whole(), 30))


@pytest.fixture
def secret(tmp_path: Path) -> Callable[[str, str], str]:
    def write(name: str, value: str) -> str:
        path = tmp_path / name
        path.write_text(value + "\n")
        path.chmod(0o600)
        return str(path)

    return write


Write = Callable[[str, str], str]


def basic(user: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_only_who_shows_a_token_or_a_password_may_push(secret: Write) -> None:
    clients = (
        f"[{{name: a, token_file: {secret('a', 'tok-a')}}}, {{name: b, user: u, password_file: {secret('b', 'pw:b')}}}]"
    )

    async def scenario(rig: Rig) -> None:
        assert await rig.post() == (401, "this client is not known: see relay.push.clients\n")
        for wrong in (
            "Authorization: Bearer tok-b", "Authorization: Bearer", "Authorization: Basic !!", basic("u", "pw"),
            basic("v", "pw:b"), "Authorization: tok-a", "Authorization: Bearer \xe9",
        ):  # fmt: skip
            assert (await rig.post(wrong))[0] == 401
        assert not rig.intake.pushed
        for right in ("Authorization: Bearer tok-a", "authorization: bearer tok-a", basic("u", "pw:b")):
            assert (await rig.post(right))[0] == 204
        for path in ("/api/prom/push", "/loki/api/v1/raw"):
            assert (await rig.post(path=path))[0] == 401
        assert rig.api.stats.refused == {"unknown_client": 10}

    run(f"{{clients: {clients}}}", scenario)


def test_a_token_that_is_changed_counts_at_once_and_one_that_is_gone_opens_nothing(secret: Write) -> None:
    path = secret("a", "old")

    async def scenario(rig: Rig) -> None:
        assert (await rig.post("Authorization: Bearer old"))[0] == 204
        time.sleep(0.01)
        secret("a", "newer")
        assert (await rig.post("Authorization: Bearer old"))[0] == 401
        assert (await rig.post("Authorization: Bearer newer"))[0] == 204

    run(f"{{clients: [{{name: a, token_file: {path}}}]}}", scenario)

    async def without(rig: Rig) -> None:
        for header in ("Authorization: Bearer ", "Authorization: Bearer x"):
            assert (await rig.post(header))[0] == 401

    os.unlink(path)
    run(f"{{clients: [{{name: a, token_file: {path}}}]}}", without)


def test_x_scope_orgid_is_honoured_only_within_the_clients_list(secret: Write) -> None:
    """The client chose its tenant before (finding 3)."""
    clients = (
        f"[{{name: fixed, token_file: {secret('f', 'f')}, tenant: prod}}, "
        f"{{name: list, token_file: {secret('l', 'l')}, tenants: [x, y]}}, "
        f"{{name: none, token_file: {secret('n', 'n')}}}]"
    )

    async def scenario(rig: Rig) -> None:
        for token, named, status, tenant in (
            ("f", "", 204, "prod"), ("f", "prod", 204, "prod"), ("f", "other", 204, "prod"),
            ("l", "", 204, "x"), ("l", "y", 204, "y"), ("l", "house", 403, None), ("l", "z", 403, None),
            ("n", "", 204, "house"), ("n", "house", 204, "house"), ("n", "x", 403, None),
        ):  # fmt: skip
            rig.intake.pushed.clear()
            found, text = await rig.post(f"Authorization: Bearer {token}", f"X-Scope-OrgID: {named}")
            assert (found, rig.tenants) == (status, [] if tenant is None else [tenant]), (token, named)
            assert status == 204 or "may not push for tenant" in text

    run(f"{{clients: {clients}}}", scenario)


def test_a_clients_labels_are_put_on_all_it_pushes_over_its_own(secret: Write) -> None:
    clients = f"[{{name: a, token_file: {secret('a', 'a')}, labels: {{cluster: prod, a: ours}}}}]"

    async def scenario(rig: Rig) -> None:
        assert (await rig.post("Authorization: Bearer a"))[0] == 204
        assert (await rig.post("Authorization: Bearer a", path="/loki/api/v1/raw"))[0] == 204
        assert [stream.labels for _, [stream] in rig.intake.pushed] == [
            '{a="ours", cluster="prod"}', '{a="ours", cluster="prod", job="raw"}',
        ]  # fmt: skip

    run(f"{{clients: {clients}}}", scenario)


def test_addresses_bind_a_token_and_may_stand_alone(secret: Write) -> None:
    clients = (
        f"[{{name: a, token_file: {secret('a', 'a')}, from: [127.0.0.2]}}, "
        "{name: b, from: [127.0.1.0/24, '::1'], tenant: b}]"
    )

    async def scenario(rig: Rig) -> None:
        assert (await rig.post("Authorization: Bearer a", address="127.0.0.2"))[0] == 204
        status, text = await rig.post("Authorization: Bearer a", address="127.0.0.3")
        assert (status, text) == (403, "this client may not push from 127.0.0.3\n")
        assert (await rig.post(address="127.0.1.7"))[0] == 204
        assert (await rig.post(address="127.0.2.7"))[0] == 401
        assert rig.tenants == ["house", "b"]

    run(f"{{clients: {clients}}}", scenario)


def test_without_clients_this_machine_pushes_for_any_tenant(secret: Write) -> None:
    async def scenario(rig: Rig) -> None:
        assert (await rig.post("X-Scope-OrgID: red"))[0] == 204
        assert rig.tenants == ["red"]

    run("{}", scenario)


def test_clients_are_reloaded_without_dropping_a_connection(secret: Write) -> None:
    path = secret("a", "a")

    async def scenario(rig: Rig) -> None:
        assert (await rig.post())[0] == 204
        rig.api.reload(relay_of(f"{{clients: [{{name: a, token_file: {path}}}]}}"))
        assert (await rig.post())[0] == 401
        assert (await rig.post("Authorization: Bearer a"))[0] == 204

    run("{}", scenario)


# ---- TLS ---------------------------------------------------------------------------------------


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def tls_files(directory: Path, authority: trustme.CA, name: str = "forwarder.example.org") -> str:
    pair = authority.issue_cert(name)
    certificate = b"".join(blob.bytes() for blob in pair.cert_chain_pems)
    (directory / "new.key").write_bytes(pair.private_key_pem.bytes())
    (directory / "new.crt").write_bytes(certificate)
    (directory / "new.key").rename(directory / "server.key")
    (directory / "new.crt").rename(directory / "server.crt")
    authority.cert_pem.write_to_path(str(directory / "ca.crt"))
    return f"cert_file: {directory}/server.crt, key_file: {directory}/server.key, ca_file: {directory}/ca.crt"


def client_context(authority: trustme.CA, name: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if name is not None:
        authority.issue_cert(name).configure_cert(context)
    return context


def test_tls_is_spoken_and_plain_http_is_not(tmp_path: Path, authority: trustme.CA) -> None:
    async def scenario(rig: Rig) -> None:
        assert (await rig.post(tls=client_context(authority)))[0] == 204
        with pytest.raises((IndexError, ConnectionError)):
            await rig.post()
        with pytest.raises(ssl.SSLError):
            await rig.post(tls=ssl.create_default_context())
        old = client_context(authority)
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await rig.post(tls=old)
        assert (await rig.post(tls=client_context(authority)))[0] == 204
        assert len(rig.intake.pushed) == 2

    run(f"{{tls: {{{tls_files(tmp_path, authority)}}}}}", scenario)


def test_a_client_certificate_names_the_client(tmp_path: Path, authority: trustme.CA) -> None:
    files = tls_files(tmp_path, authority)
    clients = "[{name: nas1.example.org, tenant: nas}, {name: nas2.example.org, tenant: two}]"

    async def scenario(rig: Rig) -> None:
        assert (await rig.post(tls=client_context(authority, "nas1.example.org")))[0] == 204
        assert (await rig.post(tls=client_context(authority, "NAS2.example.org".lower())))[0] == 204
        assert (await rig.post(tls=client_context(authority, "nas3.example.org")))[0] == 401
        for stranger in (client_context(authority), client_context(trustme.CA(), "nas1.example.org")):
            authority.configure_trust(stranger)
            with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
                await rig.post(tls=stranger)
        assert rig.tenants == ["nas", "two"]

    run(f"{{tls: {{{files}, client_certificates: ca}}, clients: {clients}}}", scenario)


def test_permitted_names_hold_for_every_request(tmp_path: Path, authority: trustme.CA) -> None:
    files = tls_files(tmp_path, authority)

    async def scenario(rig: Rig) -> None:
        assert (await rig.post(tls=client_context(authority, "a.example.org")))[0] == 204
        assert (await rig.post(tls=client_context(authority, "a.b.example.org")))[0] == 403

    run(f"{{tls: {{{files}, client_certificates: names, permitted_names: ['*.example.org']}}}}", scenario)
    assert name_permitted(["A.Example.org"], ["a.example.org"])
    assert not name_permitted([], ["*"])


def test_a_renewed_certificate_is_used_without_a_reload_and_a_broken_one_is_not(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.relay.http.tls._LOOK", 0.0)
    files = tls_files(tmp_path, authority)
    other = trustme.CA()

    async def scenario(rig: Rig) -> None:
        assert (await rig.post(tls=client_context(authority)))[0] == 204
        tls_files(tmp_path, other)
        assert (await rig.post(tls=client_context(other)))[0] == 204
        (tmp_path / "server.key").write_text("damaged")
        assert (await rig.post(tls=client_context(other)))[0] == 204

    run(f"{{tls: {{{files}}}}}", scenario)


def test_a_certificate_that_is_not_there_is_an_operators_error(tmp_path: Path) -> None:
    with pytest.raises(ApplianceError) as error:
        run(f"{{tls: {{cert_file: {tmp_path}/no.crt, key_file: {tmp_path}/no.key}}}}", lambda rig: asyncio.sleep(0))
    assert "relay.push.tls" in error.value.message and error.value.hint


def test_who_connects_and_never_shakes_hands_is_counted_and_closed(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.relay.http.wire._HANDSHAKE", 0.3)
    files = tls_files(tmp_path, authority)

    async def scenario(rig: Rig) -> None:
        assert rig.api.endpoint is not None
        silent = [await asyncio.open_connection("127.0.0.1", rig.api.endpoint.port) for _ in range(20)]
        await asyncio.sleep(0.1)
        assert rig.api.server.stats.connections == 20
        assert (await rig.post(tls=client_context(authority)))[0] == 204
        for reader, writer in silent:
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
        assert rig.api.server.stats.handshakes_failed == 20

    run(f"{{tls: {{{files}}}}}", scenario)
