"""A damaged XVA is refused, and the reason says which damage it is."""

import io
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import UsageError
from image.ova import Parsed, Settings, Value, objects, to_xml
from image.ova_fields import CLASSES, VERSION, Kind, Need
from image.xva import write_xva
from image.xva_sums import xxh64
from image.xva_verify import Report, verify
from tests.unit.xva_samples import Item, MiB, changed, put_together, sparse_disk, summed, take_apart

SIZE = 8 * MiB
FIRST, MIDDLE, LAST = "Ref:003/00000000", "Ref:003/00000003", "Ref:003/00000007"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    where = tmp_path_factory.mktemp("good")
    sparse_disk(where / "disk.raw", SIZE, [(3 * MiB, b"hello")])
    write_xva(where / "disk.raw", where / "disk.xva", Settings(seed="test"))
    return (where / "disk.xva").read_bytes()


@pytest.fixture
def check(tmp_path: Path) -> Callable[[bytes], Report]:
    def run(xva: bytes) -> Report:
        (tmp_path / "x.xva").write_bytes(xva)
        return verify(tmp_path / "x.xva")

    return run


def reasons(report: Report) -> str:
    assert not report.accepted
    return "\n".join(f"{each.where}: {each.reason}" for each in report.findings if each.refused)


Check = Callable[[bytes], Report]


def test_what_we_write_has_no_finding(good: bytes, check: Check) -> None:
    assert check(good).findings == ()
    assert put_together(take_apart(good)) == good, "the samples are faithful"


# ---- the stream -----------------------------------------------------------------------------------


def without(items: list[Item], *names: str) -> list[Item]:
    return [item for item in items if item.name not in names]


def swapped(items: list[Item], first: int, second: int) -> list[Item]:
    items = list(items)
    items[first], items[second] = items[second], items[first]
    return items


def inserted(items: list[Item], at: int, *new: Item) -> list[Item]:
    return [*items[:at], *new, *items[at:]]


def renamed(items: list[Item], old: str, new: str) -> list[Item]:
    return [replace(item, name=item.name.replace(old, new)) for item in items]


STREAM_DAMAGE: dict[str, tuple[Callable[[list[Item]], list[Item]], str]] = {
    "flipped byte": (lambda i: changed(i, MIDDLE, b"j" + bytes(MiB - 1)), "chunk 3: the SHA-1 checksum does not match"),
    "first chunk missing": (lambda i: without(i, FIRST, FIRST + ".checksum"), "chunk 0 is missing"),
    "last chunk missing": (lambda i: without(i, LAST, LAST + ".checksum"), "archive ends where chunk 7 of Ref:003"),
    "all chunks missing": (lambda i: i[:1], "archive ends where chunk 0 of Ref:003"),
    "checksum missing": (lambda i: without(i, MIDDLE + ".checksum"), "where the checksum of Ref:003/00000003 should"),
    "last checksum missing": (lambda i: i[:-1], "archive ends where the checksum of Ref:003/00000007"),
    "chunk missing, checksum there": (lambda i: without(i, MIDDLE), "comes without its chunk"),
    "checksum before chunk": (lambda i: swapped(i, 3, 4), "comes without its chunk"),
    "chunks in wrong order": (lambda i: [i[0], *i[3:5], *i[1:3], *i[5:]], "is out of order"),
    "chunk twice": (lambda i: [*i[:5], *i[3:]], "is out of order"),
    "description not first": (lambda i: [*i[1:3], i[0], *i[3:]], "first entry must be ova.xml"),
    "description under ./": (lambda i: renamed(i, "ova.xml", "./ova.xml"), "first entry must be ova.xml"),
    "directory entry": (lambda i: inserted(i, 1, Item("Ref:003/", b"", b"5")), "directory entry"),
    "directory entry before the description": (lambda i: inserted(i, 0, Item("./", b"", b"5")), "directory entry"),
    "PAX header": (lambda i: inserted(i, 0, Item("x", b"20 mtime=1.5\n", b"x")), "PAX header"),
    "PAX header before a chunk": (lambda i: inserted(i, 3, Item("x", b"20 mtime=1.5\n", b"x")), "PAX header"),
    "symbolic link": (lambda i: inserted(i, 1, Item(FIRST, b"", b"2")), "no regular file"),
    "foreign entry": (lambda i: inserted(i, 3, Item("README", b"hello")), "README stands where a chunk"),
    "entry after the last": (lambda i: [*i, Item("README", b"hello")], "README follows after the last chunk"),
    "chunk beyond the disk": (lambda i: renamed(i, "00000007", "00000009"), "beyond the disk's end"),
    "another disk's chunk": (lambda i: renamed(i, "Ref:003/00000003", "Ref:009/00000003"), "stands where a chunk"),
    "no number": (lambda i: renamed(i, "00000003", "0000000x"), "stands where a chunk"),
    "numbers of changing width": (lambda i: renamed(i, "00000003", "0000003"), "another width"),
    "oversized chunk": (lambda i: summed(changed(i, MIDDLE, bytes(MiB + 512))), "oversized"),
    "short chunk": (lambda i: summed(changed(i, MIDDLE, b"hello")), "is short"),
    "empty chunk": (lambda i: summed(changed(i, MIDDLE, b"")), "is short"),
    "checksum with newline": (
        lambda i: [replace(e, content=e.content + b"\n") if e.name == MIDDLE + ".checksum" else e for e in i],
        "followed by white space",
    ),
    "checksum in capitals": (
        lambda i: [replace(e, content=e.content.upper()) if e.name == MIDDLE + ".checksum" else e for e in i],
        "wrong case",
    ),
    "checksum cut": (
        lambda i: [replace(e, content=e.content[:20]) if e.name == MIDDLE + ".checksum" else e for e in i],
        "20 bytes long",
    ),
    "checksum oversized": (lambda i: changed(i, MIDDLE + ".checksum", b"a" * 600), "oversized"),
    "checksum of unknown kind": (lambda i: renamed(i, "3.checksum", "3.md5"), "where the checksum of"),
    "description oversized": (lambda i: changed(i, "ova.xml", b" " * (17 << 20)), "oversized"),
}


