"""Judges ova.xml: what an XCP-ng host would refuse, and what would surprise its administrator.

Pure: from the parsed description to findings and the list of disks to expect in the stream. The rules
are those of the importer (fields: `ova_fields.py`; between objects: xapi's import, and creation of VM,
VBD, VIF and network).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from image.ova import DISK_GRANULE, MAX_DISK, MalformedOva, Parsed, fits, parse_ova
from image.ova_fields import CLASSES, NULL_REF, VERSION, Field, Kind, Need

Members = dict[str, Parsed]


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem: `refused` by a host, or merely a surprise. `where` names object or chunk."""

    refused: bool
    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExpectedDisk:
    """A disk whose chunks must follow in the stream; `size` in bytes."""

    id: str
    size: int


@dataclass(frozen=True)
class Description:
    """What ova.xml says, as far as it could be understood."""

    name: str
    disks: tuple[ExpectedDisk, ...]
    findings: tuple[Finding, ...]


def _refuse(where: str, reason: str) -> Finding:
    return Finding(True, where, reason)


def _surprise(where: str, reason: str) -> Finding:
    return Finding(False, where, reason)


def check_ova(content: bytes) -> Description:
    """Return all findings about ova.xml without the disks."""
    try:
        parsed = parse_ova(content)
    except MalformedOva as error:
        return Description("", (), (_refuse("ova.xml", str(error)),))
    listed = parsed.get("objects") if isinstance(parsed, dict) else None
    if not isinstance(parsed, dict) or not isinstance(listed, list):
        return Description("", (), (_refuse("ova.xml", "it has no list of objects"),))
    findings = list(_check_version(parsed.get("version")))
    objects: dict[str, tuple[str, Members]] = {}
    for number, item in enumerate(listed):
        snapshot = item.get("snapshot") if isinstance(item, dict) else None
        kind, ref = (item.get("class"), item.get("id")) if isinstance(item, dict) else (None, None)
        if not isinstance(snapshot, dict) or not isinstance(kind, str) or not isinstance(ref, str):
            findings.append(_refuse(f"object {number}", "it lacks class, id or snapshot"))
        elif ref in objects:
            findings.append(_refuse(ref, "two objects have this id"))
        else:
            objects[ref] = kind, snapshot
            findings.extend(_check_fields(f"{kind} {ref}", CLASSES.get(kind, ()), snapshot))
    findings.extend(_check_relations(objects))
    vms = _of(objects, "VM")
    name = str(next(iter(vms.values()), {}).get("name_label", ""))
    return Description(name, tuple(_disks(objects)), tuple(findings))


def _check_version(version: Parsed | None) -> Iterator[Finding]:
    if not isinstance(version, dict):
        yield _refuse("version", "it is missing")
        return
    yield from _check_fields("version", VERSION, version)
    major, minor, export = (_integer(version, name) for name in ("xapi_major", "xapi_minor", "export_vsn"))
    if major is not None and major != 1:
        yield _refuse("version", f"XCP-ng 8.2 refuses xapi_major {major}: it must be 1 (IMPORT_INCOMPATIBLE_VERSION)")
    if minor is not None and minor > 20:
        yield _refuse(
            "version", f"XCP-ng 8.2 refuses xapi_minor {minor}: it must not be over 20 (IMPORT_INCOMPATIBLE_VERSION)"
        )
    if export is not None and export != 2:
        yield _refuse("version", f"export_vsn is {export}; only 2 has checksums beside the chunks")


def _check_fields(where: str, fields: tuple[Field, ...], members: Members) -> Iterator[Finding]:
    for each in fields:
        if each.name not in members:
            if each.need is not Need.NEVER:
                yield _refuse(
                    where,
                    f"field {each.name} is missing: {each.need.value} refuses that (not present in rpc)",
                )
            continue
        value = members[each.name]
        if not fits(each.kind, value):
            yield _refuse(where, f"field {each.name} must be a {each.kind.value}, but holds {_short(value)}")
        elif each.kind is Kind.ENUM and each.words and str(value).lower() not in each.words:
            yield _refuse(where, f"field {each.name} is {value!r}; it must be one of {', '.join(each.words)}")


