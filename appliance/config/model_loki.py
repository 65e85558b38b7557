"""The `loki` section: where the logs go, how to authenticate, and the limits of that Loki.

Only types, defaults and meanings; rules that types cannot express (a URL without a host, two ways
to authenticate) are in `checks.py`.
"""

from typing import Annotated, Literal

from msgspec import Meta, field
from msgspec.structs import force_setattr

from appliance.config.section import Section
from appliance.config.units import Duration, Rate, Size


class BasicAuth(Section):
    username: Annotated[str, Meta(description="User name for HTTP basic authentication.", min_length=1)]
    password_file: Annotated[
        str, Meta(description="File (mode 0600) with the password; reloaded when it changes.", min_length=1)
    ]


class ClientTls(Section):
    ca_file: Annotated[
        str | None,
        Meta(
            description="PEM file of the CAs to trust, or of the server's own certificate; "
            "the system's CAs when absent."
        ),
    ] = None
    cert_file: Annotated[str | None, Meta(description="PEM file of our client certificate and its chain.")] = None
    key_file: Annotated[str | None, Meta(description="PEM file of the client certificate's key, mode 0600.")] = None
    server_name: Annotated[
        str | None, Meta(description="Name expected in the server's certificate, if different from the URL's host.")
    ] = None
    min_version: Annotated[Literal["1.2", "1.3"], Meta(description="Minimum TLS version.")] = "1.2"
    insecure_skip_verify: Annotated[
        bool,
        Meta(
            description="Do not verify the server's certificate. Anyone on the path can then read and forge the data."
        ),
    ] = False


class Backoff(Section):
    min: Annotated[
        Duration,
        Meta(description="Delay after the first failed push, in seconds; doubles with each retry, with jitter."),
    ] = Duration(0.5)
    max: Annotated[Duration, Meta(description="Maximum delay between retries, in seconds. Retries never stop.")] = (
        Duration(30)
    )


class LokiLimits(Section):
    """Limits set in Loki. Defaults are Loki's own."""

    streams: Annotated[int, Meta(description="max_global_streams_per_user: active streams of a tenant.", ge=1)] = 5000
    stream_rate: Annotated[Rate, Meta(description="per_stream_rate_limit, bytes a second.")] = Rate(3 * 2**20)
    stream_burst: Annotated[Size, Meta(description="per_stream_rate_limit_burst, bytes.")] = Size(15 * 2**20)
    behind: Annotated[
        Duration,
        Meta(description="Half of max_chunk_age: how far an entry may be behind the newest of its stream, in seconds."),
    ] = Duration(3600)
    oldest: Annotated[
        Duration, Meta(description="reject_old_samples_max_age: oldest acceptable entry, in seconds before now.")
    ] = Duration(7 * 86400)
    ahead: Annotated[
        Duration, Meta(description="creation_grace_period: how far in the future an entry may be, in seconds.")
    ] = Duration(600)
    push_size: Annotated[
        Size, Meta(description="Largest uncompressed push (grpc_server_max_recv_msg_size), bytes.")
    ] = Size(4 * 2**20)
    line_size: Annotated[Size, Meta(description="max_line_size, bytes. Longer lines are truncated and marked.")] = Size(
        256 * 1024
    )
    label_names: Annotated[int, Meta(description="max_label_names_per_series; Loki itself adds one.", ge=2)] = 15
    label_name_length: Annotated[int, Meta(description="max_label_name_length, bytes.", ge=16)] = 1024
    label_value_length: Annotated[int, Meta(description="max_label_value_length, bytes.", ge=16)] = 2048
    metadata_size: Annotated[Size, Meta(description="max_structured_metadata_size of an entry, bytes.")] = Size(
        64 * 1024
    )
    metadata_count: Annotated[int, Meta(description="max_structured_metadata_entries_count of an entry.", ge=8)] = 128


class Loki(Section):
    url: Annotated[
        str, Meta(description="Push URL of Loki, such as https://loki.example.org/loki/api/v1/push.", min_length=1)
    ]
    tenant: Annotated[str | None, Meta(description="Tenant, sent as X-Scope-OrgID.")] = None
    encoding: Annotated[
        Literal["protobuf", "json"], Meta(description="How pushes are encoded: protobuf with snappy, or JSON.")
    ] = "protobuf"
    basic_auth: Annotated[BasicAuth | None, Meta(description="HTTP basic authentication.")] = None
    bearer_token_file: Annotated[
        str | None, Meta(description="File (mode 0600) with a bearer token; reloaded when it changes.")
    ] = None
    tls: Annotated[ClientTls, Meta(description="TLS settings for https URLs.")] = field(default_factory=ClientTls)
    proxy: Annotated[str | None, Meta(description="HTTP proxy, such as http://proxy:3128; none when absent.")] = None
    headers: Annotated[
        dict[str, str], Meta(description="Extra HTTP headers; cannot override those the relay sets.")
    ] = field(default_factory=dict)
    timeout: Annotated[Duration, Meta(description="Timeout of one push, in seconds.")] = Duration(30)
    connections: Annotated[int, Meta(description="Maximum number of concurrent pushes.", ge=1, le=32)] = 4
    backoff: Annotated[Backoff, Meta(description="Delays between retries while Loki is unreachable.")] = field(
        default_factory=Backoff
    )
    limits: Annotated[LokiLimits, Meta(description="Loki's limits; set these to what your Loki uses.")] = field(
        default_factory=LokiLimits
    )

    def __post_init__(self) -> None:
        """Correct a slash at the end of the push path: Loki answers 404 there, and nothing else can be meant."""
        if self.url.endswith("/loki/api/v1/push/"):
            force_setattr(self, "url", self.url.rstrip("/"))
