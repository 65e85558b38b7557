"""Loaded by Python itself at start, in the process under test: notes what a power cut would leave.

Every fsync of a file below POWER_CUT_ROOT copies its contents to POWER_CUT_PLATTER, every fsync of a
directory notes its names. What was only written is not there, as on a disk that lost power; the
test puts the directory back to that state (`tests.harness.power.cut`).
"""

import json
import os
from collections.abc import Callable

_ROOT, _PLATTER = os.environ["POWER_CUT_ROOT"], os.environ["POWER_CUT_PLATTER"]


def _noting(real: Callable[[int], None]) -> Callable[[int], None]:
    def sync(descriptor: object) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()  # type: ignore[attr-defined]
        path = os.readlink(f"/proc/self/fd/{number}")
        if path == _ROOT or path.startswith(_ROOT + "/"):
            if os.path.isdir(path):
                names = {entry.name: entry.inode() for entry in os.scandir(path) if entry.is_file()}
                _put(f"directory-{os.path.relpath(path, _ROOT).replace('/', '%')}", json.dumps(names).encode())
            else:
                with open(f"/proc/self/fd/{number}", "rb") as file:
                    _put(f"inode-{os.fstat(number).st_ino}", file.read())
        real(number)

    return sync


def _put(name: str, content: bytes) -> None:
    with open(f"{_PLATTER}/{name}.new", "wb") as file:
        file.write(content)
    os.replace(f"{_PLATTER}/{name}.new", f"{_PLATTER}/{name}")


os.fsync = _noting(os.fsync)
os.fdatasync = _noting(os.fdatasync)
