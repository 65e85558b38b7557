"""How control characters stand in hand-over lines, and back (`inputs.Escaping`)."""

import re

_OCTAL = re.compile(rb"\x01([0-3][0-7]{2})")
_JSON_ESCAPED = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|([\"\\/bfnrt]))")
_JSON_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def from_octal(text: bytes) -> bytes:
    """The text with its control characters, which stood there as `inputs.Escaping.OCTAL`."""
    return _OCTAL.sub(lambda found: bytes((int(found[1], 8),)), text) if b"\1" in text else text


def _json_character(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return chr(int(found[1], 16)).encode("utf-8", "surrogatepass")
    return _JSON_LETTERS.get(found[2], found[2])


def from_json(text: bytes) -> bytes:
    """The text of a JSON string (RFC 8259 section 7); what is no escape in it stays as it is."""
    return _JSON_ESCAPED.sub(_json_character, text) if b"\\" in text else text
