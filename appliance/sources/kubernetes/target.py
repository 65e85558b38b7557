"""Where an agent pushes to: this forwarder, or a Loki directly. Pure."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from appliance.errors import UsageError
from appliance.sources.forwarder import CA_PLACEHOLDER, Forwarder

TOKEN_PLACEHOLDER = "<the output of: appliance token new>"


@dataclass(frozen=True, slots=True)
class Target:
    """A push URL, taken apart, with what is needed to be believed and to believe.

    `server_name` is the name on the certificate when the URL has another one; `authority` is PEM,
    empty where the system's authorities are meant.
    """

    url: str
    host: str
    port: int
    path: str
    tls: bool = False
    server_name: str = ""
    authority: str = ""
    token: str = ""

    @property
    def wants_token(self) -> bool:
        """Return whether the agent has to show a token."""
        return bool(self.token)


def this_forwarder(at: Forwarder, token: str = "") -> Target:
    """Return the target for agents that push to this forwarder's push listener, which is open."""
    scheme = "https" if at.push_tls else "http"
    return Target(
        url=f"{scheme}://{at.host}:{at.push}/loki/api/v1/push",
        host=at.address,
        port=at.push or 0,
        path="/loki/api/v1/push",
        tls=at.push_tls,
        server_name=at.name if at.push_tls and at.name != at.address else "",
        authority=(at.authority or CA_PLACEHOLDER) if at.push_tls else "",
        token=token or (TOKEN_PLACEHOLDER if at.push_token else ""),
    )


def loki(url: str, token: str = "", authority: str = "") -> Target:
    """Return the target for agents that push to a Loki directly. Raise UsageError for what is no URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise UsageError(f"{url} is not a push URL", hint="such as https://loki.example.org/loki/api/v1/push")
    path = parts.path.rstrip("/") or "/loki/api/v1/push"
    return Target(
        parts._replace(path=path).geturl(), parts.hostname, port, path, parts.scheme == "https", "", authority, token
    )
