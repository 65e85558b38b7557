"""Structured data of RFC 5424 (section 6.3): recognized, written, taken apart into pairs.

An element without parameters, as in `[warn] text`, is text: no sender uses one to say something, and
many programs begin their lines with a word in brackets.
"""

import re

_NAME = rb'[^\x00-\x20\x7f-\xff=\]"]{1,64}'
# Possessive quantifiers only on single characters: on groups they match wrongly before Python 3.11.5.
_VALUE = rb'"[^"\\]*+(?:\\.[^"\\]*+)*"'
_ELEMENTS = re.compile(rb"(?:\[%b(?: ++%b=%b)+ *+\])+(?!\[)" % (_NAME, _NAME, _VALUE), re.DOTALL)
_ELEMENT = re.compile(rb"\[(%b)((?: ++%b=%b)+) *+\]" % (_NAME, _NAME, _VALUE), re.DOTALL)
_PARAMETER = re.compile(rb" (%b)=(%b)" % (_NAME, _VALUE), re.DOTALL)
_ESCAPE = re.compile(rb'(["\\\]])')
_ESCAPED = re.compile(rb'\\(["\\\]])')


def end_of(data: bytes, start: int) -> int:
    """Return where the structured data that begins at `start` ends, -1 if there is none."""
    found = _ELEMENTS.match(data, start)
    return found.end() if found else -1


def element(name: bytes, *parameters: tuple[bytes, bytes | None]) -> bytes:
    """Return one element with the parameters that have a value, empty without any."""
    written = b"".join(b' %b="%b"' % (key, _ESCAPE.sub(rb"\\\1", value)) for key, value in parameters if value)
    return b"[%b%b]" % (name, written) if written else b""


def pairs(structured_data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return (element, parameter, value) of each parameter, values without their escapes."""
    return [
        (found[1], name, _ESCAPED.sub(rb"\1", value[1:-1]) if b"\\" in value else value[1:-1])
        for found in _ELEMENT.finditer(structured_data)
        for name, value in _PARAMETER.findall(found[2])
    ]
