"""The configuration as types: every key with its type, default, unit and meaning.

`/etc/appliance/appliance.yaml` is decoded into `Config`; whoever needs a setting takes the part it
needs. Reading and judging a file is `load.py`; nothing here does I/O. The `Meta(description=…)` of
a key is what `appliance config schema` and the error messages show.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from appliance.config.model_system import Access, System
from appliance.config.section import Section as Section
from appliance.config.units import Duration, Endpoint, Rate, Size


# ---- loki -----------------------------------------------------------------------------------


class BasicAuth(Section):
    username: Annotated[str, Meta(description="User name for HTTP basic authentication.", min_length=1)]
    password_file: Annotated[str, Meta(description="File of mode 0600 that holds the password; read again when it changes.", min_length=1)]


class ClientTls(Section):
    ca_file: Annotated[str | None, Meta(description="PEM file of the authorities to trust; the system's when absent.")] = None
    cert_file: Annotated[str | None, Meta(description="PEM file of our client certificate and its chain.")] = None
    key_file: Annotated[str | None, Meta(description="PEM file of the client certificate's key, mode 0600.")] = None
    server_name: Annotated[str | None, Meta(description="Name the server's certificate must bear, when it is not the URL's host.")] = None
    min_version: Annotated[Literal["1.2", "1.3"], Meta(description="Oldest TLS version to speak.")] = "1.2"
    insecure_skip_verify: Annotated[bool, Meta(description="Do not verify the server's certificate. Anyone on the path can then read and forge.")] = False


class Backoff(Section):
    min: Annotated[Duration, Meta(description="First wait after a failed push, in seconds; doubles from there, with jitter.")] = Duration(0.5)
    max: Annotated[Duration, Meta(description="Longest wait between two tries, in seconds. Tries never end.")] = Duration(30)


class LokiLimits(Section):
    """What the Loki at the other end allows. Defaults are Loki's own."""

    streams: Annotated[int, Meta(description="max_global_streams_per_user: active streams of a tenant.", ge=1)] = 5000
    stream_rate: Annotated[Rate, Meta(description="per_stream_rate_limit, bytes a second.")] = Rate(3 * 2**20)
    stream_burst: Annotated[Size, Meta(description="per_stream_rate_limit_burst, bytes.")] = Size(15 * 2**20)
    behind: Annotated[Duration, Meta(description="Half of max_chunk_age: how far an entry may lie behind the newest of its stream, in seconds.")] = Duration(3600)
    oldest: Annotated[Duration, Meta(description="reject_old_samples_max_age: oldest acceptable entry, in seconds before now.")] = Duration(7 * 86400)
    ahead: Annotated[Duration, Meta(description="creation_grace_period: how far in the future an entry may lie, in seconds.")] = Duration(600)
    push_size: Annotated[Size, Meta(description="Largest uncompressed push (grpc_server_max_recv_msg_size), bytes.")] = Size(4 * 2**20)
    line_size: Annotated[Size, Meta(description="max_line_size, bytes. Longer lines are cut and marked.")] = Size(256 * 1024)
    label_names: Annotated[int, Meta(description="max_label_names_per_series; Loki itself adds one.", ge=2)] = 15
    label_name_length: Annotated[int, Meta(description="max_label_name_length, bytes.", ge=16)] = 1024
    label_value_length: Annotated[int, Meta(description="max_label_value_length, bytes.", ge=16)] = 2048
    metadata_size: Annotated[Size, Meta(description="max_structured_metadata_size of an entry, bytes.")] = Size(64 * 1024)
    metadata_count: Annotated[int, Meta(description="max_structured_metadata_entries_count of an entry.", ge=8)] = 128


