"""A power cut without a machine: what was not synced is gone when the relay comes back.

The relay runs with `environment()`, which notes every sync (`power_cut/sitecustomize.py`); after a
SIGKILL, `cut()` leaves of the directory only what had reached the disk.
"""

import json
import shutil
from pathlib import Path


def environment(root: Path, platter: Path) -> dict[str, str]:
    """Variables for the process under test. `root` is what the cut will strike."""
    platter.mkdir(exist_ok=True)
    preload = Path(__file__).with_name("power_cut")
    return {"PYTHONPATH": str(preload), "POWER_CUT_ROOT": str(root.resolve()), "POWER_CUT_PLATTER": str(platter)}


def cut(root: Path, platter: Path) -> int:
    """Put `root` back to what was synced; how many files that are. A file never synced is empty."""
    shutil.rmtree(root)
    root.mkdir(mode=0o700)
    files = 0
    for listing in sorted(platter.glob("directory-*")):
        directory = root / listing.name.removeprefix("directory-").replace("%", "/")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, inode in json.loads(listing.read_text()).items():
            content = platter / f"inode-{inode}"
            (directory / name).write_bytes(content.read_bytes() if content.exists() else b"")
            files += 1
    for note in platter.iterdir():  # the files have other inodes now, and are all on disk
        note.unlink()
    (platter / "directory-.").write_text(json.dumps({path.name: path.stat().st_ino for path in root.glob("*.push")}))
    for path in root.glob("*.push"):
        shutil.copy(path, platter / f"inode-{path.stat().st_ino}")
    return files
