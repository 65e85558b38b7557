"""Certificates for listeners and their clients, made for a test."""

import ssl
import tempfile
from functools import cache
from pathlib import Path

import msgspec
import trustme

from appliance.config import model


class Certificates:
    """An authority that rsyslog trusts and one it does not."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.authority, self.stranger = trustme.CA(), trustme.CA()
        server = self.authority.issue_cert("localhost")
        self.authority.cert_pem.write_to_path(directory / "ca.crt")
        server.private_key_pem.write_to_path(directory / "server.key")
        server.cert_chain_pems[0].write_to_path(directory / "server.crt")
        self.server = model.ServerTls(
            cert_file=str(directory / "server.crt"),
            key_file=str(directory / "server.key"),
            ca_file=str(directory / "ca.crt"),
        )

    def wanting(self, client_certificates: str, *names: str) -> model.ServerTls:
        return msgspec.structs.replace(
            self.server, client_certificates=client_certificates, permitted_names=list(names)
        )

    def client(self, name: str | None = None, *, by: trustme.CA | None = None) -> ssl.SSLContext:
        """A client that trusts the authority, and bears a certificate with this name."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if name:
            (by or self.authority).issue_cert(name, common_name=name).configure_cert(context)
        return context


@cache
def of_loopback() -> Certificates:
    """Those that will do wherever only the way of transport counts."""
    return Certificates(Path(tempfile.mkdtemp(prefix="certificates-")) / "tls")


def client_tls() -> ssl.SSLContext:
    """A client that trusts a listener with these."""
    return of_loopback().client()
