"""Each dialect becomes one record with its fields by value and its text whole, by a real rsyslogd."""

import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.harness.dialects import DIALECTS, RECEIVED, SENDER, Dialect
from tests.harness.handover_sink import HandoverSink, Record, parse
from tests.harness.net import wait_until
from tests.harness.rsyslog import ApplianceRsyslog, listeners
from tests.harness.senders import send_udp

PARIS = datetime.now(ZoneInfo("Europe/Paris")).utcoffset().total_seconds()  # type: ignore[union-attr]


class Path1:
    """rsyslogd with a UDP listener, its files, and the relay's parser."""

    def __init__(self, rsyslog: ApplianceRsyslog, sink: HandoverSink) -> None:
        assert rsyslog.listen.udp
        self.port, self.sink, self.rsyslog = rsyslog.listen.udp.port, sink, rsyslog

    def through(self, message: bytes) -> Record:
        """The one record that a datagram becomes."""
        before = len(self.sink.records)
        send_udp(self.port, [message])
        wait_until(lambda: len(self.sink.records) > before, what=lambda: self.rsyslog.output)
        time.sleep(0.01)
        assert len(self.sink.records) == before + 1
        return parse(self.sink.records[before], utc_offset=PARIS)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path1]:
    directory: Path = tmp_path_factory.mktemp("dialects")
    rsyslog = ApplianceRsyslog(directory, listeners("udp"), directory / "handover").ready()
    try:
        yield Path1(rsyslog, HandoverSink(directory / "handover"))
    finally:
        rsyslog.close()


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_dialect_becomes_one_record_with_its_text_whole(path: Path1, dialect: Dialect) -> None:
    before = time.time()
    record = path.through(dialect.wire)
    assert record.text == dialect.text
    assert (record.host, record.app, record.process, record.id) == (
        dialect.host,
        dialect.app,
        dialect.process,
        dialect.id,
    )
    assert record.pri == dialect.pri
    assert record.has_zone == (dialect.zone and dialect.time != RECEIVED)
    # rsyslog had no word for what looks like structured data and is none.
    assert tuple(word for word in record.words if word != "structured_data") == dialect.words
    assert record.structured_data == dialect.structured_data
    assert (record.sender, record.input) == (SENDER, "udp")
    assert before - 1 <= record.received <= time.time() + 1
    if dialect.time == RECEIVED:
        assert record.time == ""
    elif dialect.time[-6] in "+-" or dialect.time.endswith("Z"):
        assert record.time == dialect.time
    else:  # the zone is that of rsyslogd, which is not the same all year round
        assert record.time.startswith(dialect.time)
        assert re.fullmatch(r"\+0[12]:00", record.time.removeprefix(dialect.time))


@pytest.mark.parametrize("head", [b"<30>1 2026-11-23T10:00:00Z h p - - - ", b"<30>Nov 23 10:00:00 h p: ", b"<30>", b""])
def test_a_datagram_as_long_as_udp_carries_arrives_whole(path: Path1, head: bytes) -> None:
    text = b"0123456789abcdef" * 4000
    assert path.through(head + text).text == text


def test_any_bytes_behind_a_header_pass_unharmed_but_nul(path: Path1) -> None:
    every = bytes(range(1, 256)) * 4 + b"end"
    assert path.through(b"<30>1 2026-11-23T10:00:00Z h p - - - " + every).text == every
    assert path.through(b"<30>Nov 23 10:00:00 h p: " + every).text == every
