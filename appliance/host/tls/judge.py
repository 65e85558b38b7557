"""Reading certificates that come from outside, and refusing what would not work, with the reason.

Values only: PEM or PKCS #12 bytes in, a sound pair or an ApplianceError out.
"""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID

from appliance.errors import ApplianceError
from appliance.host.tls.issue import Pair

RSA_BITS = 2048


@dataclass(frozen=True)
class Facts:
    """What people want to know of a certificate."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    fingerprint: str  # SHA-256, as openssl prints it
    key: str
    is_ca: bool


def describe(pem: bytes) -> Facts:
    """Return the facts of the first certificate. Raise ApplianceError when it is none."""
    return _facts(_certificates(pem)[0])


def issued_by(certificate: bytes, authority: bytes) -> bool:
    """Return whether the first certificate was signed by the authority."""
    return _signed(_certificates(certificate)[0], _certificates(authority)[0])


def sound_pair(
    certificate: bytes, key: bytes | None, now: datetime, *, password: str | None = None, chain: bytes = b""
) -> tuple[Pair, list[str]]:
    """Return a server's certificate with its chain in order, and its key, plus what is doubtful.

    Takes PEM (certificate and key in one file or two) or PKCS #12. Raise ApplianceError, saying which
    it is, for: no certificate or key in it, wrong password, a key that does not belong to it, expired
    or not yet valid, an authority's or client's certificate, keys that are too weak, a chain with gaps.
    """
    if b"-----BEGIN" in certificate:
        found = _certificates(certificate + b"\n" + chain)
        private = _private_key(key if key is not None else certificate, password)
    else:
        found, private = _from_pkcs12(certificate, password)
        if chain:
            found += _certificates(chain)
    leaf = _leaf(found, private)
    _check_key(private)
    _check_dates(leaf, now)
    _check_purpose(leaf)
    ordered, doubts = _order(leaf, found, now)
    pem = b"".join(c.public_bytes(serialization.Encoding.PEM) for c in ordered)
    key_pem: bytes = private.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    if not _facts(leaf).names:
        doubts.append("it names no host (no subject alternative names): most senders will refuse it")
    return Pair(pem, key_pem), doubts


# ---- reading --------------------------------------------------------------------------------


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ApplianceError(
            "there is no certificate in the file", hint="a PEM file begins with -----BEGIN CERTIFICATE-----"
        ) from error


def _private_key(pem: bytes, password: str | None) -> object:
    start = pem.find(b"-----BEGIN")
    while start >= 0:
        end_line = pem.find(b"\n", start)
        if b"PRIVATE KEY" in pem[start:end_line]:
            break
        start = pem.find(b"-----BEGIN", start + 1)
    if start < 0:
        raise ApplianceError("there is no private key", hint="name its file with --key, or use the PKCS #12 file")
    try:
        return serialization.load_pem_private_key(pem[start:], password.encode() if password else None)
    except TypeError:
        if password:
            return serialization.load_pem_private_key(pem[start:], None)
        raise ApplianceError("the private key is encrypted", hint="give its password with --password-file") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        hint = "is the password right?" if password else "is the file whole?"
        raise ApplianceError("the private key cannot be read", hint=hint) from error


def _from_pkcs12(data: bytes, password: str | None) -> tuple[list[x509.Certificate], object]:
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(data, password.encode() if password else None)
    except (ValueError, UnsupportedAlgorithm) as error:
        hint = "is the password right?" if password else "give the password of a PKCS #12 file with --password-file"
        raise ApplianceError("the file is neither PEM nor a PKCS #12 file that opens", hint=hint) from error
    if certificate is None or key is None:
        missing = "certificate" if certificate is None else "private key"
        raise ApplianceError(f"the PKCS #12 file has no {missing}", hint="export it together with its key")
    return [certificate, *others], key


# ---- judging --------------------------------------------------------------------------------


def _leaf(found: list[x509.Certificate], private: object) -> x509.Certificate:
    mine = _public_bytes(private.public_key())  # type: ignore[attr-defined]
    matching = [c for c in found if _public_bytes(c.public_key()) == mine]
    if not matching:
        raise ApplianceError(
            f"the private key does not belong to the certificate of {_facts(found[0]).subject}",
            hint="use the key that the certificate was requested with",
        )
    return matching[0]


def _check_key(private: object) -> None:
    if isinstance(private, rsa.RSAPrivateKey):
        if private.key_size < RSA_BITS:
            raise ApplianceError(
                f"an RSA key of {private.key_size} bits is too weak", hint=f"{RSA_BITS} bits or more, or ECDSA P-256"
            )
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        if private.curve.name not in ("secp256r1", "secp384r1", "secp521r1"):
            raise ApplianceError(f"senders do not accept the curve {private.curve.name}", hint="use P-256 or P-384")
    elif not isinstance(private, ed25519.Ed25519PrivateKey):
        raise ApplianceError("a key of this type does not work for TLS", hint="use ECDSA P-256 or RSA")


def _check_dates(leaf: x509.Certificate, now: datetime) -> None:
    if leaf.not_valid_after_utc <= now:
        raise ApplianceError(
            f"the certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d}", hint="get a new one from its authority"
        )
    if leaf.not_valid_before_utc > now:
        raise ApplianceError(
            f"the certificate is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            hint="is this machine's clock right? `appliance status` says",
        )


def _check_purpose(leaf: x509.Certificate) -> None:
    if _facts(leaf).is_ca:
        raise ApplianceError(
            "this is the certificate of an authority, not of a server", hint="import the one issued to this machine"
        )
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usage):
        raise ApplianceError(
            "the certificate is not for servers (its extended key usage lacks serverAuth)",
            hint="ask its authority for a server certificate",
        )


def _order(
    leaf: x509.Certificate, found: list[x509.Certificate], now: datetime
) -> tuple[list[x509.Certificate], list[str]]:
    """Return the chain from the leaf upwards without the root, which senders have to have themselves."""
    doubts: list[str] = []
    ordered, pool = [leaf], [c for c in found if c != leaf]
    while True:
        last = ordered[-1]
        if last.subject == last.issuer:
            break
        above = [c for c in pool if c.subject == last.issuer and _signed(last, c)]
        if not above:
            break
        if above[0].not_valid_after_utc <= now:
            raise ApplianceError(
                f"the chain has an expired certificate: {_facts(above[0]).subject}", hint="get the current chain"
            )
        ordered.append(above[0])
        pool.remove(above[0])
    unrelated = [c for c in pool if c not in ordered]
    if unrelated:
        raise ApplianceError(
            f"the chain has a gap: {_facts(unrelated[0]).subject} issued none of the certificates before it",
            hint="put every certificate between the server's and its root into the file, and no other",
        )
    if [c for c in found if c in ordered] != ordered:
        doubts.append("the certificates were not in order; they are now")
    if len(ordered) > 1 and ordered[-1].subject == ordered[-1].issuer:
        ordered.pop()
    elif len(ordered) == 1 and leaf.subject != leaf.issuer:
        doubts.append(f"no chain came with it: senders have to know {_facts(leaf).issuer} themselves")
    return ordered, doubts


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _facts(certificate: x509.Certificate) -> Facts:
    names: tuple[str, ...] = ()
    is_ca = False
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(str(n.value) for n in san if isinstance(n, (x509.DNSName, x509.IPAddress)))
    except x509.ExtensionNotFound:
        pass
    try:
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        pass
    return Facts(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=names,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
        key=_key_name(certificate.public_key()),
        is_ca=is_ca,
    )


def _key_name(key: object) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {key.curve.name}"
    return type(key).__name__.strip("_").removesuffix("PublicKey")


def _public_bytes(key: object) -> bytes:
    encoded: bytes = key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded
