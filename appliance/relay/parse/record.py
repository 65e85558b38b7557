"""What the parser returns for a message, and nothing about parsing."""

from typing import NamedTuple

DEFAULT_PRIORITY = 13
"""user.notice: the priority of a message without one (RFC 3164 section 4.3.3)."""


class Record(NamedTuple):
    """One message taken apart; `-` stands for what it does not say, as in RFC 5424."""

    priority: int
    host: bytes
    application: bytes
    process: bytes
    message_id: bytes
    structured_data: bytes
    """Well-formed SD elements (RFC 5424 section 6.3), empty for none; also what a device's own header holds."""
    text: bytes
    stamp: bytes
    """RFC 3339, or empty when the message has no time that can be read."""
    has_zone: bool
    """Return whether the message itself says its offset from UTC."""
    words: tuple[str, ...]
    """What was missing, repaired or not understood."""
    vendor: str = ""
    product: str = ""
