"""Who pushes, and for which tenant: clients of the configuration found by token, password, certificate or address.

Decides nothing about what is pushed but the labels a client is given. Source: configuration `relay.push`.
"""

from collections.abc import Mapping

from appliance.config.model import Push, PushClient
from appliance.relay.http.access import Ranges, Secret, basic, bearer
from appliance.relay.http.messages import Request, Response
from appliance.relay.http.tls import name_permitted
from appliance.relay.listen.push_proto import PushedStream
from appliance.relay.listen.push_refused import PushRefused
from appliance.relay.loki.label_syntax import format_labels, parse_labels

_REMEMBERED = 4096  # label sets with a client's own labels put in
_CHALLENGE = 'Bearer realm="appliance", Basic realm="appliance"'


class Caller:
    """A client that may push: `tenant` is its only one, else it names one of `tenants`."""

    def __init__(
        self, name: str = "", tenant: str | None = None, tenants: tuple[str, ...] = (), labels: Mapping[str, str] = {}
    ) -> None:
        self.name = name
        self._tenant = tenant
        self._tenants = tenants
        self._labels = dict(labels)
        self._labeled: dict[str, str] = {}

    def tenant(self, named: str) -> str:
        """Return the tenant that its push is for, given what it named. Raise PushRefused for one it may not name."""
        if self._tenant is not None:
            return self._tenant
        if not named:
            return self._tenants[0] if self._tenants else ""
        if named not in self._tenants:
            who = f"client {self.name}" if self.name else "an unknown client"
            raise PushRefused(403, f"{who} may not push for tenant {named[:200]}", "tenant")
        return named

    def labeled(self, streams: list[PushedStream]) -> list[PushedStream]:
        """Return the streams with the client's own labels."""
        if not self._labels:
            return streams
        return [stream._replace(labels=self._with_labels(stream.labels)) for stream in streams]

    def _with_labels(self, labels: str) -> str:
        found = self._labeled.get(labels)
        if found is None:
            if len(self._labeled) >= _REMEMBERED:
                self._labeled.clear()
            found = format_labels({**parse_labels(labels), **self._labels})
            if len(labels) <= 1024:
                self._labeled[labels] = found
        return found


class _Local(Caller):
    """Somebody on this machine while no clients are configured: any tenant, as ever."""

    def tenant(self, named: str) -> str:
        return named


class _Known:
    """One configured client, and what tells it from others."""

    def __init__(self, client: PushClient, own_tenant: str | None, certificates: bool) -> None:
        tenants = tuple(client.tenants) or ((own_tenant,) if own_tenant else ())
        self.caller = Caller(client.name, client.tenant, tenants, client.labels)
        self.ranges = Ranges(client.addresses)
        self._token = Secret(client.token_file) if client.token_file else None
        self._user = client.user or ""
        self._password = Secret(client.password_file) if client.password_file else None
        self._certificate = client.name if certificates and not (self._token or self._password) else None
        self._by_address = not (self._token or self._password or self._certificate)

    def recognized(self, request: Request) -> bool:
        """Return whether what the request shows is this client's; its address is another matter."""
        if self._token is not None:
            return self._token.equals(bearer(request))
        if self._password is not None:
            given = basic(request)
            return given is not None and given[0] == self._user and self._password.equals(given[1])
        if self._certificate is not None:
            return self._certificate.lower() in (name.lower() for name in request.certificate_names)
        return self._by_address and request.peer in self.ranges


class PushClients:
    """All clients of one configuration. `own_tenant` is the relay's own at Loki."""

    def __init__(self, push: Push, own_tenant: str | None) -> None:
        certificates = push.tls is not None and push.tls.client_certificates != "none"
        self._permitted = push.tls.permitted_names if push.tls and push.tls.client_certificates == "names" else None
        self._known = [_Known(client, own_tenant, certificates) for client in push.clients]
        own = (own_tenant,) if own_tenant else ()
        self._anyone = Caller(tenants=own) if push.anyone or (certificates and not push.clients) else None
        self._local = None if push.clients else _Local()

    def check(self, request: Request) -> Response | None:
        """Find who asks and leave it in `request.caller`; the refusal when it is nobody who may push."""
        if self._permitted is not None and not name_permitted(request.certificate_names, self._permitted):
            return Response.text(403, "the certificate contains no permitted name")
        elsewhere = False
        for known in self._known:
            if known.recognized(request):
                if not known.ranges or request.peer in known.ranges:
                    request.caller = known.caller
                    return None
                elsewhere = True
        request.caller = (self._local if request.local else None) or self._anyone
        if request.caller is not None:
            return None
        if elsewhere:
            return Response.text(403, f"this client may not push from {request.peer}")
        return Response.text(401, "this client is not known: see relay.push.clients", WWW_Authenticate=_CHALLENGE)