def _short(value: Parsed) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "…"


def _integer(members: Members, name: str) -> int | None:
    value = members.get(name)
    return int(str(value)) if value is not None and fits(Kind.INT, value) else None


def _map(members: Members, name: str) -> Members:
    value = members.get(name)
    return value if isinstance(value, dict) else {}


def _of(objects: dict[str, tuple[str, Members]], kind: str) -> dict[str, Members]:
    return {ref: members for ref, (each, members) in objects.items() if each == kind}


def _disks(objects: dict[str, tuple[str, Members]]) -> Iterator[ExpectedDisk]:
    """Disks that are streamed, in the importer's order: by id, as strings."""
    vdis = _of(objects, "VDI")
    used = {str(vbd.get("VDI")) for vbd in _of(objects, "VBD").values() if str(vbd.get("type")).lower() != "cd"}
    for ref in sorted(used & vdis.keys()):
        yield ExpectedDisk(ref, _integer(vdis[ref], "virtual_size") or 0)


def _check_relations(objects: dict[str, tuple[str, Members]]) -> Iterator[Finding]:
    vms = _of(objects, "VM")
    if not vms:
        yield _refuse("ova.xml", "it describes no VM")
    for ref, vm in vms.items():
        yield from _check_vm(f"VM {ref}", vm)
    yield from _check_disks(objects)
    yield from _check_networks(objects)


def _check_vm(where: str, vm: Members) -> Iterator[Finding]:
    limits = [_integer(vm, f"memory_{name}") for name in ("static_min", "dynamic_min", "dynamic_max", "static_max")]
    known = [each for each in limits if each is not None]
    if known != sorted(known):
        yield _refuse(where, "memory must rise from static_min over dynamic_min and dynamic_max to static_max")
    if any(each <= 0 for each in known):
        yield _refuse(where, "memory must be more than 0")
    most, start = _integer(vm, "VCPUs_max"), _integer(vm, "VCPUs_at_startup")
    if most is not None and start is not None and not 1 <= start <= most:
        yield _refuse(where, f"it starts with {start} processors of {most}")
    platform, boot = _map(vm, "platform"), _map(vm, "HVM_boot_params")
    cores = str(platform.get("cores-per-socket", "1"))
    if most is not None and (not cores.isdigit() or int(cores) == 0 or most % int(cores)):
        yield _refuse(where, f"{most} processors do not fill sockets of {cores} cores")
    firmware, model = str(boot.get("firmware", "bios")), str(platform.get("device-model", ""))
    if firmware not in ("bios", "uefi"):
        yield _refuse(where, f"firmware {firmware!r} is neither bios nor uefi")
    if (firmware, model) in (("bios", "qemu-upstream-uefi"), ("uefi", "qemu-trad")):
        yield _refuse(where, f"device model {model} cannot run with {firmware} firmware (INVALID_VALUE at start)")
    if firmware == "uefi" and model != "qemu-upstream-uefi":
        yield _surprise(
            where, "with UEFI the device model should be qemu-upstream-uefi; the importer fills in the BIOS one"
        )
    if vm.get("HVM_boot_policy") == "":
        yield _refuse(
            where, "HVM_boot_policy is empty: that means a paravirtual machine, which needs a kernel from outside"
        )
    if "parent" not in vm:
        yield _surprise(where, "without the field parent, hosts set all dynamic memory to memory_static_max")
    if "mac_seed" in _map(vm, "other_config"):
        yield _surprise(where, "a mac_seed is shipped: every import would get the same addresses (DUPLICATE_MAC_SEED)")


