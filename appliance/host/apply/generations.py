"""Generations: every state of the machine's files that was ever applied, and the switch between two.

The switch is safe against a power cut at any instant. Before the first file changes, the new
generation is whole on the disk and a marker names where the switch comes from and goes to; the
marker goes last. `recover` finds a marker and finishes or undoes the switch. What must be
restarted, and whether it works then, is not decided here.

    generations/3/manifest.json, generations/3/files/…   what the machine's files are in generation 3
    generations/3/outcome.json                           what became of generation 3: healthy, rolled back …
    generations/current                                  number of the active generation
    generations/switching                                a switch is under way
    generations/unconfirmed                              this generation reverts unless it is confirmed
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from appliance.errors import ApplianceError
from appliance.host import tree as trees
from appliance.host.layout import CONFIG, Layout
from appliance.host.tree import ABSENT, Absent, Entry, File, Link, Tree

KEPT = 20
Marker = TypeVar("Marker", bound=msgspec.Struct)


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """One path of a manifest."""

    path: str
    kind: str  # file | link | absent
    mode: int = 0
    owner: str = ""
    group: str = ""
    sha256: str = ""
    target: str = ""


class Manifest(msgspec.Struct, frozen=True):
    number: int
    created: float  # unix seconds
    comment: str
    items: list[Item]


class Outcome(msgspec.Struct, frozen=True):
    """What became of a generation. `when` in Unix seconds; `reason` of one that was rolled back.

    healthy: its services came up and stayed up; applied: its files were put in place where health is not
    checked (early in boot, on a fake root); unconfirmed: healthy, but nobody has confirmed it yet;
    reverted: nobody confirmed it in time, or it was rolled back before; rolled_back: it did not work.
    """

    state: Literal["healthy", "applied", "unconfirmed", "reverted", "rolled_back"]
    when: float
    reason: str = ""

    @property
    def worked(self) -> bool:
        """Return whether it is safe to roll back to it."""
        return self.state in ("healthy", "applied")


class Switching(msgspec.Struct, frozen=True):
    old: int
    new: int


class Unconfirmed(msgspec.Struct, frozen=True):
    """Generation `new` reverts to `old` at `deadline` (unix seconds) unless it is confirmed."""

    old: int
    new: int
    deadline: float


class Generations:
    """The store of one machine. All changes need the caller to hold the apply lock."""

    def __init__(self, layout: Layout, *, boundary: Callable[[str], None] = lambda name: None) -> None:
        self.layout = layout
        self.path = layout.generations
        if _is_closed(self.path):
            raise ApplianceError("only root may read the generations", hint="run the command with sudo")
        self._boundary = boundary  # called at each point at which a crash must be harmless

    # ---- reading ----------------------------------------------------------------------------

    def numbers(self) -> list[int]:
        return sorted(int(p.name) for p in self.path.glob("[0-9]*") if p.name.isdigit())

    def current(self) -> int | None:
        """Return the active generation; None before the first apply."""
        try:
            return int((self.path / "current").read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ApplianceError(
                "the number of the current generation cannot be read",
                hint=f"write the number wanted into {self.path / 'current'}; there are {self.numbers()}",
            ) from error

    def manifest(self, number: int) -> Manifest:
        try:
            return msgspec.json.decode((self.path / str(number) / "manifest.json").read_bytes(), type=Manifest)
        except FileNotFoundError:
            raise ApplianceError(
                f"there is no generation {number}", hint="`appliance config history` lists those that are kept"
            ) from None
        except (msgspec.MsgspecError, OSError) as error:
            raise ApplianceError(f"generation {number} cannot be read: {error}", hint="choose another one") from error

    def tree(self, number: int) -> dict[str, Entry]:
        """Return the files of a generation, contents verified against their checksums."""
        return {item.path: self._entry(number, item) for item in self.manifest(number).items}

    def config_text(self, number: int) -> str | None:
        """Return the appliance.yaml of a generation; None when it had none."""
        for item in self.manifest(number).items:
            if item.path == CONFIG and item.kind == "file":
                entry = self._entry(number, item)
                return entry.content.decode() if isinstance(entry, File) else None
        return None

    def outcome(self, number: int) -> Outcome | None:
        """Return what became of a generation; None of one that was interrupted, or made by an older version."""
        try:
            return msgspec.json.decode((self.path / str(number) / "outcome.json").read_bytes(), type=Outcome)
        except (OSError, msgspec.MsgspecError):
            return None

    def last_that_worked(self) -> int | None:
        """Return the newest generation before the current one that worked and is not the same; None without one.

        Generations of an older version, of which nobody knows, are taken when there is no better one. The
        machine as installed is never: it has no listeners and lets nobody in.
        """
        current = self.current()
        if current is None:
            return None
        now = _but_the_text(self.manifest(current))
        earlier = [number for number in reversed(self.numbers()) if 0 < number < current]
        differing = [number for number in earlier if _but_the_text(self.manifest(number)) != now]
        known = {number: self.outcome(number) for number in differing}
        worked = [number for number, outcome in known.items() if outcome is not None and outcome.worked]
        return next(iter(worked or [number for number, outcome in known.items() if outcome is None]), None)

    def unconfirmed(self) -> Unconfirmed | None:
        return _read(self.path / "unconfirmed", Unconfirmed)

    def switching(self) -> Switching | None:
        return _read(self.path / "switching", Switching)

    # ---- writing ----------------------------------------------------------------------------

    def add(self, tree: Tree, comment: str, number: int | None = None) -> int:
        """Store a tree as a new generation, durably, and return its number."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if number is None:
            number = max([0, *self.numbers()]) + 1
        staging = self.path / f"{number}.new"
        shutil.rmtree(staging, ignore_errors=True)
        (staging / "files").mkdir(parents=True, mode=0o700)
        staging.chmod(0o700)
        items = [self._store(staging, path, entry) for path, entry in sorted(tree.items())]
        self._boundary("stored files")
        manifest = Manifest(number=number, created=time.time(), comment=comment, items=items)
        trees.write_durably(staging / "manifest.json", _encode(manifest), 0o600, *_us())
        for directory in [*staging.rglob("*"), staging]:
            if directory.is_dir():
                trees.sync_directory(directory)
        self._boundary("stored manifest")
        staging.rename(self.path / str(number))
        trees.sync_directory(self.path)
        self._boundary("generation stored")
        return number

    def capture(self, paths: Iterable[str]) -> int:
        """Make the current generation know what stands at `paths` now, so that it can be gone back to.

        Before the first apply this makes generation 0, the machine as it was installed.
        """
        current = self.current()
        known: dict[str, Entry] = {} if current is None else self.tree(current)
        missing = {path: trees.read(self.layout.at(path)) for path in paths if path not in known}
        if current is None:
            shutil.rmtree(self.path / "0", ignore_errors=True)
            self.add(missing, "as installed", number=0)
            self._write("current", b"0")
            return 0
        if missing:
            old = self.manifest(current)
            place = self.path / str(current)
            items = [*old.items, *(self._store(place, path, entry) for path, entry in sorted(missing.items()))]
            trees.write_durably(
                place / "manifest.json", _encode(msgspec.structs.replace(old, items=items)), 0o600, *_us()
            )
        return current

    def switch(self, new: int, *, put: Callable[[Path, Entry], None] = trees.put) -> None:
        """Make the machine's files those of generation `new`. The current one must have been captured."""
        old = self.current()
        if old is None:
            raise RuntimeError("switch without capture")
        target = self.tree(new)
        self._write("switching", _encode(Switching(old=old, new=new)))
        self._boundary("switch begun")
        self._put_all(target, put)
        self._write("current", str(new).encode())
        self._boundary("current written")
        self._remove("switching")
        self._boundary("switch done")

    def recover(self) -> int | None:
        """Undo a switch that was interrupted. Return the generation gone back to, None if all was well."""
        for stale in self.path.glob("*.new"):
            if stale.is_dir():
                shutil.rmtree(stale, ignore_errors=True)
        marker = self.switching()
        if marker is None:
            return None
        if self.current() == marker.new:  # every file had been put
            self._remove("switching")
            return None
        self._put_all(self.tree(marker.old), trees.put, also=self.tree(marker.new))
        self._remove("switching")
        return marker.old

    def set_outcome(
        self,
        number: int,
        state: Literal["healthy", "applied", "unconfirmed", "reverted", "rolled_back"],
        reason: str = "",
    ) -> None:
        """Write down what became of a generation."""
        place = self.path / str(number)
        if place.is_dir():
            outcome = Outcome(state, time.time(), reason)
            trees.write_durably(place / "outcome.json", _encode(outcome), 0o600, *_us())
            trees.sync_directory(place)

    def set_unconfirmed(self, value: Unconfirmed | None) -> None:
        if value is None:
            self._remove("unconfirmed")
        else:
            self._write("unconfirmed", _encode(value))

    def prune(self) -> None:
        """Forget all but the newest generations; the first and the current one stay."""
        keep = {0, self.current(), *self.numbers()[-KEPT:]}
        waiting = self.unconfirmed()
        if waiting:
            keep |= {waiting.old, waiting.new}
        for number in self.numbers():
            if number not in keep:
                shutil.rmtree(self.path / str(number), ignore_errors=True)

    # ---- pieces -----------------------------------------------------------------------------

    def _put_all(self, target: Tree, put: Callable[[Path, Entry], None], also: Tree | None = None) -> None:
        for path in {**(also or {}), **target}:
            trees.remove_leftover(self.layout.at(path))
        for path, entry in target.items():
            place = self.layout.at(path)
            if trees.read(place) != entry:
                put(place, entry)
                self._boundary(f"put {path}")

    def _store(self, place: Path, path: str, entry: Entry) -> Item:
        match entry:
            case Absent():
                return Item(path=path, kind="absent")
            case Link():
                return Item(path=path, kind="link", target=entry.target)
            case File():
                stored = place / "files" / path.lstrip("/")
                stored.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                trees.write_durably(stored, entry.content, 0o600, *_us())
                digest = hashlib.sha256(entry.content).hexdigest()
                return Item(
                    path=path, kind="file", mode=entry.mode, owner=entry.owner, group=entry.group, sha256=digest
                )

    def _entry(self, number: int, item: Item) -> Entry:
        if item.kind == "absent":
            return ABSENT
        if item.kind == "link":
            return Link(item.target)
        content = (self.path / str(number) / "files" / item.path.lstrip("/")).read_bytes()
        if hashlib.sha256(content).hexdigest() != item.sha256:
            raise ApplianceError(
                f"generation {number} is damaged: {item.path} is not what was stored",
                hint="choose another generation: `appliance config history`",
            )
        return File(content, item.mode, item.owner, item.group)

    def _write(self, name: str, content: bytes) -> None:
        trees.write_durably(self.path / name, content, 0o600, *_us())
        trees.sync_directory(self.path)

    def _remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)
        if self.path.exists():
            trees.sync_directory(self.path)


def _but_the_text(manifest: Manifest) -> list[Item]:
    """Return what a generation makes of the machine: its files but for the text that they follow from."""
    return [item for item in manifest.items if item.path != CONFIG and item.kind != "absent"]


def _is_closed(path: Path) -> bool:
    """Return whether this user may not look into a directory, or not even at it."""
    try:
        return path.exists() and not os.access(path, os.R_OK | os.X_OK, effective_ids=True)
    except PermissionError:
        return True


def _encode(value: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _us() -> tuple[str, str]:
    """Owner and group of the store's own files: those of this process."""
    return str(os.geteuid()), str(os.getegid())


def _read(path: Path, kind: type[Marker]) -> Marker | None:
    """Return a marker; an unreadable one is an error, for it cannot come from our own durable write."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise ApplianceError(
            f"{path} cannot be read: {error}", hint="remove it, then apply the configuration again"
        ) from error
