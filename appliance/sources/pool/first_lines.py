"""Waiting for each host's first line, as the relay's own /status reports its senders.

The relay names a sender by the host name in its lines, or by its address.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from appliance.errors import ApplianceError
from appliance.sources.pool.onboard import Host


@dataclass(frozen=True, slots=True)
class Heard:
    """A host, and whether a line of it came after the change."""

    host: Host
    heard: bool


def wait_for(
    found: list[Host],
    before: Mapping[str, float],
    senders: Callable[[], Mapping[str, float]],
    *,
    timeout: float,
    pause: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Heard]:
    """Yield each host as soon as it is heard, and at the end those that stay silent.

    `senders` returns when each sender was last seen, `before` what it returned before the change: what
    counts is that a time has moved, so that clocks need not agree.
    """
    waiting = list(found)
    deadline = clock() + timeout
    while waiting:
        seen = senders()
        for host in list(waiting):
            if any(seen.get(name, 0.0) > before.get(name, 0.0) for name in _names(host)):
                waiting.remove(host)
                yield Heard(host, True)
        if not waiting or clock() >= deadline:
            break
        sleep(pause)
    for host in waiting:
        yield Heard(host, False)


def _names(host: Host) -> set[str]:
    """Return what the host may be called in its lines: each name, its first part, and the address."""
    full = {name.lower() for name in (host.name, host.hostname) if name}
    return full | {name.partition(".")[0] for name in full} | {host.address.lower()}


def senders_of(url: str, timeout: float = 5.0) -> dict[str, float]:
    """Return when each sender was last seen, from a relay's /status. Raise ApplianceError when it cannot be read."""
    try:
        with urlopen(url, timeout=timeout) as answer:
            status: Any = json.loads(answer.read(16 * 2**20))
        latest = status["sources"]["latest"]
        found: dict[str, float] = {}
        for one in latest:
            name, seen = str(one["sender"]).lower(), float(one["last_seen"])
            found[name] = max(seen, found.get(name, 0.0))
    except (URLError, OSError, ValueError, KeyError, TypeError) as error:
        hint = "run it on the forwarder, with relay.listen.http on; or name its /status with --status-url"
        raise ApplianceError(f"{url} does not say who sends: {error}", hint=hint) from None
    return found
