"""Takes the disk out of an XVA again, as a sparse raw file, checking everything on the way."""

import os
from pathlib import Path

from appliance.errors import ApplianceError, UsageError
from image.xva_verify import Report, verify


def extract(xva: Path, target: Path, disk_id: str | None = None) -> Report:
    """Write the disk `disk_id` of `xva` (its only one, when not given) to the new file `target`.

    `target` remains only when the XVA is good. Raise UsageError when `target` exists, ApplianceError
    when it cannot be written or the disk is not there.
    """
    try:
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except OSError as error:
        raise UsageError(
            f"{target} cannot be made: {error.strerror}", hint="Name a file that is not there yet."
        ) from error
    zeros = bytes(1 << 20)
    keep = False

    def write(disk: str, offset: int, content: bytes) -> None:
        if disk == disk_id or disk_id is None:
            view = memoryview(content)
            while view and content != zeros[: len(content)]:
                done = os.pwrite(fd, view, offset)
                view, offset = view[done:], offset + done

    try:
        report = verify(xva, write)
        disks = {each.id: each.size for each in report.description.disks} if report.description else {}
        if report.accepted:
            if disk_id is None and len(disks) != 1:
                raise ApplianceError(
                    f"{xva} holds {len(disks)} disks", hint="Only files with one disk can be taken apart here."
                )
            if disk_id is not None and disk_id not in disks:
                raise ApplianceError(f"{xva} holds no disk {disk_id}", hint="See appliance image verify.")
            os.ftruncate(fd, disks[disk_id] if disk_id is not None else next(iter(disks.values())))
            keep = True
        return report
    except OSError as error:
        raise ApplianceError(
            f"{target} cannot be written: {error.strerror}", hint="Is there room on the disk?"
        ) from error
    finally:
        os.close(fd)
        if not keep:
            target.unlink(missing_ok=True)
