"""What recipes print is judged by the program that will read it: rsyslogd, syslog-ng, haproxy, and JSON's parser."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import trustme

from appliance.sources.forwarder import Forwarder, Transport, assumed
from appliance.sources.recipe import fill_in
from appliance.sources.register import kinds

RSYSLOG: list[Transport] = ["relp_tls", "relp", "tls", "tcp", "udp"]
PORT = 40123


def lines_of(kind: str, at: Forwarder, title: str = "") -> list[str]:
    return list(next(v for v in fill_in(kinds()[kind], at).variants if v.title.startswith(title)).lines)


def body(lines: list[str], file: str) -> str:
    begin = next(i for i, line in enumerate(lines) if line == f"cat > {file} <<'END'")
    return "\n".join(lines[begin + 1 : lines.index("END", begin)]) + "\n"


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/bin")
    if found is None:
        pytest.skip(f"{name} is not installed here")
    return found


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """Where the recipes' certificates really are in this test."""
    authority = trustme.CA()
    client = authority.issue_cert("client.example.org")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.crt")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    return {
        "/etc/ssl/forwarder-ca.crt": str(tmp_path / "ca.crt"),
        "/etc/ssl/forwarder-client.crt": str(tmp_path / "client.crt"),
        "/etc/ssl/forwarder-client.key": str(tmp_path / "client.key"),
    }


def placed(text: str, certificates: dict[str, str]) -> str:
    for written, real in certificates.items():
        text = text.replace(written, real)
    return text


@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("kind", ["linux", "proxmox"])
@pytest.mark.parametrize("address", ["192.0.2.9", "2001:db8::9"])
@pytest.mark.parametrize("transport", RSYSLOG)
def test_rsyslogd_takes_the_drop_in(
    transport: Transport, address: str, kind: str, client: bool, certificates: dict[str, str], tmp_path: Path
) -> None:
    found = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin")
    assert found, "rsyslog is needed to judge what we tell people to paste"
    at = Forwarder(address, "fwd.example.org", wants_client_certificate=client, **{transport: PORT})
    drop_in = placed(body(lines_of(kind, at), "/etc/rsyslog.d/90-forwarder.conf"), certificates)
    assert str(PORT) in drop_in
    conf = tmp_path / "rsyslog.conf"
    conf.write_text(f'global(workDirectory="{tmp_path}")\n{drop_in}')
    done = subprocess.run([found, "-N1", "-f", conf], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("address", ["192.0.2.9", "2001:db8::9"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_rsyslogd_takes_what_xcp_ng_makes_of_the_destination(
    transport: Transport, address: str, tmp_path: Path
) -> None:
    found = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin")
    assert found
    (line,) = [line for line in lines_of("xcp-ng", assumed(address, {transport: 514})) if "=$uuid 'logging" in line]
    destination = line.partition("destination=")[2].removesuffix("'")
    conf = tmp_path / "rsyslog.conf"
    # As xe-syslog-reconfigure writes it.
    conf.write_text(f"*.* @{destination}\n")
    done = subprocess.run([found, "-N1", "-f", conf], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "rror" not in done.stderr, done.stderr


@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("address", ["192.0.2.9", "2001:db8::9"])
@pytest.mark.parametrize("transport", ["tls", "tcp", "udp"])
def test_syslog_ng_takes_the_destination(
    transport: Transport, address: str, client: bool, certificates: dict[str, str], tmp_path: Path
) -> None:
    found = program("syslog-ng")
    at = Forwarder(address, "fwd.example.org", wants_client_certificate=client, **{transport: PORT})
    drop_in = placed(body(lines_of("syslog-ng", at), "/etc/syslog-ng/conf.d/forwarder.conf"), certificates)
    conf = tmp_path / "syslog-ng.conf"
    conf.write_text(f"@version: 3.38\nsource s_src {{ internal(); }};\n{drop_in}")
    done = subprocess.run(
        [found, "--syntax-only", "--no-caps", "-f", conf, "-R", tmp_path / "persist", "-c", tmp_path / "control"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("address", ["192.0.2.9", "2001:db8::9"])
@pytest.mark.parametrize("transport", ["tls", "tcp", "udp"])
def test_haproxy_takes_its_lines(
    transport: Transport, address: str, certificates: dict[str, str], tmp_path: Path
) -> None:
    found = program("haproxy")
    at = Forwarder(address, "localhost", **{transport: PORT})
    conf = tmp_path / "haproxy.cfg"
    timeouts = "    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n"
    web = "frontend web\n    bind 127.0.0.1:40199\n"
    conf.write_text(placed("\n".join(lines_of("haproxy", at)) + "\n", certificates) + timeouts + web)
    done = subprocess.run([found, "-c", "-f", conf], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("transport", ["tls", "tcp", "udp", "push"])
def test_docker_gets_json(transport: Transport) -> None:
    text = "\n".join(lines_of("docker", assumed("2001:db8::9", {transport: PORT})))
    assert json.loads(text)["log-driver"] == ("loki" if transport == "push" else "syslog")
