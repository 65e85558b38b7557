"""`appliance sources xcp-ng --pool`: set on every host over XAPI, undone again, and each first line waited for."""

import hashlib
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.harness.processes import Relay
from tests.harness.xapi_double import PoolDouble

COMMAND = [sys.executable, "-m", "appliance.cli.main", "sources", "xcp-ng"]
NOBODY = "http://127.0.0.1:9/loki/api/v1/push"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pool(authority: trustme.CA) -> Iterator[PoolDouble]:
    double = PoolDouble(["xcp1", "xcp2", "xcp3"], authority=authority)
    yield double
    double.close()


@pytest.fixture
def run(pool: PoolDouble, authority: trustme.CA, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "password").write_text("secret\n")

    def run(*words: object, listener: str = "udp", trusted: bool = True) -> subprocess.CompletedProcess[str]:
        trust = ["--pool-ca", str(tmp_path / "ca.pem")] if trusted else []
        fixed = ["--address", "127.0.0.1", "--listener", listener, "--pool", "127.0.0.1", "--pool-port",
                 str(pool.port), "--password-file", str(tmp_path / "password"), *trust]  # fmt: skip
        return subprocess.run(
            [*COMMAND, *fixed, *map(str, words)], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
        )

    return run


Run = Callable[..., subprocess.CompletedProcess[str]]


def destinations(pool: PoolDouble) -> dict[str, str]:
    return {host["name_label"]: host["logging"].get("syslog_destination", "") for host in pool.hosts.values()}


def test_it_is_a_dry_run_first(pool: PoolDouble, run: Run) -> None:
    pool.hosts["OpaqueRef:host-1"]["logging"]["syslog_destination"] = "192.0.2.200"
    done = run()
    assert done.returncode == 0, done.stderr
    assert "xcp2" in done.stdout and "sends to 192.0.2.200; then 127.0.0.1" in done.stdout
    assert "Nothing was changed" in done.stdout
    assert destinations(pool) == {"xcp1": "", "xcp2": "192.0.2.200", "xcp3": ""}
    assert set(pool.calls) == {"session.login_with_password", "host.get_all_records", "session.logout"}
    assert pool.sessions == set()


def test_every_hosts_first_line_is_waited_for(pool: PoolDouble, run: Run, start_relay: Callable[..., Relay]) -> None:
    relay = start_relay(NOBODY)
    status = f"http://127.0.0.1:{relay.http}/status"
    done = run("--apply", "--status-url", status, "--wait", 30, listener=f"tcp={relay.syslog_tcp}")
    assert done.returncode == 0, done.stderr + done.stdout
    wanted = f"@(o)127.0.0.1:{relay.syslog_tcp};RSYSLOG_SyslogProtocol23Format"
    assert destinations(pool) == dict.fromkeys(("xcp1", "xcp2", "xcp3"), wanted)
    assert pool.remote_conf["xcp1"] == f"*.* @{wanted}\n"
    for name in ("xcp1", "xcp2", "xcp3"):
        assert f"{name}: heard" in done.stdout


def test_who_stays_silent_is_named(pool: PoolDouble, run: Run, start_relay: Callable[..., Relay]) -> None:
    relay = start_relay(NOBODY)
    pool.silent.add("xcp2")
    status = f"http://127.0.0.1:{relay.http}/status"
    done = run("--apply", "--status-url", status, "--wait", 4, listener=f"tcp={relay.syslog_tcp}")
    assert done.returncode == 1
    assert "xcp2: SILENT" in done.stdout and "xcp1: heard" in done.stdout
    assert "no line came from xcp2" in done.stderr


