"""Fields of lines written as name=value or name="value", near their beginning."""

import re
from functools import lru_cache

_LOOKED_AT = 2048


@lru_cache(maxsize=64)
def _field(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb'(?:^|[ ,;])%b=(?:"([^"]{1,255})"|([^" ,;]{1,255}))' % name)


def value(data: bytes, name: bytes) -> bytes:
    """Return the value of the field, empty if it is not there."""
    found = _field(name).search(data, 0, _LOOKED_AT)
    return (found[1] or found[2]) if found else b""
