"""Certificates: ours are right, foreign ones are taken only when they work, and refusals say why."""

import ipaddress
import os
import ssl
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from appliance.config.load import parse
from appliance.errors import ApplianceError
from appliance.host.layout import Layout
from appliance.host.tls import issue
from appliance.host.tls.issue import Pair
from appliance.host.tls.judge import describe, issued_by, sound_pair
from appliance.host.tls.own import ensure_own, issue_to_sender
from appliance.host.tls.store import TlsStore

NOW = datetime.now(UTC).replace(microsecond=0)
CONFIG = parse(
    "loki: {url: 'http://x/loki/api/v1/push'}\nlisteners: {tls: {}}\n"
    "system: {hostname: fwd.example.org,"
    " network: {ipv4: {method: static, address: 192.0.2.9/24, gateway: 192.0.2.1}}}\n"
).config


@pytest.fixture
def store(tmp_path: Path) -> TlsStore:
    return TlsStore(Layout(tmp_path))


def handshake(server: Pair, authority: bytes, tmp_path: Path, name: str, client: Pair | None = None) -> None:
    """A TLS handshake in memory by OpenSSL; raises ssl.SSLError when either side refuses."""
    for file, content in (("s.crt", server.certificate), ("s.key", server.key)):
        (tmp_path / file).write_bytes(content)
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(tmp_path / "s.crt", tmp_path / "s.key")
    here = ssl.create_default_context(cadata=authority.decode())
    if client is not None:
        (tmp_path / "c.crt").write_bytes(client.certificate)
        (tmp_path / "c.key").write_bytes(client.key)
        there.verify_mode = ssl.CERT_REQUIRED
        there.load_verify_locations(cadata=authority.decode())
        here.load_cert_chain(tmp_path / "c.crt", tmp_path / "c.key")
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = here.wrap_bio(a, b, server_hostname=name)
    other = there.wrap_bio(b, a, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in (one, other):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    assert len(done) == 2


def test_our_certificate_is_taken_under_every_name_and_address(store: TlsStore, tmp_path: Path) -> None:
    ensure_own(store, CONFIG, ["198.51.100.7", "2001:db8::7"])
    server, authority = store.server(), store.authority()
    assert server and authority
    for name in ("fwd.example.org", "fwd", "192.0.2.9", "198.51.100.7", "2001:db8::7"):
        handshake(server, authority.certificate, tmp_path, name)
    with pytest.raises(ssl.SSLError):
        handshake(server, authority.certificate, tmp_path, "other.example.org")
    facts = describe(server.certificate)
    assert facts.key == "ECDSA secp256r1" and not facts.is_ca


def test_openssl_itself_finds_nothing_wrong(store: TlsStore) -> None:
    ensure_own(store, CONFIG, [])
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", store.path / "ca.crt"]
    done = subprocess.run([*command, store.path / "server.crt"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_keys_are_private_and_the_switch_is_one_rename(store: TlsStore) -> None:
    ensure_own(store, CONFIG, [])
    for name in ("ca.key", "server.key"):
        assert stat.S_IMODE((store.path / name).stat().st_mode) == 0o600
    assert os.readlink(store.path / "server.crt") == "current/server.crt"
    before = (store.path / "current").readlink()
    ensure_own(store, CONFIG, ["198.51.100.8"])
    assert (store.path / "current").readlink() != before
    assert len(list((store.path / "pairs").iterdir())) == 2


def test_a_renewal_keeps_the_key_and_happens_before_anybody_is_warned(store: TlsStore) -> None:
    ensure_own(store, CONFIG, [], NOW)
    first = store.server()
    assert ensure_own(store, CONFIG, [], NOW + timedelta(days=300)) == ""
    assert "renewed" in ensure_own(store, CONFIG, [], NOW + issue.SERVER_LIFE - timedelta(days=44))
    second = store.server()
    assert first and second and first.key == second.key and first.certificate != second.certificate


def test_a_new_address_is_added_and_known_names_stay(store: TlsStore) -> None:
    ensure_own(store, CONFIG, ["198.51.100.7"])
    assert ensure_own(store, CONFIG, []) == ""
    assert "198.51.100.8" in ensure_own(store, CONFIG, ["198.51.100.8"])
    server = store.server()
    assert server and {"198.51.100.7", "198.51.100.8"} <= set(describe(server.certificate).names)


def test_an_imported_certificate_is_never_replaced(store: TlsStore) -> None:
    ensure_own(store, CONFIG, [])
    other = trustme.CA().issue_cert("fwd.example.org")
    pair, _ = sound_pair(other.cert_chain_pems[0].bytes(), other.private_key_pem.bytes(), NOW)
    store.set_server(pair)
    assert ensure_own(store, CONFIG, ["198.51.100.9"], NOW + timedelta(days=4000)) == ""
    assert store.server() == pair


def test_a_client_certificate_of_ours_opens_a_listener_that_wants_one(store: TlsStore, tmp_path: Path) -> None:
    ensure_own(store, CONFIG, [])
    server, authority = store.server(), store.authority()
    assert server and authority
    client = issue_to_sender(store, "nas1.example.org")
    handshake(server, authority.certificate, tmp_path, "fwd.example.org", client)
    stranger = issue.issue_client(issue.new_authority("other", NOW), "nas1.example.org", NOW)
    with pytest.raises(ssl.SSLError):
        handshake(server, authority.certificate, tmp_path, "fwd.example.org", stranger)
    with pytest.raises(ssl.SSLError):  # a client's certificate does not make a server
        handshake(client, authority.certificate, tmp_path, "nas1.example.org")


# ---- import ---------------------------------------------------------------------------------


@pytest.fixture
def chain() -> tuple[trustme.CA, trustme.CA, trustme.LeafCert]:
    root = trustme.CA()
    middle = root.create_child_ca()
    return root, middle, middle.issue_cert("fwd.example.org")


def test_pem_with_its_chain_in_any_order_is_taken_in_order(
    chain: tuple[trustme.CA, trustme.CA, trustme.LeafCert], tmp_path: Path
) -> None:
    root, middle, leaf = chain
    mixed = root.cert_pem.bytes() + middle.cert_pem.bytes() + leaf.cert_chain_pems[0].bytes()
    pair, doubts = sound_pair(mixed, leaf.private_key_pem.bytes(), NOW)
    assert pair.certificate.count(b"BEGIN") == 2  # without the root
    assert any("not in order" in doubt for doubt in doubts)
    handshake(pair, root.cert_pem.bytes(), tmp_path, "fwd.example.org")


def test_certificate_and_key_in_one_file(chain: tuple[trustme.CA, trustme.CA, trustme.LeafCert]) -> None:
    leaf = chain[2]
    pair, doubts = sound_pair(leaf.private_key_and_cert_chain_pem.bytes(), None, NOW)
    assert pair.certificate.count(b"BEGIN") == 2 and doubts == []


def pkcs12_of(leaf: trustme.LeafCert, password: bytes | None) -> bytes:
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    found = [x509.load_pem_x509_certificate(pem.bytes()) for pem in leaf.cert_chain_pems]
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"x", key, found[0], found[1:], how)  # type: ignore[arg-type]


def test_pkcs12_with_and_without_password(chain: tuple[trustme.CA, trustme.CA, trustme.LeafCert]) -> None:
    leaf = chain[2]
    assert sound_pair(pkcs12_of(leaf, None), None, NOW)[0].certificate.count(b"BEGIN") == 2
    assert sound_pair(pkcs12_of(leaf, b"geheim"), None, NOW, password="geheim")[0].key.startswith(b"-----BEGIN PRIVATE")
    with pytest.raises(ApplianceError, match="neither PEM nor a PKCS #12 file that opens") as caught:
        sound_pair(pkcs12_of(leaf, b"geheim"), None, NOW, password="falsch")
    assert "password" in caught.value.hint


def refused(reason: str, certificate: bytes, key: bytes | None, now: datetime = NOW, **more: object) -> None:
    with pytest.raises(ApplianceError, match=reason) as caught:
        sound_pair(certificate, key, now, **more)  # type: ignore[arg-type]
    assert caught.value.hint, "a refusal says what to do"


def test_what_would_not_work_is_refused_with_the_reason(
    chain: tuple[trustme.CA, trustme.CA, trustme.LeafCert],
) -> None:
    root, middle, leaf = chain
    pem, key = leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()
    refused("private key does not belong", pem, trustme.CA().issue_cert("x").private_key_pem.bytes())
    refused("no private key", pem, None)
    refused("neither PEM nor", b"hello", None)
    refused("no certificate in the file", key, key)
    refused("expired on", pem, key, datetime(3001, 1, 1, tzinfo=UTC))
    refused("not valid before", pem, key, datetime(1999, 1, 1, tzinfo=UTC))
    refused("certificate of an authority", root.cert_pem.bytes(), root.private_key_pem.bytes())
    refused("the chain has a gap", pem + root.cert_pem.bytes(), key)
    refused("private key cannot be read", pem, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    locked = serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    refused("private key is encrypted", pem, locked)
    client = issue.issue_client(issue.new_authority("a", NOW), "x", NOW)
    refused("not for servers", client.certificate, client.key)
    weak = rsa.generate_private_key(65537, 1024)
    refused("1024 bits is too weak", *self_signed(weak))
    refused("type does not work for TLS", *self_signed(dsa.generate_private_key(1024)))


def self_signed(key: rsa.RSAPrivateKey | dsa.DSAPrivateKey) -> tuple[bytes, bytes]:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW - timedelta(1)).not_valid_after(NOW + timedelta(9))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, private


def test_a_certificate_without_names_or_chain_is_taken_with_a_warning(
    chain: tuple[trustme.CA, trustme.CA, trustme.LeafCert],
) -> None:
    leaf = chain[2]
    assert any(
        "no chain" in d for d in sound_pair(leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes(), NOW)[1]
    )
    assert any("names no host" in d for d in sound_pair(*self_signed(rsa.generate_private_key(65537, 2048)), NOW)[1])


# ---- the command ----------------------------------------------------------------------------


def tls(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "appliance.cli.main", "tls", *words, "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_request_out_and_certificate_in(tmp_path: Path) -> None:
    config = tmp_path / "etc/appliance/appliance.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("loki: {url: 'http://x/loki/api/v1/push'}\nlisteners: {tls: {}}\nsystem: {hostname: fwd}\n")
    asked = tls(tmp_path, "csr", "--name", "fwd.example.org", "--name", "192.0.2.3")
    request = x509.load_pem_x509_csr(asked.stdout.encode())
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("192.0.2.3")]
    authority = issue.new_authority("theirs", NOW)
    waiting = (tmp_path / "etc/appliance/tls/request.key").read_bytes()
    answer = tmp_path / "answer.crt"
    answer.write_bytes(issue.issue_server(authority, waiting, ["fwd.example.org"], NOW) + authority.certificate)
    done = tls(tmp_path, "import", str(answer))
    assert done.returncode == 0, done.stderr
    assert issued_by((tmp_path / "etc/appliance/tls/server.crt").read_bytes(), authority.certificate)
    assert not (tmp_path / "etc/appliance/tls/request.key").exists()
    wrong = tls(tmp_path, "import", str(answer))
    assert wrong.returncode == 1 and "no private key" in wrong.stderr and "hint:" in wrong.stderr


def test_init_show_export_and_issue(tmp_path: Path) -> None:
    config = tmp_path / "etc/appliance/appliance.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("loki: {url: 'http://x/loki/api/v1/push'}\nsystem: {hostname: fwd}\n")
    assert tls(tmp_path, "show").returncode == 1
    assert tls(tmp_path, "init").returncode == 0
    shown = tls(tmp_path, "show").stdout
    assert "ECDSA secp256r1" in shown and "(397 days)" in shown
    exported = tls(tmp_path, "export-ca").stdout
    assert exported == (tmp_path / "etc/appliance/tls/ca.crt").read_text()
    out = tmp_path / "out"
    assert tls(tmp_path, "issue-client", "nas1", "--out", str(out)).returncode == 0
    assert stat.S_IMODE((out / "nas1.key").stat().st_mode) == 0o600
    assert tls(tmp_path, "issue-client", "../x", "--out", str(out)).returncode == 2
    before = (tmp_path / "etc/appliance/tls/server.crt").read_bytes()
    assert "nothing to renew" in tls(tmp_path, "renew").stdout
    assert "renewed" in tls(tmp_path, "renew", "--force").stdout
    assert (tmp_path / "etc/appliance/tls/server.crt").read_bytes() != before