def test_it_can_be_undone_from_any_machine(pool: PoolDouble, run: Run) -> None:
    pool.hosts["OpaqueRef:host-1"]["logging"]["syslog_destination"] = "192.0.2.200"
    before = destinations(pool)
    assert run("--apply", "--wait", 0).returncode == 0
    assert destinations(pool) == dict.fromkeys(before, "127.0.0.1")
    assert run("--apply", "--wait", 0).returncode == 0  # twice: what was there first is what comes back
    done = run("--restore")
    assert "then 192.0.2.200" in done.stdout and destinations(pool)["xcp2"] == "127.0.0.1"
    assert run("--restore", "--apply").returncode == 0
    assert destinations(pool) == before
    assert all(host["other_config"] == {} for host in pool.hosts.values())
    assert pool.remote_conf["xcp1"] == ""


def test_one_hosts_trouble_does_not_stop_the_others(pool: PoolDouble, run: Run) -> None:
    pool.offline.add("xcp2")
    done = run("--apply", "--wait", 0)
    assert done.returncode == 1 and "xcp2: FAILED: host.syslog_reconfigure: HOST_OFFLINE" in done.stdout
    assert "1 of 3 hosts" in done.stderr
    assert destinations(pool) == {"xcp1": "127.0.0.1", "xcp2": "", "xcp3": "127.0.0.1"}
    assert pool.hosts["OpaqueRef:host-1"]["other_config"] == {}
    pool.offline.clear()
    assert run("--apply", "--wait", 0).returncode == 0
    assert destinations(pool)["xcp2"] == "127.0.0.1" and pool.remote_conf["xcp2"] == "*.* @127.0.0.1\n"


def test_a_certificate_that_is_not_trusted_gets_no_password(pool: PoolDouble, run: Run) -> None:
    done = run(trusted=False)
    assert done.returncode == 1 and "is not trusted" in done.stderr and "--fingerprint" in done.stderr
    assert pool.calls == []


def test_a_fingerprint_is_enough_and_another_one_is_refused(pool: PoolDouble, run: Run) -> None:
    pem = pool.certificate.cert_chain_pems[0].bytes().decode()
    seen = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    with_colons = ":".join(seen[number : number + 2] for number in range(0, 64, 2))
    assert run("--fingerprint", with_colons, trusted=False).returncode == 0
    pool.calls.clear()
    done = run("--fingerprint", "0" * 64, trusted=False)
    assert done.returncode == 1 and "shows another certificate" in done.stderr and pool.calls == []
    assert run("--fingerprint", "xyz", trusted=False).returncode == 2


def test_a_member_of_the_pool_names_its_coordinator_which_is_followed(pool: PoolDouble, run: Run) -> None:
    pool.slave_of = "127.0.0.1"
    assert run().returncode == 0
    pool.slave_of = "127.0.0.1"
    pem = pool.certificate.cert_chain_pems[0].bytes().decode()
    done = run("--fingerprint", hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest(), trusted=False)
    assert done.returncode == 1 and "--pool 127.0.0.1" in done.stderr  # another host has another certificate


def test_xapis_refusals_are_sentences_with_a_hint(pool: PoolDouble, run: Run, tmp_path: Path) -> None:
    pool.read_only = True
    done = run("--apply", "--wait", 0)
    assert done.returncode == 1 and "RBAC_PERMISSION_DENIED" in done.stdout
    (tmp_path / "password").write_text("wrong\n")
    done = run()
    assert done.returncode == 1 and "SESSION_AUTHENTICATION_FAILED" in done.stderr and "hint: " in done.stderr
    assert "wrong" not in done.stderr + done.stdout
    done = subprocess.run(
        [*COMMAND, "--address", "192.0.2.9", "--pool", "127.0.0.1", "--pool-port", "9", "--password-file",
         str(tmp_path / "password")], capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and "cannot be reached" in done.stderr


def test_without_a_status_to_read_nothing_is_changed(pool: PoolDouble, run: Run) -> None:
    done = run("--apply", "--status-url", "http://127.0.0.1:9/status")
    assert done.returncode == 1 and "does not say who sends" in done.stderr
    assert destinations(pool) == dict.fromkeys(("xcp1", "xcp2", "xcp3"), "")
