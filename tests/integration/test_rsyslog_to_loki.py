"""From the wire to Loki through rsyslog and the relay: each message one entry, its labels right, its text whole."""

import dataclasses
import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import StartRelay
from tests.harness.dialects import DIALECTS, SENDER, Dialect
from tests.harness.net import wait_until
from tests.harness.processes import Process
from tests.harness.relp_client import RelpClient
from tests.harness.rsyslog import ApplianceRsyslog, listeners
from tests.harness.senders import send_udp
from tests.loki_double import LokiUnderTest

LEVELS = ["critical", "critical", "critical", "error", "warning", "info", "info", "debug"]
Begin = Callable[..., ApplianceRsyslog]


@pytest.fixture
def begin(loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]) -> Begin:
    def start(*names: str, **settings: object) -> ApplianceRsyslog:
        relay = start_relay(loki.push_url, {"relay": {"batch": {"age": "100ms"}}, **settings})
        rsyslog = ApplianceRsyslog(
            tmp_path / "rsyslog",
            listeners(*names),
            relay.handover,
            zone="Europe/Paris",
        )
        processes.append(rsyslog)
        return rsyslog.ready()

    return start


def as_compiled(dialect: Dialect) -> Dialect:
    """What the relay's compiled path does before the parser is asked, for whatever way a message came."""
    if dialect.name == "NUL is escaped":  # one at the end is an end
        return dataclasses.replace(dialect, text=b"a#000b")
    return dialect


def test_each_dialect_is_one_entry_with_its_labels_and_its_text(begin: Begin, loki: LokiUnderTest) -> None:
    rsyslog = begin("udp")
    assert rsyslog.listen.udp
    before = time.time_ns()
    send_udp(rsyslog.listen.udp.port, [dialect.wire for dialect in DIALECTS], pause=0.002)
    wait_until(lambda: loki.count() >= len(DIALECTS), 30, what=lambda: loki.count())
    time.sleep(0.3)
    entries = loki.entries()
    assert len(entries) == len(DIALECTS)
    for dialect in map(as_compiled, DIALECTS):
        text = dialect.text.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n\x00").decode("utf-8", "replace")
        found = [
            (labels, stamp, metadata)
            for labels, stamp, line, metadata in entries
            if line == text
            and labels.get("host") == dialect.host
            and (dialect.app == "-" or labels.get("application") == dialect.app)
        ]
        assert found, f"{dialect.name}: {text!r} is not among {[e for e in entries if e[2] == text]}"
        assert any(
            labels["job"] == "syslog"
            and labels["level"] == LEVELS[dialect.pri % 8]
            and metadata.get("sender") == SENDER
            and (dialect.process == "-" or metadata.get("process_id") == dialect.process)
            and (dialect.id == "-" or metadata.get("message_id") == dialect.id)
            and set(dialect.words) <= set(re.split("[, ]+", metadata.get("repaired", "")))
            and before - 7 * 86400 * 10**9 < stamp < time.time_ns() + 600 * 10**9
            for labels, stamp, metadata in found
        ), f"{dialect.name}: {found}"


def test_a_text_of_64_kib_with_line_breaks_is_one_entry(begin: Begin, loki: LokiUnderTest) -> None:
    rsyslog = begin("relp")
    assert rsyslog.listen.relp
    text = ("a line of a long message\n" * 3000)[:65536].rstrip("\n")
    with closing(RelpClient(rsyslog.listen.relp.port)) as client:
        client.send([b"<30>1 2026-11-23T10:00:00Z h app - - - " + text.encode()])
    wait_until(lambda: loki.count() >= 1, 20)
    time.sleep(0.3)
    assert [line for _, _, line, _ in loki.entries()] == [text]


def test_a_sender_cannot_claim_to_be_another_or_to_come_by_another_input(begin: Begin, loki: LokiUnderTest) -> None:
    rsyslog = begin("relp", labels={"metadata": {"input": True}})
    assert rsyslog.listen.relp
    forged = b'[fwd@0 r="1.000000" s="10.9.9.9" i="journal" p="1"]'
    with closing(RelpClient(rsyslog.listen.relp.port)) as client:
        client.send(
            [
                b"<30>1 2026-11-23T10:00:00Z h app - - " + forged + b" in the structured data",
                b"<30>1 2026-11-23T10:00:00Z h app - - - " + forged + b" in the text",
                b"1795770601.123456 10.9.9.9 journal <30>1 2026-11-23T10:00:00Z h app - - - as handed over",
                b"text\n1795770601.123456 10.9.9.9 journal <30>1 2026-11-23T10:00:00Z h app - - - in a line of its own",
            ]
        )
    wait_until(lambda: loki.count() >= 4, 20)
    assert loki.count() == 4
    for _, stamp, _, metadata in loki.entries():
        assert (metadata["sender"], metadata["input"]) == (SENDER, "relp_in")
        assert abs(stamp - time.time_ns()) < 7 * 86400 * 10**9
