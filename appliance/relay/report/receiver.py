"""The receiver's part of `/status`: its numbers as it wrote them last, and what of them is a problem. Pure."""

from collections.abc import Iterator

import msgspec

from appliance.config import model
from appliance.relay.receive.counts import Counts, Trouble
from appliance.relay.receive.foreign import ALL

RECENT = 900.0
"""Seconds for which something that a sender did wrong is a problem."""
STALE = 30.0
"""Seconds after which the receiver is considered stopped."""


class ReceiverStatus(msgspec.Struct):
    """As the receiver counts since its own start, `age` seconds ago; times are Unix seconds.

    `foreign`: connections that spoke another protocol (tls, http, ssh, rdp, relp), `unreadable`: none that is
    known. `refused`: connections over a
    bound (total, sender) or without a descriptor left (files). Each with the last sender and when.
    """

    age: float
    stale: bool
    port: int
    connections: int
    connections_total: int
    messages: int
    bytes: int
    unreadable: Trouble
    cut: int
    unterminated: int
    foreign: dict[str, Trouble]
    refused: dict[str, Trouble]
    blocked: str
    blocked_since: float | None
    reload_failure: str


def receiver_status(counts: Counts | None, now: float) -> ReceiverStatus | None:
    """Return the part of the status; None where no receiver has ever run."""
    if counts is None:
        return None
    age = max(0.0, now - counts.written)
    return ReceiverStatus(
        age=round(age, 1),
        stale=age > STALE,
        port=counts.port,
        connections=counts.connections,
        connections_total=counts.connections_total,
        messages=counts.messages,
        bytes=counts.bytes,
        unreadable=counts.unreadable,
        cut=counts.cut.count,
        unterminated=counts.unterminated.count,
        foreign=counts.foreign,
        refused=counts.refused,
        blocked=counts.blocked,
        blocked_since=counts.blocked_since or None,
        reload_failure=counts.reload_failure,
    )


def receiver_problems(status: ReceiverStatus, listeners: model.Listeners, now: float) -> Iterator[tuple[str, str]]:
    """Yield each problem and its remedy, the most severe first."""
    if status.stale:
        return  # its current state is unknown; that it does not run is reported by its unit
    if status.blocked:
        yield (
            f"senders over TCP are held back: {status.blocked}",
            "bring Loki back or make room on the data disk; the senders keep their lines meanwhile",
        )
    if status.reload_failure:
        yield (
            f"the receiver kept its old configuration: {status.reload_failure}",
            "see `journalctl -u appliance-receiver`",
        )
    for key, trouble in status.foreign.items():
        if now - trouble.last < RECENT and key in ALL:
            yield (
                f"{trouble.sender} speaks {ALL[key].name} to the plain port {status.port}",
                _where_to(key, trouble.sender, listeners),
            )
    if status.unreadable.count and now - status.unreadable.last < RECENT:
        yield (
            f"{status.unreadable.sender} sends no text to port {status.port}; what it sends is kept as it is",
            f"find out why {status.unreadable.sender} uses this port, and what it sent in Grafana",
        )
    for bound, trouble in status.refused.items():
        if now - trouble.last < RECENT:
            yield _refused(bound, trouble)


def _where_to(key: str, sender: str, listeners: model.Listeners) -> str:
    """Return what to change for a sender that speaks this protocol."""
    if key == "tls":
        if listeners.tls is not None:
            return f"point {sender} to port {listeners.tls.port}"
        return f"switch listeners.tls on and point {sender} to its port, or let it send without TLS"
    if key == "relp":
        if listeners.relp is not None:
            return f"point {sender} to port {listeners.relp.port}"
        return f"switch listeners.relp on and point {sender} to its port, or let it send plain syslog"
    if key == "http":
        return f"is {sender} to push to Loki's API? Then switch relay.listen.push on and point it there"
    return f"find out why {sender} uses this port: it sends no syslog"


def _refused(bound: str, trouble: Trouble) -> tuple[str, str]:
    if bound == "sender":
        return (
            f"{trouble.sender} has too many connections open: more are refused",
            "raise listeners.tcp.max_connections_per_sender, or find out why it opens so many",
        )
    if bound == "total":
        return (
            f"too many TCP connections are open: others are refused, last {trouble.sender}",
            "raise listeners.tcp.max_connections, or find out who opens so many",
        )
    return "no file descriptor was left for a connection", "see `journalctl -u appliance-receiver`"