def _check_disks(objects: dict[str, tuple[str, Members]]) -> Iterator[Finding]:
    vms, vbds, vdis, srs = (_of(objects, kind) for kind in ("VM", "VBD", "VDI", "SR"))
    positions: Counter[tuple[str, str]] = Counter()
    for ref, vbd in vbds.items():
        where, cd = f"VBD {ref}", str(vbd.get("type")).lower() == "cd"
        vm, vdi = str(vbd.get("VM")), str(vbd.get("VDI", NULL_REF))
        if vm not in vms:
            yield _refuse(where, f"its VM {vm} is not in the file")
        if not cd and vdi not in vdis:
            yield _refuse(where, f"its disk {vdi} is not in the file")
        if vbd.get("currently_attached") is True and vdi not in vdis:
            yield _refuse(
                where, "it is attached to a disk that is not in the file (IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND)"
            )
        if cd and str(vbd.get("mode")).lower() == "rw":
            yield _refuse(where, "a CD drive must be read-only")
        if not cd and vbd.get("empty") is True:
            yield _refuse(where, "only a CD drive may be empty")
        position = str(vbd.get("userdevice"))
        if not (
            position == "autodetect"
            or position.startswith(("xvd", "sd", "hd"))
            or (position.isdigit() and int(position) <= 15)
        ):
            yield _refuse(
                where, f"userdevice {position!r} is no position: it must be 0 to 15, a device name, or autodetect"
            )
        positions[(vm, position)] += position != "autodetect"
    for (vm, position), count in positions.items():
        if count > 1:
            yield _refuse(f"VM {vm}", f"{count} drives are at position {position}")
    for ref, vdi_members in vdis.items():
        where, size = f"VDI {ref}", _integer(vdi_members, "virtual_size")
        if str(vdi_members.get("SR")) not in srs:
            yield _refuse(where, f"its storage {vdi_members.get('SR')} is not in the file")
        if size is not None and not 0 < size <= MAX_DISK:
            yield _refuse(where, f"virtual_size is {size}; VHD storage takes up to 2040 GiB")
        elif size is not None and size % DISK_GRANULE:
            yield _surprise(
                where,
                "virtual_size is not a multiple of 2 MiB: VHD storage rounds it up, away from the GPT copy",
            )
        if all(str(vbd.get("VDI")) != ref or str(vbd.get("type")).lower() == "cd" for vbd in vbds.values()):
            yield _refuse(where, "no drive uses it: hosts create it but do not read its chunks")
        if _map(vdi_members, "sm_config"):
            yield _surprise(where, "sm_config is handed to the storage of the host as it is")
        if any(other != ref and other.startswith(ref) for other in vdis):
            yield _refuse(where, "its id is the beginning of another disk's id")
    for ref, sr in srs.items():
        if sr.get("content_type") == "iso":
            yield _refuse(f"SR {ref}", "content_type is iso: hosts look for that very storage")


def _check_networks(objects: dict[str, tuple[str, Members]]) -> Iterator[Finding]:
    vms, vifs, networks = (_of(objects, kind) for kind in ("VM", "VIF", "network"))
    devices = Counter((str(vif.get("VM")), str(vif.get("device"))) for vif in vifs.values())
    for (vm, device), count in devices.items():
        if count > 1:
            yield _refuse(f"VM {vm}", f"{count} network cards are number {device}")
        if not device.isdigit():
            yield _refuse(f"VM {vm}", f"network card {device!r} has no number")
    for ref, vif in vifs.items():
        where = f"VIF {ref}"
        for name, there in (("VM", vms), ("network", networks)):
            if str(vif.get(name)) not in there:
                yield _refuse(
                    where, f"its {name} {vif.get(name)} is not in the file (IMPORT_ERROR_FAILED_TO_FIND_OBJECT)"
                )
        if vif.get("MAC"):
            yield _surprise(where, "it has a MAC address of its own: two imports that preserve it clash")
    for ref, network in networks.items():
        bridge = str(network.get("bridge", ""))
        if len(bridge) > 15:
            yield _refuse(f"network {ref}", f"bridge {bridge!r} has more than 15 characters (INVALID_VALUE)")
        elif bridge.startswith(("xapi", "vif", "tap", "eth")):
            reason = "a host that does not have it may refuse to create it (INVALID_VALUE); xenbr0 is on every host"
            yield _surprise(f"network {ref}", f"bridge {bridge!r}: {reason}")
        if not network.get("name_label"):
            yield _surprise(f"network {ref}", "without a name the machine may end on a network of its own")