@pytest.mark.parametrize("damage", STREAM_DAMAGE)
def test_a_damaged_stream_is_refused_with_its_reason(damage: str, good: bytes, check: Check) -> None:
    change, reason = STREAM_DAMAGE[damage]
    assert reason in reasons(check(put_together(change(take_apart(good)))))


@pytest.mark.parametrize("length", [0, 100, 512, 5000, 30 * 1024, MiB, 3 * MiB + 7, -1500, -1024, -1023, -512, -1])
def test_a_truncated_file_is_refused_as_truncated(length: int, good: bytes, check: Check) -> None:
    text = reasons(check(good[:length]))
    assert "truncated" in text or (length == 0 and "truncated" in text)


@pytest.mark.parametrize("padding", [1, 512, 8192])
def test_padding_after_the_end_is_refused(padding: int, good: bytes, check: Check) -> None:
    assert "more than 1024 bytes" in reasons(check(good + bytes(padding)))


def test_a_damaged_header_is_refused(good: bytes, check: Check) -> None:
    position = good.index(MIDDLE.encode())
    damaged = bytearray(good)
    damaged[position + 2] ^= 1
    assert f"header at byte {position} is damaged" in reasons(check(bytes(damaged)))


def test_something_else_altogether_is_refused(check: Check) -> None:
    assert "no tar header" in reasons(check(b"<html>not found</html>" * 100))


