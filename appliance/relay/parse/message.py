"""A message while it is read: what is known of it so far, and the record it becomes."""

from appliance.relay.parse import timestamps
from appliance.relay.parse.record import Record


class Message:
    """What stands behind the priority of a message, with its time read and the rest not yet."""

    __slots__ = (
        "body", "depth", "has_zone", "now", "priority", "product", "stamp", "utc_offset", "vendor", "whole", "words",
    )  # fmt: skip

    def __init__(
        self, priority: int, whole: bytes, words: tuple[str, ...], now: float, utc_offset: float | None, depth: int
    ) -> None:
        self.priority = priority
        self.whole = whole
        """Everything behind the priority."""
        self.body = whole
        """What stands behind the time; the same as `whole` while there is none."""
        self.words = words
        self.now = now
        self.utc_offset = utc_offset
        self.depth = depth
        """How many headers of relays are around this message."""
        self.stamp = b""
        self.has_zone = False
        self.vendor = ""
        self.product = ""

    @property
    def headless(self) -> bool:
        """Return whether the message has no priority: then it may be no syslog at all but a line of some file."""
        return "nopri" in self.words

    def take(self, stamp: timestamps.Stamp, source: bytes) -> None:
        """Take a timestamp found in `source`, behind which the body begins."""
        self.stamp = stamp.text
        self.has_zone = stamp.has_zone
        self.body = source[stamp.end :]
        if stamp.uncertain_zone:
            self.words += ("zone",)
        if stamp.unsynchronized:
            self.words += ("unsynced",)

    def take_time(self, source: bytes, start: int = 0) -> bool:
        """Take the timestamp at `start` of `source`, if one is there."""
        stamp = timestamps.leading(source, start, self.now, self.utc_offset)
        if stamp is None:
            return False
        self.take(stamp, source)
        return True

    def record(
        self,
        text: bytes,
        *more: str,
        host: bytes = b"-",
        application: bytes = b"-",
        process: bytes | None = None,
        message_id: bytes = b"-",
        structured_data: bytes = b"",
    ) -> Record:
        """Return the record with these fields; `more` are words besides those that follow from the fields."""
        words = self.words
        if not self.stamp:
            words += ("notime",)
        if host == b"-":
            words += ("nohost",)
        return Record(
            self.priority,
            host,
            application or b"-",
            process or b"-",
            message_id,
            structured_data,
            text,
            self.stamp,
            self.has_zone,
            words + more,
            self.vendor,
            self.product,
        )
