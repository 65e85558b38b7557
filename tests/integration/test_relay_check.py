"""`appliance relay check` against a Loki that is well, and against each that is not: cause and remedy."""

import datetime
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
import trustme

from appliance.config.load import load, parse
from appliance.config.model import Config
from appliance.relay.probe.check import Finding, check_relay
from tests.conftest import StartRelay
from tests.harness.net import free_port
from tests.loki_double import InProcessLoki


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def double() -> Iterator[InProcessLoki]:
    loki = InProcessLoki()
    yield loki
    loki.close()


def configuration(tmp_path: Path, url: str, loki: str = "", relay: str = "") -> Config:
    spool = f"  spool: {{path: {tmp_path / 'spool'}, max_size: 16MiB, min_free: 1MiB}}\n"
    return parse(f"loki:\n  url: {url}\n{loki}relay:\n{spool}{relay}").config


def findings(config: Config) -> dict[str, Finding]:
    return {finding.step: finding for finding in check_relay(config)}


def test_a_relay_that_can_run_has_a_tick_for_every_step(double: InProcessLoki, tmp_path: Path) -> None:
    port = free_port()
    found = findings(configuration(tmp_path, double.push_url, relay=f"  listen: {{push: '127.0.0.1:{port}'}}\n"))
    assert {step: finding.ok for step, finding in found.items()} == {
        "spool": True,
        "relay.listen.push": True,
        "name": True,
        "connection": True,
        "ready": True,
        "authentication": True,
        "queries": True,
    }
    assert double.count() == 0, "a check must not push anything"
    assert not (tmp_path / "spool").exists(), "a check must not change anything"


def test_a_name_that_does_not_resolve_ends_the_check_there(tmp_path: Path) -> None:
    found = findings(configuration(tmp_path, "http://loki.invalid:3100/loki/api/v1/push"))
    assert found["name"].ok is False
    assert "DNS" in found["name"].remedy
    assert "connection" not in found


def test_a_port_that_nobody_serves_is_said(tmp_path: Path) -> None:
    found = findings(configuration(tmp_path, f"http://127.0.0.1:{free_port()}/loki/api/v1/push"))
    assert found["connection"].ok is False
    assert "refused" in found["connection"].detail
    assert "authentication" not in found


def test_a_sound_certificate_is_shown_with_names_and_expiry(authority: trustme.CA, tmp_path: Path) -> None:
    loki = InProcessLoki(tls=server_tls(authority.issue_cert("127.0.0.1", "loki.example.org")))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    found = findings(configuration(tmp_path, loki.push_url, f"  tls: {{ca_file: {tmp_path / 'ca.pem'}}}\n"))
    loki.close()
    assert found["TLS"].ok is True
    assert "loki.example.org" in found["TLS"].detail
    assert "valid until 3000-01-01" in found["TLS"].detail
    assert found["authentication"].ok is True


