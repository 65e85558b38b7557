"""What is known about this machine at one moment: plain values that a verdict is made of.

Everything may be unknown (None, empty): status has to say something useful to an ordinary user and
when half of the machine is dead. Gathering is `gather.py`.
"""

from dataclasses import dataclass, field
from typing import Any

from appliance.host.units import Unit


@dataclass(frozen=True, slots=True)
class Disk:
    """Sizes in bytes."""

    path: str
    total: int
    free: int
    inodes_free_ratio: float = 1.0
    read_only: bool = False
    largest: tuple[tuple[str, int], ...] = ()  # what fills it, largest first; looked for when it is nearly full

    @property
    def free_ratio(self) -> float:
        return self.free / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """Moments in Unix seconds."""

    name: str
    path: str
    not_before: float | None = None
    not_after: float | None = None
    own: bool = False  # kept and renewed by the appliance itself
    error: str = ""


@dataclass(frozen=True, slots=True)
class Clock:
    """`synchronized` as the kernel knows it; `error` is its own bound in seconds."""

    synchronized: bool | None = None
    error: float | None = None
    not_before: float = 0.0  # it cannot be earlier than this program was made, Unix seconds


@dataclass(frozen=True, slots=True)
class Updates:
    """Debian's security updates. `last_run` in Unix seconds."""

    installed: bool = False
    last_run: float | None = None
    restart_wanted: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    now: float  # Unix seconds
    uptime: float = 0.0
    hostname: str = ""
    version: str = ""
    as_root: bool = False
    configured: bool | None = None
    systemd: bool = True
    booting: bool = False  # systemd still starts what is to run
    addresses: tuple[str, ...] = ()
    has_default_route: bool | None = None
    units: dict[str, Unit] = field(default_factory=dict)
    failed_units: tuple[str, ...] = ()
    relay: dict[str, Any] | None = None  # the relay's own /status
    relay_error: str = ""
    disks: tuple[Disk, ...] = ()
    data_mounted: bool | None = None
    clock: Clock = Clock()
    certificates: tuple[Certificate, ...] = ()
    updates: Updates = Updates()
    generation: int | None = None
    unconfirmed_until: float | None = None
    interrupted: bool = False  # an apply was cut short
    connections_refused: int | None = None  # by the firewall, over the bound of a listener, since the last apply
