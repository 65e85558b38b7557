"""The EFI system partition, made without mounting it.

GRUB as one EFI program that finds the root by its label and reads its menu there, so that UEFI and
BIOS show the same menu and a kernel update changes both. The kernels of many build machines cannot
mount vfat: mtools writes it.
"""

from pathlib import Path

from image.inside import partition
from image.steps import Steps

ROOT_LABEL = "forwarder-root"
_VOLUME_ID = "f0f0a001"
# Everything the menu on the root needs: modules cannot be loaded from there, it has none for EFI.
_MODULES = (
    "part_gpt ext2 fat search search_label search_fs_uuid normal configfile linux echo test regexp gzio "
    "all_video efi_gop efi_uga gfxterm gfxterm_background font terminal terminfo serial loadenv sleep reboot halt "
    "minicmd ls cat probe true help"
)
_MENU = f"""search --no-floppy --set=root --label {ROOT_LABEL}
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
"""


def write_esp(disk: Path, work: Path, steps: Steps) -> None:
    """Make the ESP's file system and put it into partition `esp` of the raw disk."""
    where = partition(disk, "esp")
    menu, program, system = work / "esp-grub.cfg", work / "BOOTX64.EFI", work / "esp.img"
    menu.write_text(_MENU)
    steps.run(
        ["grub-mkstandalone", "--format=x86_64-efi", f"--output={program}", f"--modules={_MODULES}",
         f"--install-modules={_MODULES}", "--locales=", "--themes=", "--fonts=", f"boot/grub/grub.cfg={menu}"]
    )  # fmt: skip
    system.unlink(missing_ok=True)
    with system.open("wb") as file:
        file.truncate(where.size)
    steps.run(["mkfs.vfat", "-F", "32", "-n", "ESP", "-i", _VOLUME_ID, "--invariant", system])
    steps.run(["mmd", "-i", system, "::/EFI", "::/EFI/BOOT"])
    steps.run(["mcopy", "-i", system, program, "::/EFI/BOOT/BOOTX64.EFI"])
    with system.open("rb") as source, disk.open("r+b") as target:
        target.seek(where.start)
        while block := source.read(2**20):
            # The disk is sparse: what is zero there already stays unallocated.
            if any(block):
                target.write(block)
            else:
                target.seek(len(block), 1)