@pytest.mark.parametrize(
    ("names", "days", "tls", "words", "remedy"),
    [
        (("127.0.0.1",), 365, "{}", "issuer", "ca_file"),
        (("other.example.org",), 365, "{ca_file: CA}", "IP address mismatch", "server_name"),
        (("127.0.0.1",), -1, "{ca_file: CA}", "expired", "renew"),
        (("127.0.0.1",), 10, "{ca_file: CA}", "valid until", "days are left"),
        (("127.0.0.1",), 365, "{insecure_skip_verify: true}", "not verified", "ca_file"),
        (("127.0.0.1",), 365, "{ca_file: /nowhere/ca.pem}", "/nowhere/ca.pem", "check the file"),
    ],
)
def test_a_certificate_that_is_not_sound_is_said_with_its_remedy(
    authority: trustme.CA, tmp_path: Path, names: tuple[str, ...], days: int, tls: str, words: str, remedy: str
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    certificate = authority.issue_cert(
        *names, not_before=now - datetime.timedelta(days=30), not_after=now + datetime.timedelta(days=days)
    )
    loki = InProcessLoki(tls=server_tls(certificate))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    found = findings(configuration(tmp_path, loki.push_url, f"  tls: {tls.replace('CA', str(tmp_path / 'ca.pem'))}\n"))
    loki.close()
    finding = found["TLS"]
    assert finding.ok is not True
    assert words in finding.detail
    assert remedy in finding.remedy


def test_the_name_of_the_certificate_may_be_another_than_the_urls(authority: trustme.CA, tmp_path: Path) -> None:
    loki = InProcessLoki(tls=server_tls(authority.issue_cert("loki.example.org")))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = f"  tls: {{ca_file: {tmp_path / 'ca.pem'}, server_name: loki.example.org}}\n"
    found = findings(configuration(tmp_path, loki.push_url, tls))
    loki.close()
    assert (found["TLS"].ok, found["authentication"].ok) == (True, True)


def test_credentials_that_loki_does_not_take_are_said(double: InProcessLoki, tmp_path: Path) -> None:
    double.front.access.bearer = "right"
    token = tmp_path / "token"
    token.write_text("wrong\n")
    token.chmod(0o600)
    config = configuration(tmp_path, double.push_url, f"  bearer_token_file: {token}\n")
    found = findings(config)
    assert found["authentication"].ok is False
    assert "401" in found["authentication"].detail
    assert "bearer_token_file" in found["authentication"].remedy
    assert "wrong" not in found["authentication"].detail
    token.write_text("right\n")
    assert findings(config)["authentication"].ok is True


def test_a_missing_tenant_is_said(tmp_path: Path) -> None:
    loki = InProcessLoki(multi_tenant=True)
    without = findings(configuration(tmp_path, loki.push_url))["authentication"]
    tenant = findings(configuration(tmp_path, loki.push_url, "  tenant: office\n"))["authentication"]
    loki.close()
    assert without.ok is False
    assert "loki.tenant" in without.remedy
    assert tenant.ok is True


def test_a_path_that_takes_no_pushes_is_said(double: InProcessLoki, tmp_path: Path) -> None:
    found = findings(configuration(tmp_path, double.base_url + "/push"))
    assert found["authentication"].ok is False
    assert "path" in found["authentication"].remedy


def test_a_secret_that_is_missing_or_open_to_others_is_said(double: InProcessLoki, tmp_path: Path) -> None:
    token = tmp_path / "token"
    config = configuration(tmp_path, double.push_url, f"  bearer_token_file: {token}\n")
    assert findings(config)["secrets"].ok is False
    token.write_text("secret")
    token.chmod(0o644)
    finding = findings(config)["secrets"]
    assert finding.ok is None
    assert finding.remedy == f"chmod 600 {token}"


def test_a_port_in_use_is_said(double: InProcessLoki, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = findings(configuration(tmp_path, double.push_url, relay=f"  listen: {{relp: '127.0.0.1:{port}'}}\n"))
    assert found["relay.listen.relp"].ok is False
    assert "in use" in found["relay.listen.relp"].detail


def test_a_relay_that_is_running_is_no_fault(double: InProcessLoki, tmp_path: Path, start_relay: StartRelay) -> None:
    relay = start_relay(double.push_url)
    config = load(relay.config_file)
    found = findings(config)
    assert found["relay.listen.push"].ok is True
    assert "running" in found["relay.listen.push"].detail


def test_an_address_of_another_machine_is_said(double: InProcessLoki, tmp_path: Path) -> None:
    found = findings(
        configuration(tmp_path, double.push_url, relay="  listen: {push: '192.0.2.1:3500'}\n  push: {anyone: true}\n")
    )
    assert found["relay.listen.push"].ok is False
    assert "address of this machine" in found["relay.listen.push"].remedy


def test_a_spool_that_cannot_be_or_has_no_room_is_said(double: InProcessLoki, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    text = f"loki:\n  url: {double.push_url}\nrelay:\n  spool: {{path: {tmp_path}/%s, min_free: %s, max_size: %s}}\n"
    assert findings(parse(text % ("file/spool", "1MiB", "16MiB")).config)["spool"].ok is False
    assert findings(parse(text % ("", "1000TiB", "16MiB")).config)["spool"].ok is False
    narrow = findings(parse(text % ("spool", "1MiB", "1000TiB")).config)["spool"]
    assert narrow.ok is None
    assert "max_size" in narrow.remedy


def test_the_room_that_the_spools_reserve_wants_is_looked_at(double: InProcessLoki, tmp_path: Path) -> None:
    text = f"loki:\n  url: {double.push_url}\nrelay:\n  spool: {{path: {tmp_path}/spool, max_size: 16MiB, %s}}\n"
    tight = findings(parse(text % "min_free: 1MiB, reserve: 1000TiB").config)["spool"]
    assert tight.ok is None and "its reserve of 1000TiB" in tight.detail
    never_used = findings(parse(text % "min_free: 1MiB, reserve: 1000TiB, when_full: drop_oldest").config)["spool"]
    assert never_used.ok is True
    assert findings(parse(text % "min_free: 2MiB, reserve: 1MiB").config)["spool"].ok is True


def test_the_command_shows_ticks_and_crosses_and_its_exit_code_tells(double: InProcessLoki, tmp_path: Path) -> None:
    file = tmp_path / "appliance.yaml"
    spool = f"{{path: {tmp_path}/spool, max_size: 16MiB, min_free: 1MiB}}"
    file.write_text(
        f"loki:\n  url: {double.push_url}\nrelay:\n  listen: {{push: ':0'}}\n"
        f"  push: {{anyone: true}}\n  spool: {spool}\n"
    )
    command = [sys.executable, "-m", "appliance.cli.main", "relay", "check", "--config", str(file)]
    # No terminal: it does not ask, and pushes nothing.
    well = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    assert well.returncode == 0, well.stderr
    assert "OK        authentication" in well.stdout
    assert double.count() == 0
    double.fault("refuse")
    ill = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    assert ill.returncode == 1
    assert "CRITICAL  connection" in ill.stdout
    assert ill.stderr.startswith("error: 1 check failed\n")


def test_a_line_is_pushed_only_when_asked_for_and_then_read_back(double: InProcessLoki, tmp_path: Path) -> None:
    file = tmp_path / "appliance.yaml"
    spool = f"{{path: {tmp_path}/spool, max_size: 16MiB, min_free: 1MiB}}"
    file.write_text(
        f"loki:\n  url: {double.push_url}\nrelay:\n  listen: {{push: ':0'}}\n"
        f"  push: {{anyone: true}}\n  spool: {spool}\n"
    )
    command = ["-m", "appliance", "relay", "check", "--config", str(file)]
    # On a terminal it asks, and no is an answer.
    terminal = pexpect.spawn(sys.executable, command, encoding="utf-8", timeout=30)
    terminal.expect_exact("Push a test line to Loki")
    terminal.sendline("n")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert (terminal.exitstatus, double.count()) == (0, 0)
    pushed = subprocess.run(
        [sys.executable, *command, "--push"], capture_output=True, text=True, check=False, timeout=60
    )
    assert pushed.returncode == 0, pushed.stderr
    assert "OK        count: 1 of 1 entries" in pushed.stdout
    assert double.count() == 1
    double.fault("status", status=500)
    refused = subprocess.run(
        [sys.executable, *command, "--push"], capture_output=True, text=True, check=False, timeout=60
    )
    assert refused.returncode == 1
