"""What the console asks of the real machine: Loki step by step, name servers, secrets, certificates."""

import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config.load import parse
from appliance.config.model import Loki
from appliance.errors import ApplianceError
from appliance.host.self_test import check_name_servers
from appliance.relay.probe.check import Finding
from tests.loki_double import LokiUnderTest
from tui.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "root")


def test_lines_are_pushed_to_loki_and_counted_back_step_by_step(machine: Machine, loki: LokiUnderTest) -> None:
    findings = list(machine.test_loki(Loki(url=loki.push_url)))
    assert [finding.step for finding in findings][:2] == ["name", "connection"]
    assert findings[-1].step == "push, read" and "12 of 12" in findings[-1].detail
    assert all(finding.ok is not False for finding in findings)
    assert loki.count('{job="appliance-test"}') == 12


def test_a_secret_below_another_root_is_found_there(machine: Machine, loki: LokiUnderTest) -> None:
    path = machine.write_secret("loki-token", "swordfish")
    file = machine.host.layout.at(path)
    assert file.read_text() == "swordfish\n" and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(machine.test_loki(Loki(url=loki.push_url, bearer_token_file=path)))[-1].ok


def test_a_changed_secret_leaves_the_one_in_force_alone(machine: Machine) -> None:
    first = machine.write_secret("loki-password", "old")
    second = machine.write_secret("loki-password", "new")
    assert first != second and machine.host.layout.at(first).read_text() == "old\n"


def test_nobody_there_and_an_unknown_name_are_told_apart(machine: Machine) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        refused = list(machine.test_loki(Loki(url=f"http://127.0.0.1:{port}/loki/api/v1/push")))
    unknown = list(machine.test_loki(Loki(url="http://no-such-host.invalid/loki/api/v1/push")))
    assert (refused[-1].step, refused[-1].ok) == ("connection", False) and refused[-1].remedy
    assert (unknown[-1].step, unknown[-1].ok) == ("name", False) and unknown[-1].remedy


def test_a_limit_of_loki_is_told_as_such(machine: Machine, loki: LokiUnderTest) -> None:
    loki.set_limits(max_streams=1)
    machine.read_back_within = 1.0
    last = list(machine.test_loki(Loki(url=loki.push_url)))[-1]
    assert last.ok is False and "stream" in last.detail and last.remedy


@pytest.fixture
def name_server() -> Iterator[str]:
    """A name server on loopback that answers every question with a refusal."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        try:
            datagrams.bind(("127.0.0.97", 53))
        except OSError as error:
            pytest.skip(f"port 53 is not to be had: {error.strerror}")

        def answer() -> None:
            question, sender = datagrams.recvfrom(512)
            datagrams.sendto(question[:2] + b"\x80\x05" + question[4:], sender)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield "127.0.0.97"


@pytest.mark.parametrize("host", ["loki.example.org", "a" * 70])
def test_a_name_server_that_answers_is_told_from_one_that_does_not(name_server: str, host: str) -> None:
    text = f"loki: {{url: 'http://{host}/loki/api/v1/push'}}\nsystem: {{network: {{dns: ['{name_server}']}}}}\n"
    assert [finding.ok for finding in check_name_servers(parse(text).config)] == [True]


def test_the_network_as_it_is_can_always_be_looked_at(machine: Machine) -> None:
    config = parse("loki: {url: 'http://loki/loki/api/v1/push'}\n").config
    findings = list(machine.test_network(config))
    assert findings and all(isinstance(finding, Finding) for finding in findings)
    assert machine.facts().now > 0
    assert machine.interfaces() == machine.interfaces()


def test_a_certificate_file_that_is_not_there_is_refused_with_its_name(machine: Machine) -> None:
    with pytest.raises(ApplianceError, match=r"/nope\.pem: No such file"):
        machine.import_certificate("/nope.pem", "")
