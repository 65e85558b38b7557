"""The double behind Loki's own command line: what `tests/loki_double/loki` runs.

`-config.file=FILE` names a Loki configuration. Of its keys those that `real.py` writes are known, at
their places in Loki's reference (docs/sources/shared/configuration.md); any other one ends it as it
ends Loki. Limits, ports and directories are respected; what was stored is there again after SIGTERM
and a new start, as Loki's write-ahead log has it. So everything about `LOKI_BIN` but Loki itself
can be run where there is no Loki.
"""

import pickle
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.loki_double.double import Double
from tests.loki_double.front import Front
from tests.loki_double.ingester import Stream
from tests.loki_double.limits import MB, Bucket, Limits

_USAGE = 2
_REFUSED = 1
_SIZE = re.compile(r"(\d+)(B|KB|MB)?$")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)$")


class ConfigError(ValueError):
    """Loki would not start with this."""


def size(value: Any) -> int:
    """Bytes, as Loki's flagext.ByteSize reads them: 1KB is 1,024."""
    match = _SIZE.match(str(value))
    if match is None:
        raise ConfigError(f"cannot parse {value!r} as a size")
    return int(match[1]) * {"B": 1, "KB": 2**10, "MB": 2**20}[match[2] or "B"]


def duration(value: Any) -> float:
    """Seconds."""
    match = _DURATION.match(str(value))
    if match is None:
        raise ConfigError(f"cannot parse {value!r} as a duration")
    return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[match[2]]


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"cannot unmarshal {value!r} into bool")
    return value


def only(*values: str) -> Callable[[Any], str]:
    """A choice of which the double can play some."""

    def choose(value: Any) -> str:
        if str(value) not in values:
            raise ConfigError(f"cannot play {value!r}")
        return str(value)

    return choose


Known = dict[str, Any]
_KEYS: Known = {
    "auth_enabled": boolean,
    "analytics": {"reporting_enabled": boolean},
    "server": {
        "http_listen_address": str,
        "http_listen_port": int,
        "grpc_listen_address": str,
        "grpc_listen_port": int,
        "grpc_server_max_recv_msg_size": int,
        "log_level": only("debug", "info", "warn", "error"),
    },
    "common": {
        "instance_addr": str,
        "path_prefix": str,
        "replication_factor": int,
        "ring": {"kvstore": {"store": only("inmemory")}},
        "storage": {"filesystem": {"chunks_directory": str, "rules_directory": str}},
    },
    "schema_config": {
        "configs": [
            {
                "from": str,
                "store": only("tsdb"),
                "object_store": only("filesystem"),
                "schema": only("v13"),
                "index": {"prefix": str, "period": duration},
            }
        ]
    },
    "ingester": {
        "lifecycler": {"min_ready_duration": duration},
        "max_chunk_age": duration,
        "chunk_idle_period": duration,
    },
    "querier": {"query_ingesters_within": duration},
    "query_range": {"cache_results": boolean},
    "limits_config": {
        "ingestion_rate_mb": float,
        "ingestion_burst_size_mb": float,
        "per_stream_rate_limit": size,
        "per_stream_rate_limit_burst": size,
        "max_global_streams_per_user": int,
        "max_line_size": size,
        "max_label_names_per_series": int,
        "max_label_name_length": int,
        "max_label_value_length": int,
        "max_structured_metadata_size": size,
        "max_structured_metadata_entries_count": int,
        "reject_old_samples_max_age": duration,
        "creation_grace_period": duration,
        "max_entries_limit_per_query": int,
        "max_query_series": int,
    },
}


def read(values: Any, known: Any, path: str = "") -> Any:
    """The values of a configuration, converted. Raise ConfigError, naming the path."""
    if isinstance(known, dict):
        if not isinstance(values, dict):
            raise ConfigError(f"{path or 'the file'}: cannot unmarshal {values!r} into a section")
        for name in values:
            if name not in known:
                raise ConfigError(f"field {name} not found in {path or 'the file'}")
        return {name: read(value, known[name], f"{path}.{name}".lstrip(".")) for name, value in values.items()}
    if isinstance(known, list):
        return [read(value, known[0], path) for value in values]
    try:
        return known(values)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def limits_of(config: dict[str, Any]) -> Limits:
    found, server, ingester = config["limits_config"], config["server"], config["ingester"]
    return Limits(
        ingestion_rate=found["ingestion_rate_mb"] * MB,
        ingestion_burst=found["ingestion_burst_size_mb"] * MB,
        per_stream_rate=found["per_stream_rate_limit"],
        per_stream_burst=found["per_stream_rate_limit_burst"],
        max_streams=found["max_global_streams_per_user"],
        max_line_size=found["max_line_size"],
        max_label_names=found["max_label_names_per_series"],
        max_label_name_length=found["max_label_name_length"],
        max_label_value_length=found["max_label_value_length"],
        max_age=found["reject_old_samples_max_age"],
        max_ahead=found["creation_grace_period"],
        max_chunk_age=ingester["max_chunk_age"],
        max_metadata_size=found["max_structured_metadata_size"],
        max_metadata_count=found["max_structured_metadata_entries_count"],
        max_message=server["grpc_server_max_recv_msg_size"],
    )


def restore(double: Double, log: Path) -> None:
    """Take what an earlier run kept."""
    if log.exists():
        burst = double.limits.per_stream_burst
        for tenant, streams in pickle.loads(log.read_bytes()).items():
            known = double.ingester.tenants.setdefault(tenant, {})
            for fields in streams:
                known[fields["name"]] = Stream(bucket=Bucket(burst), **fields)


def keep(double: Double, log: Path) -> None:
    """Keep what is stored for the next run."""
    kept = {
        tenant: [
            {name: getattr(stream, name) for name in Stream.__dataclass_fields__ if name != "bucket"}
            for stream in streams.values()
        ]
        for tenant, streams in double.ingester.tenants.items()
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(pickle.dumps(kept))


def main(arguments: list[str]) -> int:
    file = next((word.partition("=")[2] for word in arguments if word.startswith("-config.file=")), "")
    if not file or len(arguments) != 1:
        print("usage: loki -config.file=FILE", file=sys.stderr)
        return _USAGE
    try:
        config = read(yaml.safe_load(Path(file).read_text()), _KEYS)
    except (ConfigError, yaml.YAMLError) as error:
        print(f"failed parsing config: {file}: {error}", file=sys.stderr)
        return _REFUSED
    server = config["server"]
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    double = Double(limits_of(config), multi_tenant=config["auth_enabled"])
    double.max_entries = config["limits_config"]["max_entries_limit_per_query"]
    log = Path(config["common"]["path_prefix"]) / "wal" / "streams"
    with socket.create_server((server["grpc_listen_address"], server["grpc_listen_port"])):
        double.ready = False
        front = Front(double, port=server["http_listen_port"])
        restore(double, log)
        stopped.wait(config["ingester"]["lifecycler"]["min_ready_duration"])
        double.ready = True
        stopped.wait()
        front.close()
    keep(double, log)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
