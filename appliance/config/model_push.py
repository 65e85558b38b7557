"""The sections `relay.push` and `relay.http`: who may push, and who may read metrics and status.

Only types, defaults and meanings; what no type can say is judged by `check_push.py`.
"""

from typing import Annotated

from msgspec import Meta, field

from appliance.config.model_listeners import ServerTls
from appliance.config.section import Section


class PushClient(Section):
    """One client of the push API, known by a token, a password, its certificate or its address."""

    name: Annotated[
        str,
        Meta(
            description="Name of the client; with neither token nor password, the name required in its certificate.",
            pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$",
        ),
    ]
    token_file: Annotated[str | None, Meta(description="File of mode 0600 that holds its bearer token.")] = None
    user: Annotated[str | None, Meta(description="User name for HTTP basic authentication.")] = None
    password_file: Annotated[str | None, Meta(description="File of mode 0600 that holds its password.")] = None
    tenant: Annotated[
        str | None, Meta(description="Tenant of all it pushes, whatever X-Scope-OrgID it sends; ours when absent.")
    ] = None
    tenants: Annotated[
        list[str], Meta(description="Tenants it may name in X-Scope-OrgID; the first when it names none.")
    ] = field(default_factory=list)
    labels: Annotated[
        dict[str, str], Meta(description="Labels given to all it pushes, in place of its own of the same name.")
    ] = field(default_factory=dict)
    addresses: Annotated[
        list[str], Meta(description="Addresses or ranges it may push from, such as 10.0.0.0/8; all when empty.")
    ] = field(default_factory=list, name="from")


class Push(Section):
    """Who may push; without clients, those on this machine, and everybody where `anyone` says so."""

    tls: Annotated[ServerTls | None, Meta(description="TLS for the push API; plain HTTP when absent.")] = None
    clients: Annotated[
        list[PushClient], Meta(description="Clients that may push; the first that fits counts.", max_length=1000)
    ] = field(default_factory=list)
    anyone: Annotated[
        bool,
        Meta(
            description="Anyone who can reach the address may push for our own tenant, without identifying themselves."
        ),
    ] = False


class HttpAccess(Section):
    """Who may read /metrics and /status; this machine always may, and /ready is open to all."""

    token_file: Annotated[
        str | None, Meta(description="File of mode 0600 that holds a bearer token with which others may read.")
    ] = None
    addresses: Annotated[
        list[str], Meta(description="Addresses or ranges that may read without a token, such as 10.1.2.3.")
    ] = field(default_factory=list, name="from")
