"""Protobuf by single values, for what is made once for many messages; and names that Loki takes."""


def varint(value: int) -> bytes:
    """Protobuf's variable-length integer."""
    if 0 <= value < 0x80:
        return _ONE_BYTE[value]
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_pair(name: bytes, value: bytes) -> bytes:
    """One pair of structured metadata, as the field of an entry."""
    inner = b"\x0a" + varint(len(name)) + name + b"\x12" + varint(len(value)) + value
    return b"\x1a" + varint(len(inner)) + inner


_ONE_BYTE = [bytes([value]) for value in range(128)]


_NAME_TABLE = bytes(c if chr(c).isascii() and (chr(c).isalnum() or c == 95) else 95 for c in range(256))


def valid_name(name: bytes) -> bytes:
    """A name that Loki and its query language take: letters, digits and _, no digit first."""
    name = name.translate(_NAME_TABLE)
    return b"_" + name if name[:1].isdigit() or not name else name
