"""Loki's limits with Loki's defaults, and the token bucket (golang.org/x/time/rate) they use."""

import time
from dataclasses import dataclass, fields
from typing import Any

KB, MB = 2**10, 2**20


@dataclass(slots=True)
class Limits:
    """`limits_config` and the two server settings that matter; sizes in bytes, times in seconds.

    A test may assign to any of them while the double runs. The tenant's rate is off by default
    here (a test's load is not the tenant's problem unless it says so); Loki's is 4 MB/s, burst 6 MB.
    """

    ingestion_rate: float | None = None
    ingestion_burst: float = 6 * MB
    per_stream_rate: float = 3 * MB
    per_stream_burst: float = 15 * MB
    max_streams: int = 5000
    max_line_size: int = 256 * KB
    max_label_names: int = 15
    max_label_name_length: int = 1024
    max_label_value_length: int = 2048
    max_age: float = 7 * 86400
    max_ahead: float = 600
    max_chunk_age: float = 7200  # entries may lie half of it behind the newest of their stream
    max_metadata_size: int = 64 * KB
    max_metadata_count: int = 128
    max_message: int = 4 * MB  # grpc_server_max_recv_msg_size
    names_streams: bool = True  # whether a stream that there is no room for is named, as Loki 3 does and 2 did not

    def update(self, **values: Any) -> None:
        known = {field.name for field in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"no such limit: {name}")
            setattr(self, name, value)


class Bucket:
    """Tokens flow in at `rate` a second up to `burst`; more than `burst` at once never passes."""

    def __init__(self, burst: float) -> None:
        self._tokens = burst
        self._last = time.monotonic()

    def allow(self, amount: float, rate: float, burst: float) -> bool:
        now = time.monotonic()
        self._tokens = min(burst, self._tokens + (now - self._last) * rate)
        self._last = now
        if amount > self._tokens:
            return False
        self._tokens -= amount
        return True
