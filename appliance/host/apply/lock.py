"""One apply at a time: a lock that dies with its holder and names it to others."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.errors import ApplianceError
from appliance.host.layout import Layout


@contextmanager
def apply_lock(layout: Layout, *, wait: float = 30, poll: float = 0.1) -> Iterator[None]:
    """Hold the lock. Wait at most `wait` seconds for another holder, then refuse and name it."""
    try:
        layout.lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError:
        raise ApplianceError("only root may change this machine", hint="run the command with sudo") from None
    try:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
                    raise ApplianceError(
                        f"another apply is running (process {holder})",
                        hint="wait until it is done, or find it with `ps`; nothing was changed",
                    ) from None
                time.sleep(poll)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
