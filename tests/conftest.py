"""Fixtures shared by all tests: a Loki, the relay and rsyslogd as processes, all ended afterwards.

`LOKI_BIN=/path/to/loki` puts a real Loki in the place of the double, behind the same fault layer.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.harness.certificates import of_loopback
from tests.harness.processes import Process, Relay, Rsyslogd
from tests.harness.rsyslog import ApplianceRsyslog, listeners
from tests.loki_double import InProcessLoki, LokiProcess, LokiUnderTest, RealLoki, real_loki_binary


@pytest.fixture
def loki() -> Iterator[LokiUnderTest]:
    """A Loki with default limits and no rate for the tenant."""
    binary = real_loki_binary()
    under_test: LokiUnderTest = RealLoki(binary) if binary else InProcessLoki()
    yield under_test
    under_test.close()


@pytest.fixture
def loki_process() -> Iterator[LokiUnderTest]:
    """The same in a process of its own, for tests under load."""
    binary = real_loki_binary()
    under_test: LokiUnderTest = RealLoki(binary) if binary else LokiProcess()
    yield under_test
    under_test.close()


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    """Whatever is put in here is ended after the test, the last first."""
    started: list[Process] = []
    yield started
    for process in reversed(started):
        process.close()


StartRelay = Callable[..., Relay]
StartRsyslog = Callable[..., tuple[Rsyslogd, int, int]]


@pytest.fixture
def start_relay(tmp_path: Path, processes: list[Process]) -> StartRelay:
    """start_relay(loki_url, settings=…, env=…, name=…, up=True) -> Relay."""

    def start(
        loki_url: str,
        settings: Mapping[str, Any] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        name: str = "relay",
        up: bool = True,
    ) -> Relay:
        relay = Relay(tmp_path / name, loki_url, settings, env=env)
        processes.append(relay)
        return relay.up() if up else relay

    return start


@pytest.fixture
def start_rsyslog(tmp_path: Path, processes: list[Process]) -> StartRsyslog:
    """start_rsyslog(relay) -> (the appliance's rsyslogd, its TLS port, its RELP port)."""

    def start(relay: Relay, *, name: str = "rsyslog") -> tuple[Rsyslogd, int, int]:
        listen = listeners("tls", "relp", tls=of_loopback().wanting("none"))
        assert listen.tls and listen.relp
        rsyslogd = ApplianceRsyslog(tmp_path / name, listen, relay.handover)
        processes.append(rsyslogd)
        rsyslogd.ready()
        return rsyslogd, listen.tls.port, listen.relp.port

    return start
