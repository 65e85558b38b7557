"""What a build can be asked for: the options, their meaning for `--help`, and judging them all at once.

Nothing is started here; a wrong value is reported with every other wrong value before anything is.
"""

import argparse
import base64
import binascii
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from appliance.errors import UsageError
from image.artefacts import Choices
from image.mirror import Mirrors, beside, own_mirrors, read_sources
from image.ova import Settings

RELEASE = "bookworm"
# BIOS boot 2 MiB + ESP 64 MiB + root 4 GiB + tables, and at least 1 GiB of data.
SMALLEST_DISK = 6 * 2**30
LARGEST_DISK = 2040 * 2**30
DEFAULT_DISK = 16 * 2**30
_SIZE = re.compile(r"(\d+)\s*(MiB|GiB|TiB|M|G|T)?")
_UNITS = {"M": 2**20, "MiB": 2**20, "G": 2**30, "GiB": 2**30, "T": 2**40, "TiB": 2**40}
_HOSTNAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_KEYBOARD = re.compile(r"[a-z]{2,8}(?::[a-z0-9_-]+)?")
_KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """A judged request for an image. Sizes in bytes, paths absolute."""

    disk_size: int
    hostname: str
    packages: tuple[str, ...]
    mirrors: Mirrors
    proxy: str
    keyboard_layout: str
    keyboard_variant: str
    config: Path | None
    ssh_keys: tuple[str, ...]
    output: Path
    work: Path
    cache: Path
    binary: Path | None
    keep_raw: bool
    choices: Choices


