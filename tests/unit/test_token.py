"""`appliance token new` and `appliance tls client`: what a client needs, kept secret here, printed once."""

import stat
import subprocess
import sys
from pathlib import Path

import yaml

from appliance.config.load import parse


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "appliance", *words], capture_output=True, text=True, timeout=60)


def test_a_token_is_kept_at_0600_and_what_is_printed_is_a_valid_configuration(tmp_path: Path) -> None:
    done = run("token", "new", "k8s-prod", "--tenant", "prod", "--root", str(tmp_path))
    assert done.returncode == 0, done.stderr
    file = tmp_path / "etc/appliance/secrets/k8s-prod"
    token = file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(token) >= 40
    assert f"Authorization: Bearer {token}" in done.stdout
    block = done.stdout[done.stdout.index("relay:") :]
    made = yaml.safe_load(block)
    assert token not in block
    made["loki"] = {"url": "http://loki/loki/api/v1/push"}
    made["relay"]["listen"] = {"push": "127.0.0.1:3500"}
    (client,) = parse(yaml.safe_dump(made)).config.relay.push.clients
    assert (client.name, client.token_file, client.tenant) == ("k8s-prod", "/etc/appliance/secrets/k8s-prod", "prod")


def test_a_token_is_not_replaced_by_mistake(tmp_path: Path) -> None:
    file = tmp_path / "etc/appliance/secrets/a"
    assert run("token", "new", "a", "--root", str(tmp_path)).returncode == 0
    before = file.read_text()
    again = run("token", "new", "a", "--root", str(tmp_path))
    assert (again.returncode, "already" in again.stderr, "--replace" in again.stderr) == (1, True, True)
    assert file.read_text() == before
    assert run("token", "new", "a", "--replace", "--root", str(tmp_path)).returncode == 0
    assert file.read_text() != before


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    for name in ("../x", "", "a/b", "x" * 64):
        done = run("token", "new", name, "--root", str(tmp_path))
        assert (done.returncode, done.stdout) == (2, "")
        assert "hint: " in done.stderr
    assert not list(tmp_path.rglob("*"))


def test_a_client_certificate_comes_with_the_lines_for_both_sides(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "etc/appliance").mkdir(parents=True)
    (tmp_path / "etc/appliance/appliance.yaml").write_text("loki: {url: http://loki/loki/api/v1/push}\n")
    assert run("tls", "init", "--root", str(tmp_path)).returncode == 0
    done = run("tls", "client", "nas1.example.org", "--out", str(out), "--root", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["ca.crt", "nas1.example.org.crt", "nas1.example.org.key"]
    assert stat.S_IMODE((out / "nas1.example.org.key").stat().st_mode) == 0o600
    made = yaml.safe_load(done.stdout[done.stdout.index("listeners:") :])
    made["loki"] = {"url": "http://loki/loki/api/v1/push"}
    made["relay"]["listen"] = {"push": "0.0.0.0:3500"}
    config = parse(yaml.safe_dump(made)).config
    assert config.listeners.tls is not None
    assert config.listeners.tls.tls.permitted_names == ["nas1.example.org"]
    assert config.relay.push.clients[0].name == "nas1.example.org"
