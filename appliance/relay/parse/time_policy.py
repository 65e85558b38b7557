"""Which time an entry gets: the message's own if plausible, else that of its receipt.

Pure but for reading the zone database. A clock that is wrong, or a timestamp without year or zone,
must not put an entry where Loki refuses it or where nobody looks for it.
"""

import ipaddress
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from appliance.config import model

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_REMEMBERED_SENDERS = 10000


class Belief(NamedTuple):
    """Limits for one sender, in nanoseconds, and how its timestamps are read."""

    received: bool
    max_past: int
    max_past_without_zone: int
    max_future: int
    zone: "ZoneInfo | None"


class TimePolicy:
    """Decides about timestamps by sender."""

    def __init__(self, settings: model.TimeSettings) -> None:
        self.default = _belief(settings, None)
        self._rules = [
            (ipaddress.ip_network(rule.address, strict=False), _belief(settings, rule)) for rule in settings.senders
        ]
        self._by_sender: dict[bytes, Belief] = {}

    @property
    def always_ask(self) -> bool:
        """Return whether a timestamp near its receipt can need a decision too."""
        beliefs = [self.default, *(belief for _, belief in self._rules)]
        return any(belief != self.default or belief.received for belief in beliefs)

    def of(self, sender: bytes) -> Belief:
        """Return what counts for this sender's address."""
        if not self._rules:
            return self.default
        belief = self._by_sender.get(sender)
        if belief is None:
            if len(self._by_sender) >= _REMEMBERED_SENDERS:
                self._by_sender.clear()
            belief = self._by_sender[sender] = self._find(sender)
        return belief

    def _find(self, sender: bytes) -> Belief:
        try:
            address = ipaddress.ip_address(sender.decode("ascii", "replace"))
        except ValueError:
            return self.default
        if address.version == 6 and address.ipv4_mapped:
            address = address.ipv4_mapped
        return next((belief for network, belief in self._rules if address in network), self.default)

    def believe(self, stamp: int, received: int, has_zone: bool, sender: bytes, text: bytes) -> tuple[int, str]:
        """Return the time to use (ns), and a word for what was repaired, empty for nothing.

        `text` is the RFC 3339 timestamp that `stamp` was read from: its digits are the sender's
        wall clock, which counts again when the sender's zone is configured and it sent none.
        """
        belief = self.of(sender)
        if belief.received:
            return received, ""
        word = ""
        if belief.zone is not None and not has_zone:
            moved = in_zone(text, belief.zone)
            if moved is not None and moved != stamp:
                stamp, word = moved, "zone"
        past = belief.max_past if has_zone else belief.max_past_without_zone
        earliest, latest = received - past, received + belief.max_future
        if not has_zone and stamp > latest and (last_year := a_year_earlier(text, stamp)) >= earliest:
            stamp = last_year  # sent without a year on 31 December, read in January
        if earliest <= stamp <= latest:
            return stamp, word
        return received, "clock"


def a_year_earlier(text: bytes, stamp: int) -> int:
    """`stamp` (ns), read from the RFC 3339 `text`, with the year before; -1 if there is no such day."""
    try:
        wall = datetime.strptime(text[:19].decode("ascii"), "%Y-%m-%dT%H:%M:%S")
        earlier = wall.replace(year=wall.year - 1)
    except (ValueError, UnicodeDecodeError):
        return -1
    return stamp - int((wall - earlier).total_seconds()) * 10**9


def in_zone(text: bytes, zone: "ZoneInfo") -> int | None:
    """Return Unix nanoseconds of the wall clock `YYYY-MM-DDTHH:MM:SS[.f…]…` of `text` in `zone`."""
    try:
        wall = datetime.strptime(text[:19].decode("ascii"), "%Y-%m-%dT%H:%M:%S")
    except (ValueError, UnicodeDecodeError):
        return None
    fraction = b""
    if text[19:20] == b".":
        rest = text[20:]
        fraction = rest[: len(rest) - len(rest.lstrip(b"0123456789"))][:9]
    return int(wall.replace(tzinfo=zone).timestamp()) * 10**9 + int(fraction.ljust(9, b"0") or 0)


def _belief(settings: model.TimeSettings, rule: model.SenderTime | None) -> Belief:
    def nanoseconds(own: float | None, general: float) -> int:
        return int((general if own is None else own) * 1e9)

    own = rule or model.SenderTime(address="::/0")
    return Belief(
        received=(own.timestamp or settings.timestamp) == "received",
        max_past=nanoseconds(own.max_past, settings.max_past),
        max_past_without_zone=nanoseconds(own.max_past, settings.max_past_without_zone),
        max_future=nanoseconds(own.max_future, settings.max_future),
        zone=_zone(own.timezone) if own.timezone else None,
    )


def _zone(name: str) -> "ZoneInfo":
    from zoneinfo import ZoneInfo  # and the zip and archive modules behind it, for the few who set a zone

    return ZoneInfo(name)
