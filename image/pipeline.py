"""One build from start to end: checks, packed command, disk, and what is made of the disk.

The order of the steps and what passes between them; each step's own work is in its module.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import appliance
from appliance.errors import ApplianceError
from image import beforehand, binary, esp, leftovers
from image.artefacts import write_artefacts
from image.options import RELEASE, BuildOptions
from image.steps import Steps

_ELEMENTS = Path(__file__).resolve().parent / "elements"
_KERNEL = "linux-image-cloud-amd64"


def build(options: BuildOptions) -> Path:
    """Build the disk and everything made of it; return the raw disk. Raise ApplianceError."""
    with leftovers.alone(options.work):
        steps = Steps(options.work / "log" / "image-build.log")
        temporary = options.work / "dib"
        try:
            with steps.step("check this machine, the options and the mirrors"):
                beforehand.check(options)
                leftovers.clean(temporary)
                temporary.mkdir(parents=True)
            epoch = source_date_epoch()
            packed = _pack(options, steps, epoch)
            overlay = make_overlay(options, temporary, packed)
            with steps.step("root file system and disk (diskimage-builder)"):
                disk = run_dib(options, steps, temporary, overlay, epoch)
            with steps.step("EFI system partition"):
                esp.write_esp(disk, temporary, steps)
            with steps.step("results"):
                options.output.mkdir(parents=True, exist_ok=True)
                raw = options.work / f"forwarder-{appliance.__version__}.raw"
                os.replace(disk, raw)
            with steps.step("qcow2, XVA, package manifest, SBOM, SHA256SUMS"):
                note = lambda line: steps.note(f"    {line}")  # noqa: E731
                version = appliance.__version__
                write_artefacts(raw, options.output, version, epoch=epoch, choices=options.choices, note=note)
            size = raw.stat()
            steps.note(f"disk: {size.st_blocks * 512 / 2**20:.0f} MiB of {size.st_size / 2**30:.0f} GiB used")
            steps.note(f"built in {steps.total_seconds():.0f} s")
            steps.note(what_next(options, version))
            return raw
        finally:
            leftovers.clean(temporary)
            steps.close()


def what_next(options: BuildOptions, version: str) -> str:
    """Return what an administrator does with what was built."""
    xva = options.output / f"forwarder-{version}.xva"
    files = f"{xva}, forwarder-{version}.qcow2"
    files += "" if options.binary else ", appliance (the command)"
    return f"""
Built: {files}; checksums in SHA256SUMS.

What to do next:
  try it on this machine          ./build.sh run
  import it with xe               copy {xva.name} to a host of the pool, and there:
                                  xe vm-import filename={xva.name} && xe vm-start vm={options.choices.machine.name}
  import it with Xen Orchestra    Import > VM, drop {xva.name}
Then open the machine's console: it asks for what it needs. See README.md for more."""


def source_date_epoch() -> int:
    """Return seconds since 1970 that stand for now in the image: SOURCE_DATE_EPOCH, or the last commit's time."""
    if given := os.environ.get("SOURCE_DATE_EPOCH", ""):
        return int(given)
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], capture_output=True, text=True, cwd=binary.ROOT)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 1_700_000_000


def _pack(options: BuildOptions, steps: Steps, epoch: int) -> Path:
    if options.binary is not None:
        return options.binary
    with steps.step("the command for the VM (PyInstaller, one directory)"):
        packed = binary.pack(options.work, steps, one_file=False, epoch=epoch)
        directory_seconds = binary.start_seconds(packed.directory / "appliance")
    with steps.step("the command to download (PyInstaller, one file)"):
        single = binary.pack(options.work, steps, one_file=True, epoch=epoch)
        assert single.file is not None
        file_seconds = binary.start_seconds(single.file)
        options.output.mkdir(parents=True, exist_ok=True)
        # One that runs right now cannot be written to, but replaced.
        (options.output / "appliance").unlink(missing_ok=True)
        shutil.copy2(single.file, options.output / "appliance")
    steps.note(f"    start-up: one directory {directory_seconds:.2f} s (used in the VM), one file {file_seconds:.2f} s")
    return packed.directory


