"""Sparse disks and XVAs for tests: made, taken apart by a reader of its own, damaged on purpose."""

import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

MiB = 1 << 20


def sparse_disk(path: Path, size: int, pieces: Iterable[tuple[int, bytes]]) -> bytes:
    """Write a raw disk with `pieces` (offset, content) in a hole; returns its whole content."""
    content = bytearray(size)
    with path.open("wb") as file:
        file.truncate(size)
        for offset, piece in pieces:
            piece = piece[: size - offset]
            file.seek(offset)
            file.write(piece)
            content[offset : offset + len(piece)] = piece
    return bytes(content)


def read_back(xva: bytes) -> bytes:
    """The disk in an XVA, by Python's tarfile and plain rules: independent of our own reader."""
    import xmlrpc.client

    assert xva[-1024:] == bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(xva)) as tar:
        members = tar.getmembers()
        contents = [tar.extractfile(member).read() for member in members]  # type: ignore[union-attr]
    assert members[0].name == "ova.xml"
    text = contents[0].decode()
    (described,), _ = xmlrpc.client.loads(f"<params><param>{text}</param></params>")
    sizes = [o["snapshot"]["virtual_size"] for o in described["objects"] if o["class"] == "VDI"]  # type: ignore[index,call-overload,union-attr]
    disk = bytearray(int(sizes[0]))
    for index in range(1, len(members), 2):
        number = int(members[index].name.removeprefix("Ref:003/"))
        assert members[index + 1].name == members[index].name + ".checksum"
        assert contents[index + 1].decode() == hashlib.sha1(contents[index]).hexdigest()
        disk[number * MiB : (number + 1) * MiB] = contents[index]
    return bytes(disk)


@dataclass(frozen=True)
class Item:
    """An entry of an XVA, to be moved, changed or left out."""

    name: str
    content: bytes
    kind: bytes = b"0"


def take_apart(xva: bytes) -> list[Item]:
    with tarfile.open(fileobj=io.BytesIO(xva)) as tar:
        return [Item(member.name, tar.extractfile(member).read()) for member in tar.getmembers()]  # type: ignore[union-attr]


def put_together(items: Iterable[Item], end: bytes = bytes(1024)) -> bytes:
    """A tar of `items` in their order, with nothing made right."""
    parts = []
    for item in items:
        entry = tarfile.TarInfo(item.name)
        entry.size, entry.type, entry.mode = len(item.content), item.kind, 0o400
        parts += [entry.tobuf(tarfile.USTAR_FORMAT), item.content, bytes(-len(item.content) % 512)]
    return b"".join(parts) + end


def changed(items: list[Item], name: str, content: bytes) -> list[Item]:
    assert any(item.name == name for item in items)
    return [replace(item, content=content) if item.name == name else item for item in items]


def summed(items: list[Item]) -> list[Item]:
    """Checksums made right again after a chunk was changed."""
    contents = {item.name: item.content for item in items}
    return [
        replace(item, content=hashlib.sha1(contents[item.name.removesuffix(".checksum")]).hexdigest().encode())
        if item.name.endswith(".checksum")
        else item
        for item in items
    ]