class Loki(Section):
    url: Annotated[str, Meta(description="Push URL of Loki, such as https://loki.example.org/loki/api/v1/push.", min_length=1)]
    tenant: Annotated[str | None, Meta(description="Tenant, sent as X-Scope-OrgID.")] = None
    encoding: Annotated[Literal["protobuf", "json"], Meta(description="How pushes are encoded: protobuf with snappy, or JSON.")] = "protobuf"
    basic_auth: Annotated[BasicAuth | None, Meta(description="HTTP basic authentication.")] = None
    bearer_token_file: Annotated[str | None, Meta(description="File of mode 0600 that holds a bearer token; read again when it changes.")] = None
    tls: Annotated[ClientTls, Meta(description="TLS towards Loki, for https URLs.")] = field(default_factory=ClientTls)
    proxy: Annotated[str | None, Meta(description="HTTP proxy, such as http://proxy:3128; none when absent.")] = None
    headers: Annotated[dict[str, str], Meta(description="Extra HTTP headers; never override our own.")] = field(default_factory=dict)
    timeout: Annotated[Duration, Meta(description="How long one push may take, in seconds.")] = Duration(30)
    connections: Annotated[int, Meta(description="Pushes in flight at the same time.", ge=1, le=32)] = 4
    backoff: Annotated[Backoff, Meta(description="Waits between tries while Loki cannot be reached.")] = field(default_factory=Backoff)
    limits: Annotated[LokiLimits, Meta(description="What Loki allows; set what your Loki has set.")] = field(default_factory=LokiLimits)


# ---- labels ---------------------------------------------------------------------------------


class RelabelRule(Section):
    """One rule of `relabel_configs`, as Prometheus defines it."""

    source_labels: Annotated[list[str], Meta(description="Labels whose values, joined by the separator, are matched.")] = field(default_factory=list)
    separator: Annotated[str, Meta(description="What joins the values of source_labels.")] = ";"
    regex: Annotated[str, Meta(description="RE2 expression, anchored at both ends.")] = "(.*)"
    modulus: Annotated[int | None, Meta(description="Modulus of hashmod.", ge=1)] = None
    target_label: Annotated[str | None, Meta(description="Label to write.")] = None
    replacement: Annotated[str, Meta(description="Value to write; $1 or ${name} are groups of the regex.")] = "$1"
    action: Annotated[
        Literal["replace", "keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap", "labeldrop", "labelkeep", "lowercase", "uppercase"],
        Meta(description="What the rule does."),
    ] = "replace"


class Metadata(Section):
    """Which fields travel as Loki's structured metadata."""

    process_id: Annotated[bool, Meta(description="PROCID, as process_id.")] = True
    message_id: Annotated[bool, Meta(description="MSGID, as message_id.")] = True
    facility: Annotated[bool, Meta(description="Facility, as facility, unless it is a label.")] = True
    sender: Annotated[bool, Meta(description="Address of the sender, as sender.")] = True
    input: Annotated[bool, Meta(description="Listener the message came by, as input.")] = False
    structured_data: Annotated[bool, Meta(description="RFC 5424 structured data, as <id>_<name>.")] = True
    repairs: Annotated[bool, Meta(description="What was repaired or not understood, as repaired and original_timestamp.")] = True


class Guard(Section):
    """Bounds on what becomes a label, so that one sender cannot use up Loki's streams."""

    max_streams: Annotated[int, Meta(description="Active streams the relay makes at most; what is over has labels moved to metadata.", ge=10)] = 4000
    max_values_per_label: Annotated[int, Meta(description="Distinct values of one label; a further value becomes metadata.", ge=10)] = 1000
    idle: Annotated[Duration, Meta(description="A stream without entries for this long no longer counts, in seconds.")] = Duration(3600)
    drop_order: Annotated[list[str], Meta(description="Labels given up first when streams run out; labels not listed go before these, job last.")] = field(
        default_factory=lambda: ["facility", "level", "application", "host"]
    )


class Labels(Section):
    static: Annotated[dict[str, str], Meta(description="Labels that every entry gets.")] = field(default_factory=lambda: {"job": "syslog"})
    include: Annotated[list[Literal["host", "application", "level", "facility"]], Meta(description="Fields of the message that become labels.")] = field(
        default_factory=lambda: ["host", "application", "level"]
    )
    level: Annotated[
        Literal["grafana", "syslog"], Meta(description="Words of the level label: grafana (critical error warning info debug) or syslog (emerg alert crit err warning notice info debug).")
    ] = "grafana"
    metadata: Annotated[Metadata, Meta(description="Which fields travel as structured metadata.")] = field(default_factory=Metadata)
    relabel_configs: Annotated[list[RelabelRule], Meta(description="Prometheus relabelling over Promtail's __syslog_* names, after the labels above are set.")] = field(default_factory=list)
    guard: Annotated[Guard, Meta(description="Bounds on streams and label values.")] = field(default_factory=Guard)


# ---- relay ----------------------------------------------------------------------------------


