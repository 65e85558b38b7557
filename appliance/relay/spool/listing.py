"""What lies in the spool's directory, by the names of its files. Nothing is changed here."""

import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import ApplianceError
from appliance.relay.spool.marker import SUFFIX as MARKER
from appliance.relay.spool.marker import Marker, parse_marker
from appliance.relay.spool.segment import SUFFIX, ForeignVersion, Segment, parse_name

TEMPORARY = ".writing"
"""Ends the name of a file that is being written."""


@dataclass(slots=True)
class Listing:
    """The files by kind, in no order."""

    segments: list[Segment] = field(default_factory=list)
    markers: list[Marker] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    strange: list[tuple[str, str]] = field(default_factory=list)
    """Those that are none of ours, and why."""


def read_directory(path: Path) -> Listing:
    """List the files. Raise OSError, and ApplianceError for what another version of the relay wrote."""
    found = Listing()
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                if entry.name.endswith(TEMPORARY):
                    found.unfinished.append(entry.name)
                elif entry.name.endswith(SUFFIX):
                    found.segments.append(parse_name(entry.name, entry.stat().st_size))
                elif entry.name.endswith(MARKER):
                    found.markers.append(parse_marker(entry.name))
            except ForeignVersion as error:
                raise ApplianceError(
                    f"the spool {path} was written by another version of the relay: {entry.name[:60]}",
                    hint="start the version that wrote it until the spool is empty, or move its files elsewhere",
                ) from error
            except ValueError as error:
                found.strange.append((entry.name, str(error)))
    return found


def unclaimed(directory: int) -> bool:
    """Return whether no relay has claimed the spool, an open directory."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(directory, fcntl.LOCK_UN)
    return True
