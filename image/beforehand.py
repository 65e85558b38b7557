"""Checks before a build starts: the machine, the places it writes to, the configuration, the mirrors.

A build takes minutes; whatever would stop it half way and can be detected at once is checked here.
"""

import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from appliance.errors import ApplianceError
from image.binary import ROOT
from image.options import RELEASE, BuildOptions

_TOOLS = (
    "debootstrap", "sudo", "sgdisk", "partx", "losetup", "mkfs.ext4", "mkfs.vfat", "mcopy",
    "grub-mkstandalone", "qemu-img", "debugfs", "setpriv", "unshare", "fstrim",
)  # fmt: skip
# What the build writes at its largest: the root file system twice, the disk, XVA and qcow2.
_ROOM = 4 * 2**30
_SECONDS = 20.0


def check(options: BuildOptions) -> None:
    """Raise ApplianceError for the first thing that would stop this build."""
    check_machine()
    check_places(options)
    check_keyboard(options)
    check_config(options)
    check_mirrors(options)


def check_machine() -> None:
    """Raise ApplianceError naming everything this machine lacks."""
    if os.geteuid() != 0:
        raise ApplianceError("building an image needs root (loop devices, chroot)", hint="run it with sudo")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=path) is None]
    if missing:
        raise ApplianceError("programs are missing: " + ", ".join(missing), hint="run ./build.sh, which installs them")
    if subprocess.run(["losetup", "--find"], capture_output=True).returncode != 0:
        raise ApplianceError("this machine has no loop devices", hint="load the kernel module loop")


def check_places(options: BuildOptions) -> None:
    """Every directory that the build writes to can be written, and there is room."""
    for option, directory in (("work", options.work), ("output", options.output), ("cache", options.cache)):
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory):
                pass
        except OSError as error:
            raise ApplianceError(
                f"--{option} {directory}: {error.strerror}", hint="name a directory that can be written"
            ) from error
    free = shutil.disk_usage(options.work).free
    if free < _ROOM:
        raise ApplianceError(
            f"only {free / 2**30:.1f} GiB are free in {options.work}, and the build needs {_ROOM / 2**30:.0f}",
            hint="make room, or use another --work directory",
        )


def check_keyboard(options: BuildOptions) -> None:
    """The keyboard is judged by the product itself."""
    keyboard = f"{{layout: {options.keyboard_layout!r}, variant: {options.keyboard_variant!r}}}"
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(f"loki: {{url: 'http://localhost/loki/api/v1/push'}}\nsystem: {{keyboard: {keyboard}}}\n")
        file.flush()
        if refusal := _refusal(Path(file.name)):
            shown = ":".join(word for word in (options.keyboard_layout, options.keyboard_variant) if word)
            reason = next((line for line in refusal.splitlines() if "system.keyboard" in line), refusal)
            raise ApplianceError(
                f"--keyboard {shown}: {reason.split(': ', 1)[-1].split(' (is')[0].strip()}",
                hint="a layout such as us, gb, fr or de, and a variant that it has, such as fr:oss",
            )


def check_config(options: BuildOptions) -> None:
    """The baked-in configuration is judged by the product itself."""
    if options.config is not None and (refusal := _refusal(options.config)):
        lines = [line for line in refusal.splitlines() if not line.startswith("hint:")]
        raise ApplianceError(
            f"--config {options.config} would be refused by the machine\n" + "\n".join(lines[1:]).rstrip(),
            hint="fix the file; `appliance config validate` checks it, too",
        )


def _refusal(path: Path) -> str:
    command = [sys.executable, "-m", "appliance.cli.main", "config", "validate", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip()


def check_mirrors(options: BuildOptions) -> None:
    """The archives answer, and have the packages that are asked for."""
    main = f"{options.mirrors.main}/dists/{RELEASE}"
    _fetch(f"{main}/Release", options)
    _fetch(f"{options.mirrors.security}/dists/{RELEASE}-security/Release", options)
    if options.packages:
        known = lzma.decompress(_fetch(f"{main}/main/binary-amd64/Packages.xz", options))
        absent = [name for name in options.packages if not re.search(rb"^Package: %s$" % re.escape(name.encode()),
                                                                     known, re.MULTILINE)]  # fmt: skip
        if absent:
            raise ApplianceError(
                f"--package: Debian {RELEASE} has no {', '.join(absent)}", hint="look it up: apt-cache search WORD"
            )


def _fetch(url: str, options: BuildOptions) -> bytes:
    if not url.startswith(("http://", "https://")):
        return b""  # a mirror of another kind in this machine's own apt configuration
    proxies = {"http": options.proxy, "https": options.proxy} if options.proxy else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    try:
        with opener.open(url, timeout=_SECONDS) as answer:
            return bytes(answer.read())
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(error, urllib.error.HTTPError):
            reason = f"HTTP status {error.code}"
        through = f" through the proxy {options.proxy}" if options.proxy else ""
        raise ApplianceError(
            f"{url} cannot be fetched{through}: {reason}", hint="see --mirror, --security-mirror and --proxy"
        ) from error