class Listen(Section):
    """Where the relay listens; what is absent is off."""

    relp: Annotated[Endpoint | None, Meta(description="RELP, acknowledged after the message is on disk.")] = None
    syslog_tcp: Annotated[Endpoint | None, Meta(description="Syslog over TCP, RFC 5424, octet-counted or LF.")] = None
    push: Annotated[Endpoint | None, Meta(description="Loki push API.")] = None
    http: Annotated[Endpoint | None, Meta(description="/metrics, /ready and /status.")] = None


class Spool(Section):
    path: Annotated[str, Meta(description="Directory that holds what Loki has not taken yet.", min_length=1)] = "./spool"
    max_size: Annotated[Size, Meta(description="Bytes the spool may hold.")] = Size(2 * 2**30)
    max_age: Annotated[Duration | None, Meta(description="Batches older than this are dropped and counted, in seconds; never when absent.")] = None
    when_full: Annotated[
        Literal["block", "drop_oldest"], Meta(description="block: take nothing more, so that senders and rsyslog's own queue keep it; drop_oldest: give up the oldest batches for new ones.")
    ] = "block"
    min_free: Annotated[Size, Meta(description="Bytes that must stay free on the file system.")] = Size(256 * 2**20)
    max_set_aside: Annotated[Size, Meta(description="Bytes of unreadable batches kept for a look.")] = Size(64 * 2**20)
    max_dead_letter: Annotated[Size, Meta(description="Bytes of entries kept that Loki refuses for good.")] = Size(64 * 2**20)


class BatchSettings(Section):
    size: Annotated[Size, Meta(description="Uncompressed bytes at which a batch closes.")] = Size(2 * 2**20)
    age: Annotated[Duration, Meta(description="Seconds after its first entry at which a batch closes.")] = Duration(1)


class SenderTime(Section):
    """What is different about the clocks of senders in an address range."""

    address: Annotated[str, Meta(description="Address or range, such as 10.1.0.0/16.", min_length=1)]
    timezone: Annotated[str | None, Meta(description="Zone of their time stamps without one, such as Europe/Paris.")] = None
    timestamp: Annotated[Literal["message", "received"] | None, Meta(description="As relay.time.timestamp, for these senders.")] = None
    max_past: Annotated[Duration | None, Meta(description="As relay.time.max_past, for these senders.")] = None
    max_future: Annotated[Duration | None, Meta(description="As relay.time.max_future, for these senders.")] = None


class TimeSettings(Section):
    timestamp: Annotated[Literal["message", "received"], Meta(description="Which time an entry bears: the message's own, while it is believable, or the time of receipt.")] = "message"
    max_past: Annotated[Duration, Meta(description="A time stamp with a zone further behind its receipt is not believed, in seconds.")] = Duration(6 * 86400)
    max_past_without_zone: Annotated[Duration, Meta(description="The same for a time stamp without year or zone (RFC 3164), in seconds.")] = Duration(3000)
    max_future: Annotated[Duration, Meta(description="A time stamp further ahead of its receipt is not believed, in seconds.")] = Duration(300)
    senders: Annotated[list[SenderTime], Meta(description="Exceptions by sender's address; the first that matches counts.")] = field(default_factory=list)


class Connections(Section):
    max: Annotated[int, Meta(description="Open connections on each of the relay's listeners.", ge=1)] = 2000
    idle_timeout: Annotated[Duration, Meta(description="A syslog or HTTP connection silent for this long is closed, in seconds.")] = Duration(600)
    max_message: Annotated[Size, Meta(description="Longest message taken from syslog or RELP, bytes; the rest of a longer one is cut and marked.")] = Size(256 * 1024)
    max_push: Annotated[Size, Meta(description="Longest body taken by the push API, bytes after decompression.")] = Size(16 * 2**20)


class Relay(Section):
    listen: Annotated[Listen, Meta(description="Where the relay listens.")] = field(default_factory=Listen)
    spool: Annotated[Spool, Meta(description="The batches on disk.")] = field(default_factory=Spool)
    batch: Annotated[BatchSettings, Meta(description="When a batch closes.")] = field(default_factory=BatchSettings)
    time: Annotated[TimeSettings, Meta(description="Which time an entry bears.")] = field(default_factory=TimeSettings)
    connections: Annotated[Connections, Meta(description="Bounds on connections and messages.")] = field(default_factory=Connections)
    relp_window: Annotated[int, Meta(description="Messages rsyslog may send ahead of our acknowledgement.", ge=1, le=100000)] = 20000
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="What the relay writes to its own log.")] = "info"


