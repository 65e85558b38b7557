"""When a certificate begins and ends, read from its DER without a cryptography library.

Just enough of X.509 (RFC 5280, section 4.1) for status and metrics, which must be light; whether a
certificate is sound is judged elsewhere.
"""

import base64
import binascii
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.config.model import Config

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0


def read_dates(path: Path) -> tuple[datetime, datetime]:
    """Return the beginning and end of the first certificate in a PEM file.

    Raise OSError when the file cannot be read, ValueError when there is no certificate in it.
    """
    return dates(path.read_bytes())


def dates(pem: bytes) -> tuple[datetime, datetime]:
    """Return the beginning and end of the first certificate. Raise ValueError when there is none."""
    match = _PEM.search(pem)
    if not match:
        raise ValueError("no certificate in PEM form")
    try:
        der = base64.b64decode(match[1])
        body = _content(_content(der, _SEQUENCE), _SEQUENCE)
        at = 0
        if body[0] == _VERSION:
            at = _end(body, at)
        for _ in range(3):  # serial number, signature algorithm, issuer
            at = _end(body, at)
        validity = _content(body[at:], _SEQUENCE)
        return _time(validity, 0), _time(validity, _end(validity, 0))
    except (IndexError, binascii.Error) as error:
        raise ValueError("a damaged certificate") from error


def _header(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the element at `at` begins, and its length."""
    first = data[at + 1]
    if first < 0x80:
        return at + 2, first
    count = first & 0x7F
    if not 1 <= count <= 4:
        raise ValueError("a damaged certificate")
    return at + 2 + count, int.from_bytes(data[at + 2 : at + 2 + count], "big")


def _end(data: bytes, at: int) -> int:
    start, length = _header(data, at)
    if start + length > len(data):
        raise ValueError("a damaged certificate")
    return start + length


def _content(data: bytes, tag: int) -> bytes:
    if data[0] != tag:
        raise ValueError("a damaged certificate")
    start, length = _header(data, 0)
    if start + length > len(data):
        raise ValueError("a damaged certificate")
    return data[start : start + length]


def _time(data: bytes, at: int) -> datetime:
    start, length = _header(data, at)
    text = data[start : start + length].decode("ascii", "replace")
    if data[at] == _UTC_TIME:  # two digits of the year: 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    elif data[at] != _GENERALIZED_TIME:
        raise ValueError("a damaged certificate")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def expiries(config: "Config") -> dict[str, float]:
    """Return when each certificate in use ends (Unix seconds), by its file; unreadable ones are left out."""
    listeners = (config.listeners.tls, config.listeners.relp_tls)
    files = [listener.tls.cert_file for listener in listeners if listener is not None]
    files += [config.loki.tls.cert_file] if config.loki.tls.cert_file else []
    found = {}
    for file in files:
        try:
            found[file] = read_dates(Path(file))[1].timestamp()
        except (OSError, ValueError):
            continue  # `appliance status` and `check` say so; a scrape is no place to fail
    return found
