"""Where everything of the appliance lies, below a root that tests and the curious can move.

Paths only; nothing here touches the disk.
"""

from dataclasses import dataclass
from pathlib import Path

CONFIG = "/etc/appliance/appliance.yaml"
RELAY_CONFIG = "/etc/appliance/relay.yaml"
SECRETS = "/etc/appliance/secrets"
TLS = "/etc/appliance/tls"
DATA = "/var/lib/appliance"
HANDOVER = f"{DATA}/handover"
"""What rsyslog and the receiver hand over to the relay, in a directory for each of them. No setting moves it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The machine's files as seen from `root` (`/` on the appliance itself)."""

    root: Path = Path("/")

    def at(self, path: str) -> Path:
        """Return where the absolute `path` of the machine lies below the root."""
        return self.root / path.lstrip("/")

    @property
    def is_machine(self) -> bool:
        """True for the running machine, whose services and kernel may be touched."""
        return self.root == Path("/")

    @property
    def config(self) -> Path:
        return self.at(CONFIG)

    @property
    def tls(self) -> Path:
        return self.at(TLS)

    @property
    def generations(self) -> Path:
        """Generations stand on the root file system, not on the data partition: a full or missing
        data partition must not be able to block the change that fixes it."""
        return self.at("/etc/appliance/generations")

    @property
    def lock(self) -> Path:
        return self.at("/run/appliance/apply.lock")
