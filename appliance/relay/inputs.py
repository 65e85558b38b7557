"""The one table of ways in: what a message came by.

A row more is an input more: its index counts its messages (`Packer.messages`), its name is the one
that status, metrics and relabeling rules (`__syslog_input`) show. Nothing else depends on the order.
"""

from typing import NamedTuple


class Input(NamedTuple):
    """One way in."""

    name: str
    handed_over: str = ""
    """Its name in a hand-over line; empty for an input whose messages come by a listener of the relay."""


INPUTS: tuple[Input, ...] = (
    Input("relp"),  # the relay's own RELP listener
    Input("syslog_tcp"),
    Input("udp", "udp"),
    Input("tcp", "tcp"),
    Input("tls", "tls"),
    Input("relp_in", "relp"),  # one that rsyslog took over RELP
    Input("relp_tls", "relp_tls"),
    Input("journal", "journal"),
)


def index(name: str) -> int:
    """Return the place of the input called `name` in `INPUTS`. Raise ValueError when there is none."""
    return [each.name for each in INPUTS].index(name)