# ---- listeners: what rsyslog opens to the network -------------------------------------------------


class UdpListener(Section):
    port: Annotated[int, Meta(description="UDP port.", ge=1, le=65535)] = 514
    address: Annotated[str | None, Meta(description="Address to listen on; all when absent.")] = None
    receive_buffer: Annotated[Size, Meta(description="Socket buffer of the kernel, bytes.")] = Size(32 * 2**20)


class TcpListener(Section):
    port: Annotated[int, Meta(description="TCP port.", ge=1, le=65535)] = 514
    address: Annotated[str | None, Meta(description="Address to listen on; all when absent.")] = None
    max_connections: Annotated[int, Meta(description="Open connections.", ge=1, le=100000)] = 2000


class ServerTls(Section):
    cert_file: Annotated[str, Meta(description="PEM file of the server's certificate and its chain.")] = "/etc/appliance/tls/server.crt"
    key_file: Annotated[str, Meta(description="PEM file of its key, mode 0600.")] = "/etc/appliance/tls/server.key"
    ca_file: Annotated[str, Meta(description="PEM file of the authorities whose client certificates are taken.")] = "/etc/appliance/tls/ca.crt"
    client_certificates: Annotated[Literal["none", "ca", "names"], Meta(description="none: anyone may send; ca: a certificate of ca_file is needed; names: and a name of permitted_names.")] = "none"
    permitted_names: Annotated[list[str], Meta(description="Names a client certificate may bear; * stands for one part.")] = field(default_factory=list)


class TlsListener(Section):
    port: Annotated[int, Meta(description="TCP port of syslog over TLS.", ge=1, le=65535)] = 6514
    address: Annotated[str | None, Meta(description="Address to listen on; all when absent.")] = None
    max_connections: Annotated[int, Meta(description="Open connections.", ge=1, le=100000)] = 2000
    tls: Annotated[ServerTls, Meta(description="Certificate and who may connect.")] = field(default_factory=ServerTls)


class RelpListener(Section):
    port: Annotated[int, Meta(description="TCP port of RELP.", ge=1, le=65535)] = 2514
    address: Annotated[str | None, Meta(description="Address to listen on; all when absent.")] = None
    tls: Annotated[ServerTls | None, Meta(description="RELP over TLS, when present.")] = None


class Queue(Section):
    """rsyslog's queue towards the relay."""

    path: Annotated[str, Meta(description="Directory of the part that is on disk.")] = "/var/lib/appliance/rsyslog"
    memory_messages: Annotated[int, Meta(description="Messages held in memory before the disk is used.", ge=1000)] = 200000
    max_disk: Annotated[Size, Meta(description="Bytes on disk at most.")] = Size(2 * 2**30)


class Listeners(Section):
    """What rsyslog opens to the network; what is absent is off."""

    udp: Annotated[UdpListener | None, Meta(description="Syslog over UDP.")] = None
    tcp: Annotated[TcpListener | None, Meta(description="Syslog over TCP, octet-counted or LF, decided for each message.")] = None
    tls: Annotated[TlsListener | None, Meta(description="Syslog over TLS.")] = None
    relp: Annotated[RelpListener | None, Meta(description="RELP from other rsyslogs.")] = None
    relp_tls: Annotated[RelpListener | None, Meta(description="RELP over TLS from other rsyslogs, on a port of its own.")] = None
    journal: Annotated[bool, Meta(description="Forward this machine's own journal.")] = True
    queue: Annotated[Queue, Meta(description="rsyslog's queue towards the relay.")] = field(default_factory=Queue)


class Config(Section):
    """The whole file."""

    loki: Annotated[Loki, Meta(description="Where the logs go.")]
    labels: Annotated[Labels, Meta(description="How entries are labelled.")] = field(default_factory=Labels)
    relay: Annotated[Relay, Meta(description="The relay.")] = field(default_factory=Relay)
    listeners: Annotated[Listeners, Meta(description="What rsyslog opens to the network.")] = field(default_factory=Listeners)
    system: Annotated[System, Meta(description="The machine itself: name, network, time, keyboard.")] = field(default_factory=System)
    access: Annotated[Access, Meta(description="Who may get into the machine.")] = field(default_factory=Access)