def make_overlay(options: BuildOptions, temporary: Path, packed: Path) -> Path:
    """Return what this build puts over the root file system: the command, and what the options ask for."""
    overlay = temporary / "overlay"
    root = overlay / "root"
    command = root / "usr/lib/appliance/bin"
    command.parent.mkdir(parents=True)
    shutil.copytree(packed, command, symlinks=True)
    (root / "usr/bin").mkdir()
    (root / "usr/bin/appliance").symlink_to("../lib/appliance/bin/appliance")
    # By Debian's own python3: a third of the packed command's memory (see the file).
    reporter = root / "usr/lib/appliance/xen-guest"
    shutil.copyfile(binary.ROOT / "appliance/host/xen/guest.py", reporter)
    reporter.chmod(0o755)
    (root / "etc").mkdir()
    (root / "etc/hostname").write_text(options.hostname + "\n")
    (root / "etc/hosts").write_text(
        f"127.0.0.1 localhost\n127.0.1.1 {options.hostname}\n::1 localhost ip6-localhost ip6-loopback\n"
    )
    (overlay / "preseed").write_text(
        f"keyboard-configuration keyboard-configuration/layoutcode string {options.keyboard_layout}\n"
        f"keyboard-configuration keyboard-configuration/variantcode string {options.keyboard_variant}\n"
    )
    if options.config is not None:
        (root / "etc/appliance").mkdir(mode=0o750)
        shutil.copyfile(options.config, root / "etc/appliance/appliance.yaml")
        (root / "etc/appliance/appliance.yaml").chmod(0o640)
    if options.ssh_keys:
        (overlay / "ssh-keys").write_text("\n".join(options.ssh_keys) + "\n")
    return overlay


def elements(temporary: Path) -> Path:
    """Our elements, and DIB's `debian-minimal` with the kernel flavour for virtual machines.

    The cloud flavour has the drivers of every hypervisor (Xen, KVM, Hyper-V, VMware) and is a third
    of the size of the general one. DIB's element names the general one; a package map renames it.
    """
    import diskimage_builder

    target = temporary / "elements"
    shutil.copytree(_ELEMENTS, target)
    source = Path(diskimage_builder.__file__).parent / "elements" / "debian-minimal"
    shutil.copytree(source, target / "debian-minimal", ignore=shutil.ignore_patterns("test-elements"))
    if "linux-image-amd64:" not in (source / "package-installs.yaml").read_text() or (source / "pkg-map").exists():
        raise ApplianceError("diskimage-builder's debian-minimal is not the one these elements were made for")
    (target / "debian-minimal/pkg-map").write_text(json.dumps({"default": {"linux-image-amd64": _KERNEL}}))
    return target


def run_dib(options: BuildOptions, steps: Steps, temporary: Path, overlay: Path, epoch: int) -> Path:
    """Run diskimage-builder; return the raw disk it made."""
    result = temporary / "disk"
    cache = options.cache / "dib"
    cache.mkdir(parents=True, exist_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DIB_", "PIP_", "PYTHON"))}
    env.update(
        PATH=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
        PYTHONPATH=str(binary.ROOT),
        HOME=str(temporary),
        TMPDIR=str(temporary),
        TMP_DIR=str(temporary),
        ARCH="amd64",
        ELEMENTS_PATH=str(elements(temporary)),
        FORWARDER_OVERLAY=str(overlay),
        DIB_RELEASE=RELEASE,
        DIB_DISTRIBUTION_MIRROR=options.mirrors.main,
        DIB_DEBIAN_SECURITY_MIRROR=options.mirrors.security,
        DIB_IMAGE_SIZE=f"{options.disk_size / 2**30:.6f}",
        DIB_IMAGE_CACHE=str(cache),
        DIB_LOCKFILES=str(temporary / "locks"),
        DIB_DEBOOTSTRAP_EXTRA_ARGS=f"--cache-dir={_debs(cache)}",
        DIB_NO_TIMESTAMP="1",
        DIB_PYTHON_EXEC=sys.executable,
        DEBIAN_FRONTEND="noninteractive",
        SOURCE_DATE_EPOCH=str(epoch),
    )
    if options.proxy:
        env.update(http_proxy=options.proxy, https_proxy=options.proxy)
    extra = ["-p", ",".join(options.packages)] if options.packages else []
    # Its own process and mount namespaces: when the build dies, its processes and mounts go with it.
    steps.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc",
         "disk-image-create", "-n", "-a", "amd64", "-t", "raw", "-o", result, *extra, "debian-minimal", "forwarder"],
        env=env,
        cwd=temporary,
        what="diskimage-builder",
    )  # fmt: skip
    return result.with_suffix(".raw")


def _debs(cache: Path) -> Path:
    debs = cache / "debootstrap"
    debs.mkdir(exist_ok=True)
    return debs
