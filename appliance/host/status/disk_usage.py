"""What fills a disk: its directories by the bytes that their files take, for the one that looks for room.

Only looks, and only for so long: a walk that is not done in time reports what it has seen.
"""

import os
import time
from pathlib import Path

from appliance.host.layout import DATA, Layout

_SHOWN = 3
_DIVIDED = {"/": ("/var", "/var/lib", "/home", "/usr"), DATA: (DATA, f"{DATA}/spool")}
"""Directories whose parts are reported one by one, by disk; those named here stand for what remains in them."""


def largest_below(disk: str, layout: Layout, within: float = 2.0) -> tuple[tuple[str, int], ...]:
    """Return the directories that take most of a disk, largest first, as far as can be seen in time."""
    deadline = time.monotonic() + within
    taken: dict[str, int] = {}
    try:
        device = layout.at(disk).stat().st_dev
        _add_up(layout.at(disk), disk, _DIVIDED.get(disk, ()), device, deadline, taken, disk)
    except OSError:
        pass
    ranked = sorted(taken.items(), key=lambda pair: -pair[1])
    return tuple((path, size) for path, size in ranked[:_SHOWN] if size >= ranked[0][1] / 20)


def _add_up(
    place: Path, path: str, divided: tuple[str, ...], device: int, deadline: float, taken: dict[str, int], owner: str
) -> None:
    """Add the bytes that files below `place` take on the disk to `owner`, which a divided directory's parts are."""
    if time.monotonic() > deadline:
        return
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                try:
                    info = entry.stat(follow_symlinks=False)
                    if info.st_dev != device:
                        continue
                    inside = f"{path.rstrip('/')}/{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        own = inside if path in (*divided, "/") else owner
                        _add_up(Path(entry.path), inside, divided, device, deadline, taken, own)
                    else:
                        taken[owner] = taken.get(owner, 0) + info.st_blocks * 512
                except OSError:
                    continue
    except OSError:
        return  # not for us to look at, or gone meanwhile
