"""The certificate that a server shows, taken without trusting it, so that a person can compare and trust it.

Trusting is to keep that one certificate as the file that `loki.tls.ca_file` names: it is then what the
server has to show, until somebody trusts another.
"""

import os
import re
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from appliance.errors import ApplianceError
from appliance.host.layout import TLS, Layout
from appliance.host.tls.judge import Facts, describe
from appliance.host.tree import make_parents, write_durably

_WITHIN = 10.0  # seconds to connect and shake hands


@dataclass(frozen=True)
class Presented:
    """What a server at `place` showed; `server_name` is what to expect in it, None when that is the URL's host."""

    place: str
    pem: bytes
    facts: Facts
    server_name: str | None


def take(url: str, now: datetime, *, server_name: str | None = None) -> Presented:
    """Return the certificate that the server of an https URL shows.

    Raise ApplianceError when there is none to be had, or when it could not be trusted whatever one
    thinks of it: expired, not yet valid, without any name.
    """
    target = urlsplit(url)
    host, port = target.hostname or "", target.port or 443
    place = f"{host}:{port}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), _WITHIN) as plain,
            context.wrap_socket(plain, server_hostname=server_name or host) as secured,
        ):
            der = secured.getpeercert(binary_form=True)
    except ssl.SSLError as error:
        raise ApplianceError(f"{place} speaks no TLS: {error.reason}", hint="is it really http://?") from None
    except OSError as error:
        raise ApplianceError(f"{place}: {error.strerror or error}", hint="correct the address first") from None
    assert der, "a TLS server always shows a certificate"
    pem = ssl.DER_cert_to_PEM_cert(der).encode()
    facts = describe(pem)
    if not facts.not_before <= now <= facts.not_after:
        until = f"{facts.not_before:%Y-%m-%d} to {facts.not_after:%Y-%m-%d}"
        raise ApplianceError(
            f"the certificate of {place} is valid from {until}", hint="renew it there; check this machine's clock"
        )
    common_name = re.findall(r"(?:^|,)CN=([^,]+)", facts.subject)
    names = facts.names or tuple(common_name[:1])
    if not names:
        hint = "make one with a subject alternative name"
        raise ApplianceError(f"the certificate of {place} names no host", hint=hint)
    return Presented(place, pem, facts, _expected(host, server_name, names))


def keep(shown: Presented, layout: Layout) -> str:
    """Keep a certificate that is trusted; return the path for `loki.tls.ca_file`. Raise OSError."""
    name = f"{TLS}/loki-{shown.facts.fingerprint.replace(':', '')[:12].lower()}.crt"
    path = layout.at(name)
    make_parents(path)
    write_durably(path, shown.pem, 0o644, str(os.geteuid()), str(os.getegid()))
    return name


def _expected(host: str, server_name: str | None, names: tuple[str, ...]) -> str | None:
    """Return the name to expect when it is not the host's own."""
    wanted = server_name or host
    if any(_covers(name, wanted) for name in names):
        return server_name
    return names[0].replace("*", "host", 1)


def _covers(name: str, host: str) -> bool:
    """Return whether a name of a certificate stands for a host (RFC 6125: * is one whole label)."""
    name, host = name.lower(), host.lower()
    return name == host or (name.startswith("*.") and name[1:] == host[host.find(".") :] and "." in host)
