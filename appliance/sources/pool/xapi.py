"""A client for XAPI, the management interface of XCP-ng pools, by JSON-RPC over HTTPS.

Responsible for the connection, the certificate and the session; what is called is `onboard.py`'s.
Source: xapi-project/xen-api, ocaml/xapi/api_server.ml (POST /jsonrpc, JSON-RPC 2.0; errors carry
XAPI's code in `message` and its parameters in `data`).
"""

import hashlib
import http.client
import json
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from appliance.errors import ApplianceError

_ORIGINATOR = "log forwarder appliance"
_LARGEST = 64 * 2**20  # bytes of an answer; a pool of 64 hosts stays below 2 MiB


class XapiError(ApplianceError):
    """XAPI refused a call: `code` is its own word, such as SESSION_AUTHENTICATION_FAILED."""

    def __init__(self, code: str, parameters: list[str], method: str) -> None:
        self.code, self.parameters = code, parameters
        hints = {
            "SESSION_AUTHENTICATION_FAILED": "the user and password of the pool's hosts, usually root's",
            "RBAC_PERMISSION_DENIED": "a user with the role pool-operator or pool-admin",
            "HOST_OFFLINE": "the host does not answer to its pool",
        }
        what = ", ".join(parameters)
        super().__init__(
            f"{method}: {code}" + (f" ({what})" if what else ""), hint=hints.get(code, "see xensource.log")
        )


@dataclass(frozen=True, slots=True)
class Trust:
    """How the pool's certificate is known: an authority (PEM), or the SHA-256 of the certificate itself."""

    authority: str = ""
    fingerprint: str = ""


@dataclass(slots=True)
class Xapi:
    """A session with a pool; use it in a with statement, so that it is logged out."""

    host: str
    port: int
    trust: Trust
    user: str
    password: str = field(repr=False)
    timeout: float = 60.0
    _session: str = field(default="", init=False, repr=False)
    _number: int = field(default=0, init=False)

    def __enter__(self) -> Self:
        """Log in. A host that is not the pool's coordinator names it, and is followed once."""
        arguments = (self.user, self.password, "1.0", _ORIGINATOR)
        try:
            self._session = str(self._call("session.login_with_password", *arguments))
        except XapiError as error:
            if error.code != "HOST_IS_SLAVE" or not error.parameters:
                raise
            coordinator = error.parameters[0]
            if self.trust.fingerprint:
                hint = f"--pool {coordinator}, with the fingerprint of that host's certificate"
                raise ApplianceError(f"{self.host} is a member of its pool, not the coordinator", hint=hint) from None
            self.host = coordinator
            self._session = str(self._call("session.login_with_password", *arguments))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, ""
        try:
            self._call("session.logout", session)
        except ApplianceError:
            return  # it ends by itself

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method with the session before its arguments. Raise XapiError when it is refused."""
        return self._call(method, self._session, *arguments)

    def _call(self, method: str, *arguments: Any) -> Any:
        self._number += 1
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": list(arguments), "id": self._number})
        answer = self._post(body.encode(), method)
        if (error := answer.get("error")) is not None:
            data = error.get("data") if isinstance(error, dict) else None
            parameters = [str(part) for part in data] if isinstance(data, list) else []
            raise XapiError(str(error.get("message", error)), parameters, method)
        if "result" not in answer:
            raise ApplianceError(f"{self.host} answered {method} with neither a result nor an error")
        return answer["result"]

    def _post(self, body: bytes, method: str) -> dict[str, Any]:
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=self._context())
        try:
            connection.connect()
            self._check_fingerprint(connection)
            connection.request("POST", "/jsonrpc", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read(_LARGEST)
        except ssl.SSLCertVerificationError as error:
            raise self._untrusted(error.verify_message) from None
        except (OSError, http.client.HTTPException) as error:
            hint = "the address of a host of the pool, port 443 open from here"
            raise ApplianceError(f"{self.host} cannot be reached: {error}", hint=hint) from None
        finally:
            connection.close()
        try:
            made = json.loads(text)
        except ValueError:
            made = None
        if answer.status != 200 or not isinstance(made, dict):
            message = f"{self.host} answered {method} with HTTP {answer.status}, which is not JSON-RPC"
            raise ApplianceError(message, hint="is it an XCP-ng host (8.0 or later)?")
        return made

    # ---- the certificate ----------------------------------------------------------------------

    def _context(self) -> ssl.SSLContext:
        if self.trust.fingerprint:
            # Checked in _check_fingerprint, before anything is sent.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        try:
            return ssl.create_default_context(cadata=self.trust.authority or None)
        except ssl.SSLError as error:
            raise ApplianceError(f"the authority given is no certificate: {error.reason}", hint="a PEM file") from None

    def _check_fingerprint(self, connection: http.client.HTTPSConnection) -> None:
        if not self.trust.fingerprint:
            return
        seen = fingerprint_of(connection)
        if seen != normalized(self.trust.fingerprint):
            message = f"{self.host} shows another certificate: SHA-256 {seen}"
            raise ApplianceError(message, hint="compare it on the host; nothing was sent, no password either")

    def _untrusted(self, why: str) -> ApplianceError:
        return ApplianceError(
            f"the certificate of {self.host} is not trusted: {why}",
            hint="give --pool-ca FILE (the host's /etc/xensource/xapi-ssl.pem without its key), or --fingerprint "
            "(on the host: openssl x509 -in /etc/xensource/xapi-ssl.pem -noout -fingerprint -sha256)",
        )


def fingerprint_of(connection: http.client.HTTPSConnection) -> str:
    """Return the SHA-256 of the certificate that a connection was shown, in lower-case hexadecimal."""
    sock = connection.sock
    assert isinstance(sock, ssl.SSLSocket)
    return hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()


def normalized(fingerprint: str) -> str:
    """Return a fingerprint as openssl or a browser shows it in lower-case hexadecimal."""
    return fingerprint.rpartition("=")[2].replace(":", "").replace(" ", "").lower()
