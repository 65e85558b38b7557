"""What the spool counts, and its state. Plain values, read by metrics and status."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class SpoolStats:
    """Counts since start, and what there is now."""

    segments: int = 0
    bytes: int = 0
    entries: int = 0
    written: int = 0
    removed: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """Entries dropped, by reason."""
    dropped_bytes: dict[str, int] = field(default_factory=dict)
    """Their bytes, uncompressed."""
    set_aside: int = 0
    full: bool = False
    full_reason: str = ""
    blocked_since: float = 0.0
    """Unix time since when nothing could be written; 0 while all is well."""
    last_sync_seconds: float = 0.0