def parser() -> argparse.ArgumentParser:
    """Return the options of `python -m image build`."""
    made = argparse.ArgumentParser(
        prog="./build.sh build",
        description="Builds the appliance's disk from Debian packages and this source tree. Needs root.",
        epilog="Example: ./build.sh build --size 40G --hostname logs1 --config appliance.yaml",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = made.add_argument
    add(
        "--size",
        default="16G",
        metavar="SIZE",
        help="size of the disk, 6G to 2040G; everything beyond 4 GiB is for data",
    )
    add("--hostname", default="forwarder", metavar="NAME", help="host name until the configuration sets one")
    add("--package", action="append", default=[], metavar="NAME", help="extra Debian package; may be repeated")
    add("--mirror", default="", metavar="URL", help="Debian archive (default: this machine's own apt sources)")
    add(
        "--security-mirror", default="", metavar="URL", help="Debian security archive (default: as --mirror, beside it)"
    )
    add("--proxy", default="", metavar="URL", help="HTTP proxy for fetching packages, not kept in the image")
    add(
        "--keyboard",
        default="us",
        metavar="LAYOUT[:VARIANT]",
        help="keyboard of the console, such as fr or de:nodeadkeys",
    )
    add(
        "--config",
        default="",
        metavar="FILE",
        help="appliance.yaml to bake in: the machine then forwards logs from its first boot",
    )
    add(
        "--ssh-key",
        action="append",
        default=[],
        metavar="KEY|FILE",
        help="public key of the account `admin`; switches SSH on",
    )
    add("--firmware", default="bios", choices=("bios", "uefi"), help="firmware of the machine in the XVA")
    add("--cpus", type=int, default=2, metavar="N", help="virtual CPUs of the machine in the XVA")
    add("--memory", type=int, default=2048, metavar="MIB", help="its memory in MiB")
    add("--compress", default="none", choices=("none", "zstd"), help="compression of the XVA as a whole")
    add("--output", default="dist", metavar="DIR", help="output directory")
    add("--work", default="build", metavar="DIR", help="work directory, with the logs")
    add("--cache", default=".cache", metavar="DIR", help="packages kept between builds")
    add("--binary", default="", metavar="DIR", help="packed appliance (one directory) to use instead of packing it")
    add("--keep-raw", action="store_true", help="keep the raw disk in --work, for tests")
    return made


def judge(arguments: argparse.Namespace, *, etc_apt: Path = Path("/etc/apt")) -> BuildOptions:
    """Return options that can be built. Raise UsageError naming every problem."""
    problems: list[str] = []
    disk_size = _judge_size(arguments.size, problems)
    if not _HOSTNAME.fullmatch(arguments.hostname):
        problems.append(f"--hostname {arguments.hostname!r}: letters a-z, digits and inner hyphens, at most 63")
    for package in arguments.package:
        if not _PACKAGE.fullmatch(package):
            problems.append(f"--package {package!r}: not a Debian package name")
    for option in ("mirror", "security_mirror", "proxy"):
        _judge_url("--" + option.replace("_", "-"), getattr(arguments, option), problems)
    if not _KEYBOARD.fullmatch(arguments.keyboard):
        problems.append(f"--keyboard {arguments.keyboard!r}: write a layout such as fr, or fr:oss")
    layout, _, variant = arguments.keyboard.partition(":")
    config = Path(arguments.config).absolute() if arguments.config else None
    if config is not None:
        _judge_config(config, problems)
    keys = tuple(key for given in arguments.ssh_key if (key := _judge_key(given, problems)))
    binary = Path(arguments.binary).absolute() if arguments.binary else None
    if binary is not None and not os.access(binary / "appliance", os.X_OK):
        problems.append(f"--binary {arguments.binary!r}: holds no program named appliance")
    machine = Settings()
    try:
        machine = Settings(cpus=arguments.cpus, memory=arguments.memory * 2**20, firmware=arguments.firmware)
    except UsageError as error:
        problems.append(error.message)
    if problems:
        raise UsageError(
            "this build cannot be started: " + "; ".join(problems),
            hint="see ./build.sh build --help",
        )
    mirrors = own_mirrors(read_sources(etc_apt), RELEASE)
    if arguments.mirror:
        mirrors = Mirrors(arguments.mirror.rstrip("/"), beside(arguments.mirror.rstrip("/")))
    if arguments.security_mirror:
        mirrors = Mirrors(mirrors.main, arguments.security_mirror.rstrip("/"))
    return BuildOptions(
        disk_size=disk_size,
        hostname=arguments.hostname,
        packages=tuple(arguments.package),
        mirrors=mirrors,
        proxy=arguments.proxy,
        keyboard_layout=layout,
        keyboard_variant=variant,
        config=config,
        ssh_keys=keys,
        output=Path(arguments.output).absolute(),
        work=Path(arguments.work).absolute(),
        cache=Path(arguments.cache).absolute(),
        binary=binary,
        keep_raw=arguments.keep_raw,
        choices=Choices(machine, arguments.compress),
    )


def parse_build_options(words: Sequence[str]) -> BuildOptions:
    """Return options from a command line."""
    return judge(parser().parse_args(words))


def _judge_size(text: str, problems: list[str]) -> int:
    match = _SIZE.fullmatch(text.strip())
    size = int(match[1]) * _UNITS.get(match[2] or "G", 2**30) if match else 0
    if not match or not SMALLEST_DISK <= size <= LARGEST_DISK:
        problems.append(f"--size {text!r}: write 6G to 2040G")
    # XCP-ng wants whole clusters of 2 MiB.
    return size // 2**21 * 2**21


def _judge_url(option: str, value: str, problems: list[str]) -> None:
    if not value:
        return
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in value):
        problems.append(f"{option} {value!r}: not an http or https URL")


def _judge_config(path: Path, problems: list[str]) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"--config {str(path)!r}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}")
        return
    if "loki" not in text:
        problems.append(f"--config {str(path)!r}: no section loki in it")


def _judge_key(given: str, problems: list[str]) -> str:
    text = given
    if not given.startswith(_KEY_TYPES):
        try:
            text = Path(given).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            problems.append(f"--ssh-key {given[:40]!r}: neither a public key nor a readable file")
            return ""
    words = text.split()
    try:
        blob = base64.b64decode(words[1], validate=True) if len(words) > 1 else b""
    except (binascii.Error, ValueError):
        blob = b""
    if len(words) < 2 or words[0] not in _KEY_TYPES or words[0].encode() not in blob[:64]:
        problems.append(f"--ssh-key {given[:40]!r}: not an OpenSSH public key")
        return ""
    return " ".join(words)
