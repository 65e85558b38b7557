"""The `listeners` section: what is open to the network, and the queue between that and the relay.

Only types, defaults and meanings; rules that types cannot express are in `checks.py`.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from appliance.config.section import Section
from appliance.config.units import Size


class UdpListener(Section):
    port: Annotated[int, Meta(description="UDP port.", ge=1, le=65535)] = 514
    address: Annotated[str | None, Meta(description="Address to listen on; all when absent.")] = None
    receive_buffer: Annotated[Size, Meta(description="Kernel socket receive buffer, in bytes.")] = Size(32 * 2**20)


class TcpListener(Section):
    port: Annotated[int, Meta(description="TCP port.", ge=1, le=65535)] = 514
    address: Annotated[str | None, Meta(description="Address to listen on; all when absent.")] = None
    max_connections: Annotated[
        int,
        Meta(
            description="Maximum number of open connections. At the limit, a connection idle for "
            "relay.connections.idle_timeout is closed to make room for a new one.",
            ge=1,
            le=100000,
        ),
    ] = 2000
    max_connections_per_sender: Annotated[
        Annotated[int, Meta(ge=1, le=100000)] | None,
        Meta(description="Maximum number of open connections from one address; half of max_connections when absent."),
    ] = None


class ServerTls(Section):
    cert_file: Annotated[str, Meta(description="PEM file of the server's certificate and its chain.")] = (
        "/etc/appliance/tls/server.crt"
    )
    key_file: Annotated[str, Meta(description="PEM file of its key, mode 0600.")] = "/etc/appliance/tls/server.key"
    ca_file: Annotated[str, Meta(description="PEM file of the CAs whose client certificates are accepted.")] = (
        "/etc/appliance/tls/ca.crt"
    )
    client_certificates: Annotated[
        Literal["none", "ca", "names"],
        Meta(
            description="none: anyone may send; ca: a certificate issued by ca_file is required; "
            "names: it must also contain a name listed in permitted_names."
        ),
    ] = "none"
    permitted_names: Annotated[
        list[str], Meta(description="Names accepted in a client certificate; * matches one label.")
    ] = field(default_factory=list)


class TlsListener(Section):
    port: Annotated[int, Meta(description="TCP port of syslog over TLS.", ge=1, le=65535)] = 6514
    address: Annotated[str | None, Meta(description="Address to listen on; all when absent.")] = None
    max_connections: Annotated[int, Meta(description="Maximum number of open connections.", ge=1, le=100000)] = 2000
    tls: Annotated[ServerTls, Meta(description="Certificate and who may connect.")] = field(default_factory=ServerTls)


class RelpListener(Section):
    port: Annotated[int, Meta(description="TCP port of RELP.", ge=1, le=65535)] = 2514
    address: Annotated[str | None, Meta(description="Address to listen on; all when absent.")] = None
    max_connections: Annotated[int, Meta(description="Maximum number of open connections.", ge=1, le=100000)] = 2000


class RelpTlsListener(Section):
    port: Annotated[int, Meta(description="TCP port of RELP over TLS.", ge=1, le=65535)] = 2515
    address: Annotated[str | None, Meta(description="Address to listen on; all when absent.")] = None
    max_connections: Annotated[int, Meta(description="Maximum number of open connections.", ge=1, le=100000)] = 2000
    tls: Annotated[ServerTls, Meta(description="Certificate and who may connect.")] = field(default_factory=ServerTls)


class Queue(Section):
    """The queue between the listeners and the relay."""

    path: Annotated[
        str | None,
        Meta(description="No longer used: data waiting for the relay is in /var/lib/appliance/handover."),
    ] = None
    memory_messages: Annotated[
        int, Meta(description="Messages rsyslog keeps in memory while it cannot write to disk.", ge=1000)
    ] = 50000
    max_disk: Annotated[
        Size,
        Meta(
            description="Maximum size on disk of data waiting for the relay; beyond it, senders are held back. Half is "
            "for plain TCP (listeners.tcp), half for the other listeners, plus 1/16 for this machine's journal."
        ),
    ] = Size(2 * 2**30)


class Listeners(Section):
    """Listeners open to the network; those absent are off."""

    udp: Annotated[UdpListener | None, Meta(description="Syslog over UDP.")] = None
    tcp: Annotated[
        TcpListener | None, Meta(description="Syslog over TCP, octet-counted or LF, decided for each message.")
    ] = None
    tls: Annotated[TlsListener | None, Meta(description="Syslog over TLS.")] = None
    relp: Annotated[RelpListener | None, Meta(description="RELP from other rsyslog instances.")] = None
    relp_tls: Annotated[
        RelpTlsListener | None, Meta(description="RELP over TLS from other rsyslog instances, on a separate port.")
    ] = None
    journal: Annotated[bool, Meta(description="Forward this machine's own journal.")] = True
    queue: Annotated[Queue, Meta(description="The queue between the listeners and the relay.")] = field(
        default_factory=Queue
    )
