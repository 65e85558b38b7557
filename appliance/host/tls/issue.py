"""Making keys, certificates and requests: from values to values, no files, no clock.

ECDSA P-256 throughout: taken by everything that speaks TLS 1.2, small, quick to make (RFC 8422).
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=398)  # what browsers and some libraries take at most
CLIENT_LIFE = timedelta(days=825)
EARLIER = timedelta(days=1)  # senders' clocks may be behind ours


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


def new_key() -> bytes:
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def new_authority(name: str, now: datetime) -> Pair:
    """Return an authority of our own that can issue end certificates, and only those."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(_pem(certificate), _key_pem(key))


def issue_server(authority: Pair, key: bytes, names: Iterable[str], now: datetime) -> bytes:
    """Return a server's certificate for these host names and addresses, PEM. The first name is its subject."""
    wanted = list(dict.fromkeys(names))
    return _issue(authority, key, wanted, now, SERVER_LIFE, ExtendedKeyUsageOID.SERVER_AUTH)


def issue_client(authority: Pair, name: str, now: datetime) -> Pair:
    """Return a certificate and key for a sender, to show to listeners that want client certificates."""
    key = new_key()
    return Pair(_issue(authority, key, [name], now, CLIENT_LIFE, ExtendedKeyUsageOID.CLIENT_AUTH), key)


def request(key: bytes, names: Iterable[str]) -> bytes:
    """Return a certificate signing request (PKCS #10, PEM) for another authority to answer."""
    wanted = list(dict.fromkeys(names))
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_subject(wanted[0]))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in wanted]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(_private(key), hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def _issue(
    authority: Pair, key: bytes, names: list[str], now: datetime, life: timedelta, purpose: x509.ObjectIdentifier
) -> bytes:
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    signer = _private(authority.key)
    public = _private(key).public_key()
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_subject(names[0]))
        .issuer_name(issuer.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(min(now + life, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return _pem(certificate)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _private(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("our own keys are ECDSA")
    return key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
