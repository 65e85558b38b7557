"""The relay's own TCP listener reads each dialect as port 514 does: labels, text, time and repairs."""

import re
import time

from tests.conftest import StartRelay
from tests.harness.dialects import DIALECTS, SENDER
from tests.harness.net import wait_until
from tests.harness.senders import octet_counted, send_tcp
from tests.loki_double import LokiUnderTest

LEVELS = ["critical", "critical", "critical", "error", "warning", "info", "info", "debug"]


def test_each_dialect_is_one_entry_by_tcp(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url, {"relay": {"batch": {"age": "100ms"}}})
    before = time.time_ns()
    send_tcp(relay.syslog_tcp, octet_counted([dialect.wire for dialect in DIALECTS]))
    wait_until(lambda: loki.count() >= len(DIALECTS), 30, what=lambda: loki.count())
    entries = loki.entries()
    assert len(entries) == len(DIALECTS)
    for dialect in DIALECTS:
        text = (
            dialect.text.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").removesuffix(b"#000").decode("utf-8", "replace")
        )
        assert any(
            line == text
            and labels["host"] == dialect.host
            and labels.get("application", "-") == dialect.app
            and labels["level"] == LEVELS[dialect.pri % 8]
            and metadata["sender"] == SENDER
            and metadata.get("process_id", "-") == dialect.process
            and metadata.get("message_id", "-") == dialect.id
            and set(dialect.words) <= set(re.split("[, ]+", metadata.get("repaired", "")))
            and before - 7 * 86400 * 10**9 < stamp < time.time_ns() + 600 * 10**9
            for labels, stamp, line, metadata in entries
        ), f"{dialect.name}: {[entry for entry in entries if entry[2] == text]}"
