"""Files for another machine: issued keys, certificates, backups, bundles. Theirs who asked, never over another file.

The command runs as root, the file is fetched by the user who typed sudo: it gets their owner, and what is
printed is the whole path and the line that fetches it. A file that is there stays, unless `force`.
"""

import contextlib
import os
import pwd
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import UsageError


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asked for a file. `uid` and `gid` None: the user of this process."""

    name: str
    uid: int | None = None
    gid: int | None = None


def requester() -> Requester:
    """Return who typed the command: behind sudo the user who typed it (sudo(8), SUDO_UID), else this one."""
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError, ValueError):
            uid, gid = int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
            return Requester(pwd.getpwuid(uid).pw_name, uid, gid)
    try:
        return Requester(pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:
        return Requester(str(os.geteuid()))


def refuse_present(paths: Sequence[Path], *, force: bool) -> None:
    """Raise UsageError when one of the files is there already, so that nothing is done by halves."""
    there = [path for path in paths if path.is_symlink() or path.exists()]
    if there and not force:
        raise UsageError(f"{there[0].absolute()} already exists", hint="choose another path, or use --force")


def give(path: Path, content: bytes, mode: int = 0o600, *, force: bool = False) -> Path:
    """Write a file whole, with its owner and mode from the start; return its whole path. Raise UsageError.

    No link is followed: the directory may be one that others can write.
    """
    who = requester()
    path = path.absolute()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _make_directory(path.parent, who)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                if who.uid is not None and who.gid is not None:
                    os.fchown(file.fileno(), who.uid, who.gid)
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            if force:
                os.replace(temporary, path)
            else:
                os.link(temporary, path)  # unlike a rename never over a file that came meanwhile
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    except FileExistsError:
        raise UsageError(f"{path} already exists", hint="choose another path, or use --force") from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint="name a directory that you may write"
        ) from None
    return path


def _make_directory(place: Path, who: Requester) -> None:
    missing = [one for one in (place, *place.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=0o700)
        if who.uid is not None and who.gid is not None:
            os.chown(one, who.uid, who.gid)


def fetch_line(paths: Sequence[Path], addresses: Sequence[str]) -> str:
    """Return the command that fetches the files from another machine."""
    where = addresses[0] if addresses else socket.gethostname()
    host = f"[{where}]" if ":" in where else where
    return "scp " + " ".join(f"{requester().name}@{host}:{path}" for path in paths) + " ."
