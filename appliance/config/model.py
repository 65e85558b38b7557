"""The configuration as types: every key with its type, default, unit and meaning.

`/etc/appliance/appliance.yaml` is decoded into `Config`; each module takes the part it
needs. Reading and checking a file is `load.py`; nothing here does I/O. The `Meta(description=…)` of
a key is what `appliance config schema` and the error messages show.
"""

from typing import Annotated

from msgspec import Meta, field

from appliance.config.model_labels import (
    Guard,
    Labels,
    Metadata,
    RelabelRule,
)
from appliance.config.model_listeners import (
    Listeners,
    Queue,
    RelpListener,
    RelpTlsListener,
    ServerTls,
    TcpListener,
    TlsListener,
    UdpListener,
)
from appliance.config.model_loki import (
    Backoff,
    BasicAuth,
    ClientTls,
    Loki,
    LokiLimits,
)
from appliance.config.model_push import (
    HttpAccess,
    Push,
    PushClient,
)
from appliance.config.model_relay import (
    BatchSettings,
    Connections,
    Listen,
    Relay,
    SenderTime,
    Spool,
    TimeSettings,
)
from appliance.config.model_system import (
    Access,
    Ipv4,
    Ipv6,
    Keyboard,
    Network,
    Ntp,
    System,
)
from appliance.config.section import Section
from appliance.config.units import Duration, Endpoint, Rate, Size

__all__ = [
    "Access",
    "Backoff",
    "BasicAuth",
    "BatchSettings",
    "ClientTls",
    "Config",
    "Connections",
    "Duration",
    "Endpoint",
    "Guard",
    "HttpAccess",
    "Ipv4",
    "Ipv6",
    "Keyboard",
    "Labels",
    "Listen",
    "Listeners",
    "Loki",
    "LokiLimits",
    "Metadata",
    "Network",
    "Ntp",
    "Push",
    "PushClient",
    "Queue",
    "Rate",
    "RelabelRule",
    "Relay",
    "RelpListener",
    "RelpTlsListener",
    "Section",
    "SenderTime",
    "ServerTls",
    "Size",
    "Spool",
    "System",
    "TcpListener",
    "TimeSettings",
    "TlsListener",
    "UdpListener",
]


class Config(Section):
    """The whole file."""

    loki: Annotated[Loki, Meta(description="Where the logs go.")]
    labels: Annotated[Labels, Meta(description="How entries are labeled.")] = field(default_factory=Labels)
    relay: Annotated[Relay, Meta(description="The relay.")] = field(default_factory=Relay)
    listeners: Annotated[Listeners, Meta(description="Listeners open to the network.")] = field(
        default_factory=Listeners
    )
    system: Annotated[System, Meta(description="The machine itself: name, network, time, keyboard.")] = field(
        default_factory=System
    )
    access: Annotated[Access, Meta(description="Who may log in to the machine.")] = field(default_factory=Access)
