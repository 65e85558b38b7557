"""Files to be on a machine, as values: a tree maps absolute paths to a file, a link or nothing.

Reading and writing single entries durably is here too; which entries, and when, is decided elsewhere.
"""

import difflib
import grp
import os
import pwd
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class File:
    content: bytes
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"


@dataclass(frozen=True, slots=True)
class Link:
    target: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The path must not exist."""


Entry = File | Link | Absent
Tree = Mapping[str, Entry]
ABSENT = Absent()


@dataclass(frozen=True, slots=True)
class Change:
    """One path whose entry becomes another."""

    path: str
    old: Entry
    new: Entry

    @property
    def verb(self) -> str:
        if isinstance(self.old, Absent):
            return "added"
        return "removed" if isinstance(self.new, Absent) else "changed"


def changes(old: Tree, new: Tree) -> tuple[Change, ...]:
    """Return what differs, by path; a path missing from a tree counts as absent."""
    pairs = ((path, old.get(path, ABSENT), new.get(path, ABSENT)) for path in sorted({*old, *new}))
    return tuple(Change(path, before, after) for path, before, after in pairs if before != after)


def diff(change: Change, context: int = 2) -> str:
    """Return the change as a unified diff; secrets (mode 0600) are only named."""
    private = any(isinstance(e, File) and not e.mode & 0o077 for e in (change.old, change.new))
    if private:
        return f"--- {change.path}\n+++ {change.path}\n(secret: {change.verb}, not shown)\n"
    old, new = _lines(change.old), _lines(change.new)
    names = ("/dev/null" if not old else change.path), ("/dev/null" if not new else change.path)
    body = "\n".join(line.rstrip("\n") for line in difflib.unified_diff(old, new, *names, n=context, lineterm=""))
    if not body:
        return f"--- {change.path}\n+++ {change.path}\n({_attributes(change.old)} -> {_attributes(change.new)})\n"
    return body + "\n"


def _lines(entry: Entry) -> list[str]:
    match entry:
        case File():
            return entry.content.decode(errors="replace").splitlines()
        case Link():
            return [f"-> {entry.target}"]
        case Absent():
            return []


def _attributes(entry: Entry) -> str:
    return f"{entry.mode:04o} {entry.owner}:{entry.group}" if isinstance(entry, File) else type(entry).__name__.lower()


def read(path: Path) -> Entry:
    """Return what stands at `path` now."""
    try:
        info = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    if stat.S_ISLNK(info.st_mode):
        return Link(os.readlink(path))
    return File(path.read_bytes(), stat.S_IMODE(info.st_mode), _user_name(info.st_uid), _group_name(info.st_gid))


def put(path: Path, entry: Entry) -> None:
    """Make `path` be `entry`: whole or not at all, and on the disk when this returns."""
    match entry:
        case Absent():
            path.unlink(missing_ok=True)
            if not path.parent.exists():
                return
        case Link():
            make_parents(path)
            temporary = path.with_name(f".{path.name}.new")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(entry.target)
            temporary.rename(path)
        case File():
            make_parents(path)
            write_durably(path, entry.content, entry.mode, entry.owner, entry.group)
    sync_directory(path.parent)


def make_parents(path: Path) -> None:
    """Make the missing directories above `path`, open to readers whatever the umask: services pass through them."""
    missing = [parent for parent in path.parents if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(exist_ok=True)
        parent.chmod(0o755)


def write_durably(path: Path, content: bytes, mode: int = 0o644, owner: str = "root", group: str = "root") -> None:
    """Write beside `path`, sync, and rename over it. The content is never readable by more than `mode` says."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        if os.geteuid() == 0:
            os.fchown(file.fileno(), _user_id(owner), _group_id(group))
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    temporary.rename(path)


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftover(path: Path) -> None:
    """Remove the temporary name that an interrupted `put` may have left beside `path`."""
    path.with_name(f".{path.name}.new").unlink(missing_ok=True)


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _user_id(name: str) -> int:
    return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid


def _group_id(name: str) -> int:
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
