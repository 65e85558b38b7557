"""Files for another machine: theirs who asked, never over another file, with the line that fetches them."""

import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.cli.given import fetch_line, give, refuse_present
from appliance.errors import UsageError

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")


@pytest.fixture
def behind_sudo(monkeypatch: pytest.MonkeyPatch) -> pwd.struct_passwd:
    user = pwd.getpwnam("nobody")
    monkeypatch.setenv("SUDO_UID", str(user.pw_uid))
    monkeypatch.setenv("SUDO_GID", str(user.pw_gid))
    return user


@root_only
def test_what_is_written_behind_sudo_belongs_to_the_user_who_typed_it(
    tmp_path: Path, behind_sudo: pwd.struct_passwd
) -> None:
    written = give(tmp_path / "keys" / "nas.key", b"secret")
    info = written.stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (behind_sudo.pw_uid, behind_sudo.pw_gid, 0o600)
    assert written.parent.stat().st_uid == behind_sudo.pw_uid, "or its owner could not pass through"
    assert fetch_line([written], ["192.0.2.9"]) == f"scp nobody@192.0.2.9:{written} ."


@root_only
def test_a_user_that_is_not_there_leaves_the_file_to_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "4000000")
    monkeypatch.setenv("SUDO_GID", "x")
    assert give(tmp_path / "file", b"").stat().st_uid == 0


def test_a_file_that_is_there_stays_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "nas.key"
    path.write_text("old")
    with pytest.raises(UsageError, match="already exists"):
        give(path, b"new")
    with pytest.raises(UsageError, match="already exists"):
        refuse_present([tmp_path / "other", path], force=False)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    assert give(path, b"new", force=True).read_text() == "new"


def test_a_link_is_neither_followed_nor_overwritten(tmp_path: Path) -> None:
    target, link = tmp_path / "shadow", tmp_path / "nas.key"
    target.write_text("root's")
    link.symlink_to(target)
    with pytest.raises(UsageError):
        give(link, b"new")
    give(link, b"new", force=True)
    assert target.read_text() == "root's" and not link.is_symlink()


def test_the_whole_path_is_told_and_an_ipv6_address_stands_in_brackets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written = give(Path("bundle.tar.gz"), b"")
    assert written == tmp_path / "bundle.tar.gz"
    assert f"@[2001:db8::1]:{written}" in fetch_line([written], ["2001:db8::1"])


def types(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "appliance.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_issuing_a_name_twice_does_not_overwrite_its_key_without_being_asked_to(tmp_path: Path) -> None:
    (tmp_path / "etc/appliance").mkdir(parents=True)
    config = "loki: {url: 'http://x/loki/api/v1/push'}\nlisteners: {tls: {}}\n"
    (tmp_path / "etc/appliance/appliance.yaml").write_text(config)
    assert types("tls", "init", "--root", str(tmp_path)).returncode == 0
    issue = ("tls", "issue-client", "nas1", "--out", str(tmp_path / "out"), "--root", str(tmp_path))
    first = types(*issue)
    assert first.returncode == 0, first.stderr
    key = tmp_path / "out/nas1.key"
    assert str(key) in first.stdout and "scp " in first.stdout and "secure channel" in first.stdout
    before = key.read_bytes()
    again = types(*issue)
    assert again.returncode == 2 and "already exists" in again.stderr and "--force" in again.stderr
    assert key.read_bytes() == before
    other = types(*[word if word != "nas1" else "nas2" for word in issue])
    assert other.returncode == 0, "the same CA certificate is no other file"
    assert types(*issue, "--force").returncode == 0 and key.read_bytes() != before


def test_the_bundle_says_where_it_is_and_how_to_fetch_it(tmp_path: Path) -> None:
    done = types("support-bundle", "--out", str(tmp_path / "bundle.tar.gz"), "--root", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path}/bundle.tar.gz (") and f":{tmp_path}/bundle.tar.gz ." in done.stdout
    assert types("support-bundle", "--out", str(tmp_path / "bundle.tar.gz"), "--root", str(tmp_path)).returncode == 2
