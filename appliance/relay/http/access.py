"""Who a request comes from: address ranges, bearer tokens, basic authentication. Nothing of pushes is known here."""

import base64
import binascii
import hmac
import ipaddress
import logging
from collections.abc import Iterable

from appliance.config.model import HttpAccess
from appliance.relay.http.messages import Request, Response
from appliance.relay.loki.credentials import SecretFile, SecretUnreadable

log = logging.getLogger(__name__)


class Ranges:
    """Addresses and ranges, IPv4 and IPv6; a request's address is in them or not."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(text) for text in texts]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


class Secret:
    """A secret in a file, compared in constant time; one that cannot be read equals nothing."""

    def __init__(self, path: str) -> None:
        self._file = SecretFile(path)

    def equals(self, given: str) -> bool:
        try:
            secret = self._file.read()
        except SecretUnreadable as error:
            log.error("a secret cannot be read", extra={"key": str(error), "why": str(error)})
            return False
        return hmac.compare_digest(secret.encode(), given.encode(errors="replace"))


def bearer(request: Request) -> str:
    """Return the bearer token of a request; empty when it has none (RFC 6750, 2.1)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def basic(request: Request) -> tuple[str, str] | None:
    """User and password of a request (RFC 7617); None when it has none."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


class Readers:
    """Who may read metrics and status: this machine, who is in the ranges, and who has the token."""

    def __init__(self, settings: HttpAccess) -> None:
        self._ranges = Ranges(settings.addresses)
        self._token = Secret(settings.token_file) if settings.token_file else None

    def check(self, request: Request) -> Response | None:
        """Return the refusal, None when the request is admitted."""
        if request.local or request.peer in self._ranges:
            return None
        if self._token is None:
            return Response.text(403, f"{request.peer} is not in relay.http.from")
        if self._token.equals(bearer(request)):
            return None
        return Response.text(401, "a bearer token is wanted", WWW_Authenticate='Bearer realm="appliance"')
