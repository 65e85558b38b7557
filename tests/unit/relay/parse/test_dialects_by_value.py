"""Every dialect that the appliance has promised to read becomes the same record by the parser alone."""

import time

import pytest

from appliance.relay.parse import read
from tests.harness.dialects import DIALECTS, RECEIVED, SENDER, Dialect, local_offset


def _offset() -> float:
    text = local_offset()
    return (int(text[1:3]) * 3600 + int(text[4:]) * 60) * (-1 if text[0] == "-" else 1)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_dialect_becomes_one_record_with_its_text_whole(dialect: Dialect) -> None:
    record = read(dialect.wire, time.time(), utc_offset=_offset())
    assert record.text.replace(b"\0", b"#000") == dialect.text  # the relay writes NUL so, behind the parser
    assert (record.host, record.application, record.process, record.message_id) == (
        b"-" if dialect.host == SENDER else dialect.host.encode(),
        dialect.app.encode(),
        dialect.process.encode(),
        dialect.id.encode(),
    )
    assert record.priority == dialect.pri
    # What is not well-formed structured data is named by the relay in both ways; rsyslog has no word for it.
    assert tuple(word for word in record.words if word != "structured_data") == dialect.words
    assert record.structured_data == dialect.structured_data
    if dialect.time == RECEIVED:
        assert record.stamp == b""
        return
    assert record.has_zone == dialect.zone
    stamp = record.stamp.decode()
    if dialect.time[-6] in "+-" or dialect.time.endswith("Z"):
        assert stamp == dialect.time
    else:
        assert stamp == dialect.time + local_offset()
