"""Writes and reads ova.xml, the description of the machine inside an XVA.

Responsible for the objects (one VM with disk, empty CD drive, network cards) and for xapi's own
dialect of XML-RPC; what fields there are is data in `ova_fields.py`, and judging a description is
`xva_verify.py`. Pure: no files, no clock; fresh UUIDs come in through `Settings.uuid_of`.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from appliance.errors import UsageError
from image.ova_fields import CLASSES, NULL_REF, VERSION, Field, Kind, Value

MiB = 1 << 20
GiB = 1 << 30
# XCP-ng's VHD storage rounds disks up to this, so a disk of this granularity keeps its size there.
DISK_GRANULE = 2 * MiB
MAX_DISK = 2040 * GiB
VDI_ID = "Ref:003"  # ids of one width: the importer reads disks in the order of their ids as strings

_RESTRICTIONS = (
    ("field", "memory-static-max", 'max="1649267441664"'),
    ("field", "vcpus-max", 'max="64"'),
    ("field", "has-vendor-device", 'value="false"'),
    ("field", "supports-bios", 'value="yes"'),
    ("field", "supports-uefi", 'value="yes"'),
    ("field", "supports-secure-boot", 'value="no"'),
)
RECOMMENDATIONS = (
    "<restrictions>"
    + "".join(f'<restriction {kind}="{name}" {limit} />' for kind, name, limit in _RESTRICTIONS)
    + '<restriction property="number-of-vbds" max="255" /><restriction property="number-of-vifs" max="7" />'
    + "</restrictions>"
)


@dataclass(frozen=True)
class Settings:
    """What the imported machine is to be. Network names are those of a fresh XCP-ng: the importer looks
    for the name, then for the bridge, so that either may have been changed."""

    name: str = "forwarder"
    description: str = "Log forwarder appliance"
    disk_name: str = "forwarder"
    cpus: int = 2
    memory: int = 2 * GiB  # bytes
    nics: int = 1
    network: str = "Pool-wide network associated with eth0"
    bridge: str = "xenbr0"
    firmware: Literal["bios", "uefi"] = "bios"
    seed: str | None = field(default=None, metadata={"why": "same seed, same UUIDs: for repeatable builds"})

    def __post_init__(self) -> None:
        problems = []
        if not 1 <= self.cpus <= 64:
            problems.append("the number of processors must be from 1 to 64")
        if self.memory % MiB or not 128 * MiB <= self.memory <= 1536 * GiB:
            problems.append("the memory must be whole MiB from 128 MiB to 1.5 TiB")
        if not 0 <= self.nics <= 7:
            problems.append("the number of network cards must be from 0 to 7")
        if self.firmware not in ("bios", "uefi"):
            problems.append("the firmware must be bios or uefi")
        if not self.name:
            problems.append("the machine needs a name")
        if any(
            _UNPRINTABLE.search(text)
            for text in (self.name, self.description, self.disk_name, self.network, self.bridge)
        ):
            problems.append("names and descriptions must not hold control characters")
        if len(self.bridge) > 15:
            problems.append("a bridge's name has 15 characters at most")
        if problems:
            raise UsageError("; ".join(problems), hint="See appliance image xva --help.")

    def uuid_of(self, thing: str) -> str:
        """Return a UUID for one object: fresh, or told by the seed."""
        return str(uuid.uuid4() if self.seed is None else uuid.uuid5(uuid.NAMESPACE_URL, f"xva:{self.seed}:{thing}"))


_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")

Object = tuple[str, str, dict[str, Value]]  # class, id, members


def _member(fields: tuple[Field, ...], **values: Value) -> dict[str, Value]:
    unknown = values.keys() - {each.name for each in fields}
    assert not unknown, unknown
    return {each.name: values.get(each.name, each.default) for each in fields}


def objects(settings: Settings, disk_size: int) -> list[Object]:
    """Return all objects of a machine with one disk of `disk_size` bytes."""

    def make(kind: str, ref: str, **values: Value) -> Object:
        return kind, ref, _member(CLASSES[kind], uuid=settings.uuid_of(ref), **values)

    uefi = settings.firmware == "uefi"
    memory = settings.memory
    vm, vbd, cd, vdi, sr, network = "Ref:000", "Ref:001", "Ref:002", VDI_ID, "Ref:004", "Ref:005"
    # The importer fills a missing device model with the BIOS one whatever the firmware: name it.
    platform: dict[str, str] = {
        "device-model": "qemu-upstream-uefi" if uefi else "qemu-upstream-compat",
        "secureboot": "false",
        "nx": "true",
        "acpi": "1",
        "apic": "true",
        "pae": "true",
        "hpet": "true",
        "vga": "std",
        "videoram": "8",
        "viridian": "false",
        "device_id": "0001",
    }
    made = [
        make(
            "VM",
            vm,
            name_label=settings.name,
            name_description=settings.description,
            memory_static_max=memory,
            memory_dynamic_max=memory,
            memory_dynamic_min=memory,
            memory_static_min=min(memory, GiB),
            VCPUs_max=settings.cpus,
            VCPUs_at_startup=settings.cpus,
            HVM_boot_params={"firmware": settings.firmware, "order": "cd"},
            platform=platform,
            recommendations=RECOMMENDATIONS,
        ),
        make("VBD", vbd, VM=vm, VDI=vdi),
        make(
            "VBD",
            cd,
            VM=vm,
            device="xvdd",
            userdevice="3",
            bootable=False,
            mode="RO",
            type="CD",
            empty=True,
            unpluggable=True,
        ),
        make(
            "VDI",
            vdi,
            name_label=settings.disk_name,
            name_description=settings.description,
            SR=sr,
            virtual_size=disk_size,
        ),
        make("SR", sr),
    ]
    if settings.nics:
        made.append(make("network", network, name_label=settings.network, bridge=settings.bridge))
    for number in range(settings.nics):
        made.append(make("VIF", f"Ref:{6 + number:03d}", device=str(number), network=network, VM=vm))
    return made


# ---- XML ------------------------------------------------------------------------------------------


def _value(value: Value) -> str:
    match value:
        case bool():
            return f"<value><boolean>{int(value)}</boolean></value>"
        case float():
            return f"<value><double>{value:g}</double></value>"
        case dict():
            return _struct((name, _value(each)) for name, each in value.items())
        case tuple():
            return "<value><array><data>" + "".join(map(_value, value)) + "</data></array></value>"
        case _:  # xapi writes integers untagged, as strings
            return f"<value>{escape(str(value))}</value>"


def _struct(members: Iterator[tuple[str, str]]) -> str:
    inner = "".join(f"<member><name>{escape(name)}</name>{value}</member>" for name, value in members)
    return f"<value><struct>{inner}</struct></value>"


def to_xml(made: list[Object], version: dict[str, Value] | None = None) -> bytes:
    """Return the description as the importer reads it: one bare XML-RPC value."""
    described = _member(VERSION) if version is None else version
    listed = "".join(
        _struct(iter((("class", _value(kind)), ("id", _value(ref)), ("snapshot", _value_of_members(members)))))
        for kind, ref, members in made
    )
    whole = iter(
        (("version", _value_of_members(described)), ("objects", f"<value><array><data>{listed}</data></array></value>"))
    )
    return _struct(whole).encode()


def _value_of_members(members: dict[str, Value]) -> str:
    return _struct((name, _value(value)) for name, value in members.items())


def ova_xml(settings: Settings, disk_size: int) -> bytes:
    """ova.xml for a machine with one disk of `disk_size` bytes."""
    return to_xml(objects(settings, disk_size))


class MalformedOva(ValueError):
    """ova.xml is not what the importer could read; the text says why."""


Parsed = str | int | bool | float | list["Parsed"] | dict[str, "Parsed"]

_SCALARS: dict[str, Callable[[str], Parsed]] = {
    "string": str,
    "int": int,
    "i4": int,
    "i8": int,
    "double": float,
    "dateTime.iso8601": str,
}


def _parse(node: ElementTree.Element) -> Parsed:
    if node.tag != "value":
        raise MalformedOva(f"<{node.tag}> stands where <value> should")
    if len(node) == 0:
        return node.text or ""
    inner, text = node[0], node[0].text or ""
    if inner.tag == "boolean":
        if text not in ("0", "1"):
            raise MalformedOva(f"a boolean is {text!r}; it must be 0 or 1")
        return text == "1"
    if inner.tag in _SCALARS:
        try:
            return _SCALARS[inner.tag](text)
        except ValueError as error:
            raise MalformedOva(f"<{inner.tag}> holds {text!r}") from error
    if inner.tag == "array":
        return [_parse(each) for each in inner.findall("data/value")]
    if inner.tag == "struct":
        members: dict[str, Parsed] = {}
        for member in inner.findall("member"):
            name, value = member.find("name"), member.find("value")
            if name is None or value is None:
                raise MalformedOva("a <member> has no <name> or no <value>")
            members[name.text or ""] = _parse(value)
        return members
    raise MalformedOva(f"<{inner.tag}> is no type of XML-RPC")


def parse_ova(content: bytes) -> Parsed:
    """Return the value in ova.xml; untagged values come as strings. Raise MalformedOva."""
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise MalformedOva("it declares a document type, which has no place there")
    try:
        root = ElementTree.fromstring(content)  # noqa: S314  entities were refused above
    except (ElementTree.ParseError, ValueError) as error:
        raise MalformedOva(f"it is not XML: {error}") from error
    return _parse(root)


def fits(kind: Kind, value: Parsed) -> bool:
    """Return whether the importer would read `value` as `kind`."""
    match kind:
        case Kind.BOOL:
            return isinstance(value, bool)
        case Kind.INT:
            return not isinstance(value, bool) and (
                isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value) is not None)
            )
        case Kind.DOUBLE:
            return not isinstance(value, bool) and (
                isinstance(value, (int, float))
                or (isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d*)?", value) is not None)
            )
        case Kind.MAP:
            return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
        case Kind.ARRAY:
            return isinstance(value, list)
        case _:
            return isinstance(value, str)


__all__ = [
    "MAX_DISK",
    "NULL_REF",
    "MalformedOva",
    "Object",
    "Parsed",
    "Settings",
    "fits",
    "objects",
    "ova_xml",
    "parse_ova",
    "to_xml",
]
