"""The support bundle holds no secret, and a factory reset leaves no setting."""

import io
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.host.apply import apply, host_at, make_plan
from appliance.host.layout import Layout
from appliance.host.reset import reset
from appliance.host.runner import Answer, Notes
from appliance.host.support import collect, headers_hidden, redact

SECRET = "s3cr3t-Zq81vX"


@pytest.mark.parametrize(
    "line",
    [
        f"password: {SECRET}",
        f"    bearer_token: '{SECRET}'",
        f'"api_key": "{SECRET}", "x": 1',
        f"Authorization: Bearer {SECRET}",
        f"url: https://user:{SECRET}@loki.example.org/push",
        f"admin:$6$rounds$ {SECRET}".replace("$ ", "$"),
        f"http_proxy=http://u:{SECRET}@proxy:3128",
        f"X_TOKEN={SECRET}",
        f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY-----",
        f"sent header Authorization: Basic {SECRET}AAAA==",
        f"eyJhbGciOiJIUzI1.eyJzdWIiOiIx{SECRET.replace('-', '_')}.abc",
    ],
)
def test_what_looks_like_a_secret_is_blotted_out(line: str) -> None:
    cleaned = redact(f"before\n{line}\nafter")
    assert SECRET not in cleaned and SECRET.replace("-", "_") not in cleaned
    assert cleaned.startswith("before\n") and cleaned.endswith("\nafter")


def test_what_helps_a_supporter_stays() -> None:
    text = (
        "loki: {url: https://loki.example.org/loki/api/v1/push, bearer_token_file: /etc/appliance/secrets/token}\n"
        "Nov 23 14:00:00 fwd rsyslogd: omrelp: connection refused [v8.2302.0]\n"
    )
    assert redact(text) == text


@given(st.from_regex(r"[A-Za-z0-9_.~-]{8,40}", fullmatch=True))
def test_no_token_after_its_name_survives(token: str) -> None:
    assert token not in redact(f"time=1 token={token} retry=2").replace("[redacted]", "").replace("retry=2", "")


@pytest.mark.parametrize(
    "text", [f"  headers: {{X-Any: {SECRET}}}\n  timeout: 3s", f"  headers:\n    X-Any: {SECRET}\n  timeout: 3s"]
)
def test_values_of_headers_are_hidden_whatever_their_name(text: str) -> None:
    hidden = headers_hidden(text)
    assert SECRET not in hidden and "timeout: 3s" in hidden


def test_the_bundle_of_a_machine_full_of_secrets_has_none(tmp_path: Path) -> None:
    etc = tmp_path / "etc/appliance"
    (etc / "tls").mkdir(parents=True)
    (etc / "secrets").mkdir()
    (etc / "appliance.yaml").write_text(f"loki:\n  headers:\n    X-Key: {SECRET}\n  url: http://a:{SECRET}@x/\n")
    (etc / "secrets/token").write_text(SECRET)
    (etc / "tls/server.key").write_text(f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n")
    said = Answer(0, f"refused: Authorization: Bearer {SECRET}\nline\n")
    missing = Answer(127, err="chronyc is not installed")
    runner = Notes(answers={"journalctl -u appliance-relay": said, "chronyc": missing})
    bundle = collect(Layout(tmp_path), runner)
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        contents = {m.name.partition("/")[2]: archive.extractfile(m).read().decode() for m in archive}  # type: ignore[union-attr]
    assert SECRET not in "".join(contents.values())
    assert not any("secrets" in name or name.endswith(".key") for name in contents)
    asked = [" ".join(command) for command in runner.asked]
    assert "appliance check --no-push" in asked and any(one.startswith("journalctl -b -n") for one in asked)
    assert {"check.txt", "journal-boot.txt"} <= set(contents)
    assert "line" in contents["journal-relay.txt"] and "not installed" in contents["time.txt"]


def test_the_command_writes_a_private_file(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "appliance.cli.main",
        "support-bundle",
        "--out",
        str(tmp_path),
        "--root",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("*.tar.gz")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def configured(root: Path) -> None:
    (root / "etc").mkdir(parents=True)
    (root / "etc/hostname").write_text("installed\n")
    (root / "etc/ssh").mkdir()
    (root / "etc/ssh/ssh_host_ed25519_key").write_text("key")
    (root / "var/lib/appliance/spool").mkdir(parents=True)
    (root / "var/lib/appliance/spool/1.seg").write_text("lines")
    host = host_at(root)
    text = "loki: {url: 'http://x/loki/api/v1/push'}\nlisteners: {tls: {}}\nsystem: {hostname: mine}\n"
    plan = make_plan(text, host, rsyslog=lambda config: 'action(type="omfile" file="/dev/null")\n')
    assert apply(plan, host).ok
    (root / "etc/appliance/secrets/token").write_text(SECRET)


def test_a_reset_forgets_settings_keys_and_secrets_but_no_lines(tmp_path: Path) -> None:
    configured(tmp_path)
    reset(host_at(tmp_path), logs=False)
    assert (tmp_path / "etc/hostname").read_text() == "installed\n"
    assert [p for p in (tmp_path / "etc/appliance").rglob("*") if p.is_file()] == []
    assert not list((tmp_path / "etc/ssh").glob("ssh_host*"))
    assert (tmp_path / "var/lib/appliance/spool/1.seg").exists()


def test_a_reset_with_logs_forgets_the_lines_too(tmp_path: Path) -> None:
    configured(tmp_path)
    command = [sys.executable, "-m", "appliance.cli.main", "factory-reset", "--logs", "--root", str(tmp_path)]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert asked.returncode == 2 and "--yes" in asked.stderr
    assert (tmp_path / "etc/appliance/appliance.yaml").exists()
    done = subprocess.run([*command, "--yes"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "var/lib/appliance/spool/1.seg").exists()
    assert (tmp_path / "var/lib/appliance/spool").is_dir()


def test_a_reset_leaves_no_trace_of_whoever_used_the_machine(tmp_path: Path) -> None:
    configured(tmp_path)
    left_behind = [
        "etc/appliance/user-data.sha256", "root/support-2026.tar.gz", "root/.bash_history", "var/log/wtmp",
        "var/log/lastlog", "var/lib/cloud/instances/i-1/user-data.txt", "var/lib/cloud/sem/config_users.once",
        "etc/ssh/authorized_keys.d/anna", "etc/sudoers.d/90-cloud-init-users", "var/lib/appliance/senders.json",
    ]  # fmt: skip
    for name in left_behind:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    reset(host_at(tmp_path), logs=False)
    assert [name for name in left_behind if (tmp_path / name).exists()] == []


def test_a_reset_restores_the_account_the_image_was_built_with(tmp_path: Path) -> None:
    configured(tmp_path)
    marker = tmp_path / "usr/lib/appliance/installed-administrator"
    marker.parent.mkdir(parents=True)
    marker.write_text("admin\nssh-ed25519 AAAA first\nssh-ed25519 BBBB second\n")
    (tmp_path / "etc/ssh/authorized_keys.d").mkdir(parents=True)
    (tmp_path / "etc/ssh/authorized_keys.d/other").write_text("ssh-ed25519 CCCC")
    reset(host_at(tmp_path), logs=False)
    keys = tmp_path / "etc/ssh/authorized_keys.d"
    assert [key.name for key in keys.iterdir()] == ["admin"]
    assert (keys / "admin").read_text() == "ssh-ed25519 AAAA first\nssh-ed25519 BBBB second\n"