@pytest.mark.parametrize("tool", ["gzip", "zstd"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_compressed_file_is_refused(
    tool: str, damage: str, good: bytes, tmp_path: Path, check: Check
) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(good)
    packed = bytearray(subprocess.run([tool, "-c", plain], check=True, capture_output=True).stdout)
    if damage == "cut":
        packed = packed[: len(packed) * 2 // 3]
    else:
        packed[len(packed) // 2] ^= 0xFF
    assert reasons(check(bytes(packed)))


def test_damage_in_two_chunks_is_reported_twice(good: bytes, check: Check) -> None:
    items = changed(changed(take_apart(good), MIDDLE, b"j" * MiB), FIRST, b"j" * MiB)
    report = check(put_together(items))
    assert [each.where for each in report.findings] == ["Ref:003 chunk 0", "Ref:003 chunk 3"]


def test_a_file_from_a_newer_host_with_xxhash_is_accepted_and_checked(good: bytes, check: Check) -> None:
    items = take_apart(good)
    contents = {item.name: item.content for item in items}
    newer = [
        Item(e.name.replace(".checksum", ".xxhash"), xxh64(contents[e.name.removesuffix(".checksum")]).encode())
        if e.name.endswith(".checksum")
        else e
        for e in items
    ]
    assert check(put_together(newer)).findings == ()
    small = [replace(e, content=e.content.lower()) if e.name.endswith("3.xxhash") else e for e in newer]
    assert "wrong case; hosts want capital" in reasons(check(put_together(small)))
    assert "XXH64 checksum does not match" in reasons(check(put_together(changed(newer, MIDDLE, b"j" * MiB))))


@pytest.mark.parametrize(
    ("data", "digest"),
    [(b"", "EF46DB3751D8E999"), (b"a", "D24EC4F1A98C6E5B"), (b"abc", "44BC2CF5AD770999")],
)
def test_xxh64_is_that_of_the_specification(data: bytes, digest: str) -> None:
    assert xxh64(data) == digest


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        verify(tmp_path / "absent.xva")


def test_a_chunk_that_reaches_beyond_an_odd_disk_is_refused(good: bytes, check: Check) -> None:
    text = take_apart(good)[0].content.replace(str(SIZE).encode(), str(SIZE - 100).encode())
    assert "100 bytes lie beyond the disk's end" in reasons(
        check(put_together(changed(take_apart(good), "ova.xml", text)))
    )


def test_pythons_own_tar_with_its_defaults_is_refused(good: bytes, check: Check) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for item in take_apart(good):
            entry = tarfile.TarInfo(item.name)
            entry.size, entry.mtime = len(item.content), 1.5
            tar.addfile(entry, io.BytesIO(item.content))
    assert "PAX header" in reasons(check(out.getvalue()))


# ---- the description ------------------------------------------------------------------------------


Objects = list[tuple[str, str, dict[str, Value]]]
MADE = objects(Settings(seed="test", nics=2), SIZE)


def described(made: Objects, version: dict[str, Value] | None = None) -> Callable[[bytes], bytes]:
    return lambda good: put_together(changed(take_apart(good), "ova.xml", to_xml(made, version)))


def with_field(ref: str, name: str, value: Value | None) -> Objects:
    out: Objects = []
    for kind, each, members in MADE:
        if each == ref:
            members = {key: old for key, old in members.items() if key != name}
            if value is not None:
                members[name] = value
        out.append((kind, each, members))
    return out


MANDATORY = [(kind, field) for kind, fields in CLASSES.items() for field in fields if field.need is not Need.NEVER]


@pytest.mark.parametrize(("kind", "field"), MANDATORY, ids=[f"{kind}.{field.name}" for kind, field in MANDATORY])
def test_each_mandatory_field_is_missed(kind: str, field, good: bytes, check: Check) -> None:  # type: ignore[no-untyped-def]
    ref = next(each for made_kind, each, _ in MADE if made_kind == kind)
    text = reasons(check(described(with_field(ref, field.name, None))(good)))
    assert f"{kind} {ref}: field {field.name} is missing: {field.need.value} refuses that" in text


OPTIONAL = [(kind, field.name) for kind, fields in CLASSES.items() for field in fields if field.need is Need.NEVER]


@pytest.mark.parametrize(("kind", "name"), OPTIONAL)
def test_no_optional_field_is_insisted_on(kind: str, name: str, good: bytes, check: Check) -> None:
    ref = next(each for made_kind, each, _ in MADE if made_kind == kind)
    assert check(described(with_field(ref, name, None))(good)).accepted


@pytest.mark.parametrize("name", [field.name for field in VERSION])
def test_each_part_of_the_version_is_missed(name: str, good: bytes, check: Check) -> None:
    version = {field.name: field.default for field in VERSION if field.name != name}
    assert f"version: field {name} is missing" in reasons(check(described(MADE, version)(good)))


WRONG_TYPE: dict[Kind, Value] = {
    Kind.STRING: True,
    Kind.ENUM: "nonsense",
    Kind.REF: {"a": "b"},
    Kind.INT: "many",
    Kind.BOOL: "false",
    Kind.DOUBLE: "much",
    Kind.MAP: "text",
    Kind.ARRAY: "text",
}
FIELDS = [(kind, field) for kind, fields in CLASSES.items() for field in fields]


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=[f"{kind}.{field.name}" for kind, field in FIELDS])
def test_each_field_of_a_wrong_type_is_refused(kind: str, field, good: bytes, check: Check) -> None:  # type: ignore[no-untyped-def]
    ref = next(each for made_kind, each, _ in MADE if made_kind == kind)
    text = reasons(check(described(with_field(ref, field.name, WRONG_TYPE[field.kind]))(good)))
    assert f"{kind} {ref}: field {field.name} " in text


RELATIONS: dict[str, tuple[Objects, str]] = {
    "VM of no drive": (with_field("Ref:001", "VM", "Ref:077"), "its VM Ref:077 is not in the file"),
    "no disk": (with_field("Ref:001", "VDI", "Ref:077"), "its disk Ref:077 is not in the file"),
    "disk used by nothing": ([o for o in MADE if o[1] != "Ref:001"], "no drive uses it"),
    "storage not in the file": ([o for o in MADE if o[0] != "SR"], "its storage Ref:004 is not in the file"),
    "network not in the file": ([o for o in MADE if o[0] != "network"], "its network Ref:005 is not in the file"),
    "no VM": ([o for o in MADE if o[0] != "VM"], "describes no VM"),
    "same id twice": ([*MADE, MADE[-1]], "two objects have this id"),
    "attached empty drive": (
        with_field("Ref:002", "currently_attached", True),
        "IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND",
    ),
    "writable CD": (with_field("Ref:002", "mode", "RW"), "a CD drive must be read-only"),
    "two drives at one place": (with_field("Ref:002", "userdevice", "0"), "2 drives are at position 0"),
    "drive at no place": (with_field("Ref:002", "userdevice", "99"), "no position"),
    "two cards with one number": (with_field("Ref:007", "device", "0"), "2 network cards are number 0"),
    "storage of ISOs": (with_field("Ref:004", "content_type", "iso"), "content_type is iso"),
    "huge disk": (with_field("Ref:003", "virtual_size", 1 << 42), "up to 2040 GiB"),
    "memory upside down": (with_field("Ref:000", "memory_static_min", 1 << 40), "memory must rise"),
    "more processors than there are": (with_field("Ref:000", "VCPUs_at_startup", 65), "starts with 65 processors"),
    "UEFI's device model with BIOS": (
        with_field("Ref:000", "platform", {"device-model": "qemu-upstream-uefi"}),
        "cannot run with bios",
    ),
    "half a socket": (with_field("Ref:000", "platform", {"cores-per-socket": "4"}), "do not fill sockets"),
    "PVH": (with_field("Ref:000", "domain_type", "pvh"), "domain_type is 'pvh'"),
    "paravirtual": (with_field("Ref:000", "HVM_boot_policy", ""), "HVM_boot_policy is empty"),
    "long bridge": (with_field("Ref:005", "bridge", "x" * 16), "more than 15 characters"),
}


@pytest.mark.parametrize("case", RELATIONS)
def test_objects_that_do_not_fit_together_are_refused(case: str, good: bytes, check: Check) -> None:
    made, reason = RELATIONS[case]
    assert reason in reasons(check(described(made)(good)))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("xapi_major", 24, "xapi_major 24"),
        ("xapi_minor", 21, "xapi_minor 21"),
        ("export_vsn", 1, "export_vsn is 1"),
        ("export_vsn", 0, "export_vsn is 0"),
    ],
)
def test_a_version_some_host_does_not_take_is_refused(
    name: str, value: int, reason: str, good: bytes, check: Check
) -> None:
    version: dict[str, Value] = {field.name: field.default for field in VERSION} | {name: value}
    assert reason in reasons(check(described(MADE, version)(good)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not XML"),
        (b"<value>", "not XML"),
        (b"<value>5</value>", "no list of objects"),
        (b"<methodCall/>", "stands where <value> should"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><value>&b;</value>', "declares a document type"),
        (b"<value><boolean>false</boolean></value>", "must be 0 or 1"),
    ],
)
def test_a_description_that_cannot_be_read_is_refused(text: bytes, reason: str, good: bytes, check: Check) -> None:
    assert reason in reasons(check(put_together(changed(take_apart(good), "ova.xml", text))))


SURPRISES: dict[str, tuple[Objects, str]] = {
    "own MAC": (with_field("Ref:006", "MAC", "00:16:3e:00:00:01"), "two imports"),
    "MAC seed": (with_field("Ref:000", "other_config", {"mac_seed": "x"}), "DUPLICATE_MAC_SEED"),
    "private bridge": (with_field("Ref:005", "bridge", "xapi1"), "may refuse to create it"),
    "no parent": (with_field("Ref:000", "parent", None), "without the field parent"),
}


@pytest.mark.parametrize("case", SURPRISES)
def test_what_hosts_take_but_administrators_regret_is_noted(case: str, good: bytes, check: Check) -> None:
    made, reason = SURPRISES[case]
    report = check(described(made)(good))
    assert report.accepted and reason in "\n".join(each.reason for each in report.findings)


def test_pythons_xml_rpc_reads_our_description_the_same(good: bytes) -> None:
    import xmlrpc.client

    from image.ova import parse_ova

    text = take_apart(good)[0].content
    (read,), _ = xmlrpc.client.loads(f"<params><param>{text.decode()}</param></params>")
    ours: Parsed = parse_ova(text)
    assert read == ours
