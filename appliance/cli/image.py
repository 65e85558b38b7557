"""`appliance image …`: make and check images for hypervisors, on any machine, without root.

Only the command line: writing is `image.xva`, checking is `image.xva_verify`, building `image.pipeline`.
"""

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from appliance.errors import ApplianceError, UsageError

app = typer.Typer(help="Make and check images for hypervisors.", add_completion=False, rich_markup_mode=None)

MEMORY_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def memory_size(text: str) -> int:
    """Return bytes for 2GiB, 2G, 2048M or plain bytes; UsageError for anything else."""
    word = text.strip().upper().removesuffix("B").removesuffix("I")
    number, unit = (word[:-1], word[-1]) if word[-1:].isalpha() else (word, "")
    number = number.strip()
    if not number.isdigit() or unit not in MEMORY_UNITS:
        raise UsageError(f"{text!r} is not a size", hint="Write it as 2GiB or 1536MiB.")
    return int(number) * MEMORY_UNITS[unit]


@app.command(epilog="Example: appliance image xva disk.qcow2 -o forwarder.xva --cpus 2 --memory 2GiB --compress zstd")
def xva(
    disk: Annotated[Path, typer.Argument(help="The disk, raw or qcow2.", metavar="DISK", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; DISK with .xva when not given.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the machine; that of DISK when not given.")] = None,
    description: Annotated[str, typer.Option(help="Description of the machine.")] = "Log forwarder appliance",
    disk_name: Annotated[str | None, typer.Option(help="Name of its disk; the machine's when not given.")] = None,
    cpus: Annotated[int, typer.Option(help="Virtual processors, 1 to 64.")] = 2,
    memory: Annotated[str, typer.Option(help="Memory, such as 2GiB.")] = "2GiB",
    nics: Annotated[int, typer.Option(help="Network cards, 0 to 7.")] = 1,
    network: Annotated[str | None, typer.Option(help="Name of the pool's network for them.")] = None,
    bridge: Annotated[str | None, typer.Option(help="Bridge to take when no network has that name.")] = None,
    firmware: Annotated[str, typer.Option(help="bios or uefi.")] = "bios",
    compress: Annotated[
        str, typer.Option(help="none, or zstd for the whole file; hosts tell by its content.")
    ] = "none",
    seed: Annotated[
        str | None, typer.Option(help="Same seed and disk, same file; otherwise UUIDs are fresh each time.")
    ] = None,
) -> None:
    """Write a disk as an XVA, which XCP-ng and XenServer import as a whole machine."""
    from image.ova import Settings
    from image.xva import write_xva

    if firmware not in ("bios", "uefi"):
        raise UsageError(f"{firmware!r} is not a firmware", hint="Choose bios or uefi.")
    if compress not in ("none", "zstd"):
        raise UsageError(f"{compress!r} is not a compression of an XVA", hint="Choose none or zstd.")
    target = output or disk.with_suffix(".xva")
    if target.resolve() == disk.resolve():
        raise UsageError("the output would overwrite the disk", hint="Choose another file with -o.")
    given = name or disk.stem
    chosen = {"network": network, "bridge": bridge}
    settings = Settings(
        name=given,
        description=description,
        disk_name=disk_name or given,
        cpus=cpus,
        memory=memory_size(memory),
        nics=nics,
        firmware=cast(Literal["bios", "uefi"], firmware),
        seed=seed,
        **{key: value for key, value in chosen.items() if value is not None},
    )
    done = write_xva(disk, target, settings, compress=cast(Literal["none", "zstd"], compress))
    typer.echo(
        f"{target}: {_mib(done.size)} from a disk of {_mib(done.disk_size)}, {done.chunks} chunks, "
        f"{done.seconds:.1f} s, {done.rate / 1e6:.0f} MB/s of disk read"
    )


@app.command(epilog="Example: appliance image verify forwarder.xva")
def verify(
    file: Annotated[Path, typer.Argument(help="An XVA; plain, gzip or zstd.", metavar="FILE", show_default=False)],
    disk: Annotated[
        Path | None, typer.Option("--disk", help="Also write the disk inside to this new raw file, sparse.")
    ] = None,
) -> None:
    """Check an XVA as a host reads it: order, checksums, gaps, every field. Exit code 1: a host would refuse it."""
    from image.xva_extract import extract
    from image.xva_verify import verify as check

    report = check(file) if disk is None else extract(file, disk)
    for finding in report.findings:
        typer.echo(f"{'refused' if finding.refused else 'note'}: {finding.where}: {finding.reason}")
    if not report.accepted:
        count = sum(finding.refused for finding in report.findings)
        raise ApplianceError(
            f"{file} would be refused, for {count} {'reason' if count == 1 else 'reasons'}",
            hint="Download it again and compare its SHA256SUMS, or write it again with appliance image xva.",
        )
    assert report.description is not None
    disks = ", ".join(f"{each.id} of {_mib(each.size)}" for each in report.description.disks) or "no disk"
    packed = "" if report.compression == "none" else f", {report.compression}"
    typer.echo(f"{file}: good: machine {report.description.name!r}, {disks}, {report.chunks} chunks{packed}")


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"
