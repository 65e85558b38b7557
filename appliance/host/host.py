"""The machine that is worked on: the real one, or a fake root where only files change."""

from dataclasses import dataclass, field
from pathlib import Path

from appliance.host.layout import Layout
from appliance.host.runner import Notes, Runner, run


@dataclass(frozen=True, slots=True)
class Host:
    """`runner` runs programs that change or ask the machine; `readers` those that only check files."""

    layout: Layout = field(default_factory=Layout)
    runner: Runner = run
    readers: Runner = run

    @property
    def services(self) -> bool:
        """True when services can be restarted and judged."""
        return self.layout.is_machine

    @property
    def systemd(self) -> bool:
        return self.layout.is_machine and Path("/run/systemd/system").is_dir()

    @property
    def booting(self) -> bool:
        """True while systemd still starts what is to run."""
        if not self.systemd:
            return False
        return self.runner(["systemctl", "is-system-running"], timeout=10).out.strip() in ("initializing", "starting")


def host_at(root: Path | str = "/") -> Host:
    """Return the machine at `root`: `/` is this one, anything else a fake root without services."""
    layout = Layout(Path(root).absolute())
    return Host(layout) if layout.is_machine else Host(layout, runner=Notes())
