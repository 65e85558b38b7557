"""Accounts of people are removed for good: with the real useradd, userdel and shadow files, in a mount name space."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changes accounts, in a mount name space of its own")

PREPARE = """
set -eu
mount --make-rprivate /
cp -a /etc {copy}/etc
mount --bind {copy}/etc /etc
for place in /home /root /var/mail; do mount -t tmpfs none $place; done
"""


def in_a_copy(tmp_path: Path, program: str) -> str:
    """Run a Python program as root where /etc, /home and /root are copies; return what it printed."""
    script = PREPARE.format(copy=tmp_path) + f'exec "{sys.executable}" -c "$PROGRAM"\n'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2],
        env={**os.environ, "PROGRAM": textwrap.dedent(program), "PYTHONPATH": "."},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_removed_account_has_no_password_home_key_or_membership_left(tmp_path: Path) -> None:
    said = in_a_copy(
        tmp_path,
        """
        import subprocess
        from pathlib import Path
        from appliance.host.accounts import people, remove_people
        from appliance.host.host import Host

        def sh(text, stdin=None):
            return subprocess.run(["sh", "-c", text], input=stdin, text=True, check=True, capture_output=True).stdout

        before = people(Host().layout)
        for name in ("oldadmin", "second"):
            sh(f"useradd --create-home --shell /bin/bash --groups sudo {name} || useradd -m {name}")
            sh("chpasswd", f"{name}:s3cret-{name}")
            Path(f"/home/{name}/issued.key").write_text("key")
            Path("/etc/ssh/authorized_keys.d").mkdir(parents=True, exist_ok=True)
            Path(f"/etc/ssh/authorized_keys.d/{name}").write_text("ssh-ed25519 AAAA")
        assert set(people(Host().layout)) == {*before, "oldadmin", "second"}
        assert remove_people(Host()) == []
        assert people(Host().layout) == []
        for file in ("passwd", "shadow", "group", "gshadow"):
            text = Path("/etc", file).read_text()
            assert "oldadmin" not in text and "second" not in text, file
        assert not list(Path("/home").iterdir()) and not list(Path("/etc/ssh/authorized_keys.d").iterdir())
        print("root stays:", "root:" in Path("/etc/passwd").read_text())
        """,
    )
    assert said.strip() == "root stays: True"


def test_a_locked_account_cannot_log_in_and_is_no_sudoer_and_is_usable_again_after_a_roll_back(tmp_path: Path) -> None:
    in_a_copy(
        tmp_path,
        """
        import grp, subprocess
        from appliance.host.apply.actions import actions_for
        from appliance.host.system.render import ADMINISTRATOR
        from appliance.host.tree import Change, File

        def run(action):
            for command in action.commands:
                done = subprocess.run(command, input=action.stdin, text=True, capture_output=True)
                assert done.returncode == 0, (command, done.stderr)

        def shadow(name):
            lines = open("/etc/shadow").read().splitlines()
            return next(line for line in lines if line.startswith(f"{name}:")).split(":")

        for group in ("sudo", "appliance", "adm", "systemd-journal"):
            subprocess.run(["groupadd", "--force", "--system", group], check=True)
        hashed = "$6$salt$" + "x" * 86
        first, second = File(f"anna:{hashed}\\n".encode()), File(f"berta:{hashed}\\n".encode())
        (new,) = [a for a in actions_for([Change(ADMINISTRATOR, first, first)]) if a.name == "administrator"]
        run(new)
        (renamed,) = [a for a in actions_for([Change(ADMINISTRATOR, first, second)]) if a.name == "administrator"]
        run(renamed)
        assert shadow("anna")[1].startswith("!") and shadow("anna")[7] == "1"
        assert "anna" not in grp.getgrnam("sudo").gr_mem and "berta" in grp.getgrnam("sudo").gr_mem
        (back,) = [a for a in actions_for([Change(ADMINISTRATOR, second, first)]) if a.name == "administrator"]
        run(back)
        assert shadow("anna")[1] == hashed and shadow("anna")[7] == ""
        assert "anna" in grp.getgrnam("sudo").gr_mem and "berta" not in grp.getgrnam("sudo").gr_mem
        """,
    )
