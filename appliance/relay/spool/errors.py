"""What can go wrong with the spool, for those who can do something about it."""

from appliance.errors import ApplianceError


class SpoolFull(ApplianceError):
    """The spool may take nothing more now: its size, the free space or the disk itself is at its bound."""


class SegmentUnreadable(Exception):
    """A segment cannot be read or is not what was written; `str()` is the reason."""
