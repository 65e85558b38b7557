"""Which hosts of a pool send where, what would change, and the change itself, which can be undone.

The former destination is kept on the host itself (other_config), so that it can be restored from any
machine. Source: xapi-project/xen-api, ocaml/idl/datamodel_host.ml (Host.logging, Host.other_config,
Host.syslog_reconfigure) and ocaml/xapi/xapi_host.ml.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from appliance.errors import ApplianceError

KEY = "syslog_destination"
FORMER = "forwarder_former_syslog_destination"


class Caller(Protocol):
    """A session with a pool."""

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of XAPI."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host of the pool.

    `destination` is where it sends, empty when nowhere; `former` what it was, None when we never changed it.
    """

    ref: str
    name: str
    hostname: str
    address: str
    destination: str
    former: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done to one host: `wanted` empty means that it sends nowhere any more."""

    host: Host
    action: Literal["set", "restore", "keep"]
    wanted: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a change; `trouble` empty when it was made."""

    change: Change
    trouble: str = ""


def hosts(pool: Caller) -> list[Host]:
    """Return the hosts of the pool, by their names."""
    records = pool.call("host.get_all_records")
    if not isinstance(records, dict) or not records:
        raise ApplianceError("the pool has no hosts", hint="is it XAPI that answered?")
    found = [
        Host(
            ref=str(ref),
            name=str(record["name_label"]),
            hostname=str(record.get("hostname", "")),
            address=str(record.get("address", "")),
            destination=str(record.get("logging", {}).get(KEY, "")),
            former=record.get("other_config", {}).get(FORMER),
        )
        for ref, record in records.items()
    ]
    return sorted(found, key=lambda host: host.name)


def plan_set(found: list[Host], destination: str) -> list[Change]:
    """Return the changes that make every host send to a destination. Pure."""
    return [Change(host, "keep" if host.destination == destination else "set", destination) for host in found]


def plan_restore(found: list[Host]) -> list[Change]:
    """Return the changes that undo those of `plan_set`; hosts that it never changed stay as they are. Pure."""
    return [
        Change(host, "keep", host.destination) if host.former is None else Change(host, "restore", host.former)
        for host in found
    ]


def carry_out(pool: Caller, changes: list[Change]) -> Iterator[Done]:
    """Make each change and yield what came of it; one host's trouble does not stop the others'."""
    for change in changes:
        if change.action == "keep":
            continue
        try:
            _carry_out(pool, change)
        except ApplianceError as error:
            yield Done(change, error.message)
        else:
            yield Done(change)


def _carry_out(pool: Caller, change: Change) -> None:
    """Make one change; when the host does not take it, its settings are what they were before."""
    host = change.host
    remember = change.action == "set" and host.former is None
    if remember:
        pool.call("host.add_to_other_config", host.ref, FORMER, host.destination)
    try:
        _set_destination(pool, host.ref, change.wanted)
        pool.call("host.syslog_reconfigure", host.ref)
    except ApplianceError:
        # Else a second run would take the host for done.
        _set_destination(pool, host.ref, host.destination)
        if remember:
            pool.call("host.remove_from_other_config", host.ref, FORMER)
        raise
    if change.action == "restore":
        pool.call("host.remove_from_other_config", host.ref, FORMER)


def _set_destination(pool: Caller, ref: str, destination: str) -> None:
    pool.call("host.remove_from_logging", ref, KEY)
    if destination:
        pool.call("host.add_to_logging", ref, KEY, destination)
