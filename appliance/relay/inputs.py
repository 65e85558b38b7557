"""The one table of ways in: what a message came by, and how its text was written on the way.

A row more is an input more: its index counts its messages (`Packer.messages`), its name is the one
that status, metrics and relabelling rules (`__syslog_input`) show. Nothing else depends on the order.
"""

from enum import IntEnum
from typing import NamedTuple


class Escaping(IntEnum):
    """How the writer of a hand-over line kept it on one line."""

    OCTAL = 0
    """Every control character but TAB as 0x01 and three octal digits (rsyslog on receipt, our receiver)."""
    JSON = 1
    """The text as in a JSON string, without the quotes (rsyslog's property option `json`)."""


class Input(NamedTuple):
    """One way in."""

    name: str
    handed_over: str = ""
    """Its name in a hand-over line; empty for an input whose messages come by a listener of the relay."""
    escaping: Escaping = Escaping.OCTAL


INPUTS: tuple[Input, ...] = (
    Input("relp"),  # a record without our own element on the relay's RELP listener
    Input("syslog_tcp"),
    Input("udp", "udp"),
    Input("tcp", "tcp"),
    Input("tls", "tls"),
    Input("relp_in", "relp"),  # one that rsyslog took by RELP
    Input("relp_tls", "relp_tls"),
    Input("journal", "journal"),
)


def index(name: str) -> int:
    """The place of the input called `name` in `INPUTS`. Raises ValueError when there is none."""
    return [each.name for each in INPUTS].index(name)
