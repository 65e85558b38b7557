"""The `relay` section: listeners, spool, batches, timestamps and limits of the relay itself.

Only types, defaults and meanings; rules that types cannot express are in `checks.py`.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from appliance.config.model_push import HttpAccess, Push
from appliance.config.section import Section
from appliance.config.units import Duration, Endpoint, Size


class Listen(Section):
    """Where the relay listens; listeners that are absent are off."""

    handover: Annotated[
        str | None,
        Meta(
            description="Directory with the hand-over files of rsyslog and the receiver; on the appliance "
            "always /var/lib/appliance/handover."
        ),
    ] = None
    relp: Annotated[Endpoint | None, Meta(description="RELP, acknowledged once the message is on disk.")] = None
    syslog_tcp: Annotated[Endpoint | None, Meta(description="Syslog over TCP, RFC 5424, octet-counted or LF.")] = None
    push: Annotated[Endpoint | None, Meta(description="Loki push API and OTLP logs, over HTTP.")] = None
    http: Annotated[Endpoint | None, Meta(description="/metrics, /ready and /status.")] = None


class Spool(Section):
    path: Annotated[str, Meta(description="Directory for data that Loki has not accepted yet.", min_length=1)] = (
        "./spool"
    )
    max_size: Annotated[Size, Meta(description="Maximum size of the spool, in bytes.")] = Size(2 * 2**30)
    max_age: Annotated[
        Duration | None,
        Meta(description="Batches older than this are dropped and counted, in seconds; never when absent."),
    ] = None
    when_full: Annotated[
        Literal["block", "drop_oldest"],
        Meta(
            description="block: take nothing more, so that senders and the hand-over files keep it; "
            "drop_oldest: drop the oldest batches to make room for new ones."
        ),
    ] = "block"
    reserve: Annotated[
        Size,
        Meta(
            description="Bytes beyond max_size, with when_full: block, for messages RELP senders have in flight when "
            "the limit is reached: they are stored, and acknowledged once there is room. May use up to half of "
            "min_free."
        ),
    ] = Size(64 * 2**20)
    min_free: Annotated[Size, Meta(description="Bytes that must stay free on the file system.")] = Size(256 * 2**20)
    max_set_aside: Annotated[
        Size, Meta(description="Maximum size of unreadable batches kept for inspection, in bytes.")
    ] = Size(64 * 2**20)
    max_dead_letter: Annotated[
        Size, Meta(description="Maximum size of dead-lettered entries, which Loki permanently refused, in bytes.")
    ] = Size(64 * 2**20)


class BatchSettings(Section):
    size: Annotated[Size, Meta(description="Uncompressed bytes at which a batch closes.")] = Size(2 * 2**20)
    age: Annotated[Duration, Meta(description="Seconds after its first entry at which a batch closes.")] = Duration(1)


class SenderTime(Section):
    """Overrides for senders in an address range."""

    address: Annotated[str, Meta(description="Address or range, such as 10.1.0.0/16.", min_length=1)]
    timezone: Annotated[
        str | None, Meta(description="Time zone of timestamps that have none, such as Europe/Paris.")
    ] = None
    timestamp: Annotated[
        Literal["message", "received"] | None, Meta(description="As relay.time.timestamp, for these senders.")
    ] = None
    max_past: Annotated[Duration | None, Meta(description="As relay.time.max_past, for these senders.")] = None
    max_future: Annotated[Duration | None, Meta(description="As relay.time.max_future, for these senders.")] = None


class TimeSettings(Section):
    timestamp: Annotated[
        Literal["message", "received"],
        Meta(description="Timestamp of an entry: the message's own, if plausible, or the time of receipt."),
    ] = "message"
    max_past: Annotated[
        Duration,
        Meta(description="A timestamp with a zone that is further behind its receipt is not trusted, in seconds."),
    ] = Duration(6 * 86400)
    max_past_without_zone: Annotated[
        Duration, Meta(description="The same for a timestamp without year or zone (RFC 3164), in seconds.")
    ] = Duration(3000)
    max_future: Annotated[
        Duration, Meta(description="A timestamp further ahead of its receipt is not trusted, in seconds.")
    ] = Duration(300)
    senders: Annotated[list[SenderTime], Meta(description="Exceptions by sender address; the first match wins.")] = (
        field(default_factory=list)
    )


class Connections(Section):
    max: Annotated[
        int, Meta(description="Maximum number of open connections on each of the relay's listeners.", ge=1)
    ] = 2000
    per_sender: Annotated[
        int, Meta(description="Open connections of one address on the push API; its own idle ones give way.", ge=1)
    ] = 500
    idle_timeout: Annotated[
        Duration, Meta(description="A syslog or HTTP connection idle for this long is closed, in seconds.")
    ] = Duration(600)
    max_message: Annotated[
        Size,
        Meta(
            description="Longest message accepted over syslog or RELP, in bytes; longer ones are truncated and marked."
        ),
    ] = Size(256 * 1024)
    max_push: Annotated[
        Size, Meta(description="Largest body accepted through the push API, in bytes after decompression.")
    ] = Size(16 * 2**20)


class Relay(Section):
    listen: Annotated[Listen, Meta(description="Where the relay listens.")] = field(default_factory=Listen)
    spool: Annotated[Spool, Meta(description="Batches on disk.")] = field(default_factory=Spool)
    batch: Annotated[BatchSettings, Meta(description="When a batch closes.")] = field(default_factory=BatchSettings)
    time: Annotated[TimeSettings, Meta(description="Which timestamp an entry gets.")] = field(
        default_factory=TimeSettings
    )
    connections: Annotated[Connections, Meta(description="Limits on connections and messages.")] = field(
        default_factory=Connections
    )
    push: Annotated[Push, Meta(description="Who may push to relay.listen.push.")] = field(default_factory=Push)
    http: Annotated[HttpAccess, Meta(description="Who may read from relay.listen.http.")] = field(
        default_factory=HttpAccess
    )
    relp_window: Annotated[
        int, Meta(description="Messages a RELP sender may send before they are acknowledged.", ge=1, le=100000)
    ] = 20000
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Log level of the relay.")] = (
        "info"
    )
