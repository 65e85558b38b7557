"""What a dialect consists of."""

from collections.abc import Callable
from dataclasses import dataclass

from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of device writes its messages."""

    vendor: str
    product: str
    marks: tuple[bytes, ...]
    """Bytes of which one stands near the beginning of each of its messages; checked before `read` is called."""
    read: Callable[[Message], Record | None]
    """Returns the record, or None for a message that is not in this dialect, and leaves that as it was."""
    applications: tuple[bytes, ...] = ()
    """Tags in well-formed headers by which the device is known; `read` is not asked for those."""


def by_application(_message: Message) -> None:
    """The `read` of a dialect that is well-formed, and known by its applications only."""
