"""build.sh: does what is missing and no more, says what failed and why. Its tools are stand-ins here."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOT = "appliance/relay/hot"


class Checkout:
    """A copy of the script in a directory of its own, with stand-ins that note how they are called."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls = path / "calls"
        for name in ("build.sh", "pyproject.toml", "requirements.lock"):
            shutil.copy(ROOT / name, path)
        (path / HOT).mkdir(parents=True)
        for source in re.findall(r'sources = \["(.+?)\.py"\]', (path / "pyproject.toml").read_text()):
            (path / f"{source}.py").write_text("")
            (path / f"{source}.cpython-311.so").write_text("")
        version = subprocess.run(["/usr/bin/python3", "-V"], capture_output=True, text=True, check=True).stdout.strip()
        self.tool(".venv/bin/python", f'[ "$1" = -V ] && {{ echo "{version}"; exit; }}\nexit "${{PYTHON_FAILS:-0}}"')
        self.tool("bin/dpkg-query", 'case " ${MISSING:-} " in *" ${!#} "*) exit 1 ;; esac\nprintf "ii "')
        self.tool(
            "bin/apt-get", 'if [ "$1" = update ]; then touch updated; elif [ -n "${STALE:-}" ]; then [ -e updated ]; fi'
        )
        self.tool("bin/sudo", 'shift; exec "$@"')

    def tool(self, name: str, script: str) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        note = f'[ "$1" = -V ] || printf "%s\\n" "{file.name} $*" >>"{self.calls}"'
        file.write_text(f"#!/bin/bash\n{note}\n{script}\n")
        file.chmod(0o755)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.calls.write_text("")
        return subprocess.run(
            [str(self.path / "build.sh"), *arguments],
            capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
            env={**os.environ, "PATH": f"{self.path}/bin:{os.environ['PATH']}", **environment},
        )  # fmt: skip

    def called(self, tool: str) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if line.startswith(f"{tool} ")]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_help_names_every_command(checkout: Checkout) -> None:
    result = checkout.run("help")
    assert result.returncode == 0
    for command in ("build", "test", "run", "setup", "lock", "clean"):
        assert f"\n  {command} " in result.stdout


def test_an_unknown_command_is_refused(checkout: Checkout) -> None:
    result = checkout.run("biuld")
    assert result.returncode == 1
    assert "unknown command 'biuld'" in result.stderr


def test_a_first_run_installs_the_lock_with_hashes_and_the_project_and_a_second_does_nothing(
    checkout: Checkout,
) -> None:
    first = checkout.run("setup")
    assert first.returncode == 0, first.stderr
    lock, project = checkout.called("python")
    assert "--require-hashes" in lock
    assert "-r requirements.lock" in lock
    assert "--no-deps" in project
    assert project.endswith("-e .")
    assert "Python packages" in first.stdout
    assert " s\n" in first.stdout, "each step tells its time"
    second = checkout.run("setup")
    assert (second.returncode, second.stdout, checkout.called("python")) == (0, "", [])


def test_a_changed_lock_is_installed_again_and_a_changed_hot_path_compiled_again(checkout: Checkout) -> None:
    checkout.run("setup")
    with (checkout.path / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    checkout.run("setup")
    assert len(checkout.called("python")) == 1
    for changed in ("framing.py", "framing.pxd"):
        (checkout.path / HOT / changed).write_text("changed = 1\n")
        checkout.run("setup")
        (call,) = checkout.called("python")
        assert call.endswith("-e .")
    (checkout.path / HOT / "packer.cpython-311.so").unlink()
    checkout.run("setup")
    assert len(checkout.called("python")) == 1


def test_apt_is_not_called_when_everything_is_there(checkout: Checkout) -> None:
    checkout.run("test", "--fast")
    assert checkout.called("apt-get") == []


def test_missing_packages_are_installed_and_lists_updated_only_when_that_fails(checkout: Checkout) -> None:
    assert checkout.run("setup", MISSING="gcc tzdata").returncode == 0
    (install,) = checkout.called("apt-get")
    assert install.endswith(" gcc tzdata")
    assert checkout.run("setup", MISSING="gcc", STALE="yes").returncode == 0
    assert [call.split()[1] for call in checkout.called("apt-get")] == ["install", "update", "install"]


def test_a_step_that_fails_shows_its_last_lines_and_where_the_log_is(checkout: Checkout) -> None:
    checkout.tool(
        ".venv/bin/python",
        '[ "$1" = -V ] && { /usr/bin/python3 -V; exit; }\nfor n in $(seq 100); do echo "line $n"; done\nexit 3',
    )
    result = checkout.run("setup")
    assert result.returncode == 1
    assert "line 100" in result.stderr
    assert "line 50\n" not in result.stderr
    assert "error: step 'Python packages' failed (exit code 3)" in result.stderr
    log = checkout.path / "build/log/Python-packages.log"
    assert "hint: the whole log is in build/log/Python-packages.log" in result.stderr
    assert "line 50\n" in log.read_text()
    # What failed is tried again.
    assert checkout.run("setup").returncode == 1


def test_what_follows_test_goes_to_pytest(checkout: Checkout) -> None:
    checkout.run("setup")
    checkout.run("test", "--fast", "-k", "spool and not slow")
    assert checkout.called("python") == [
        "python -m pytest -n 2 --dist loadgroup -m not vm and not xen -k spool and not slow"
    ]


def test_the_result_of_the_tests_is_the_result_of_the_script(checkout: Checkout) -> None:
    checkout.run("setup")
    assert checkout.run("test", "--fast", PYTHON_FAILS="1").returncode == 1


def test_run_is_the_command_of_the_image(checkout: Checkout) -> None:
    checkout.run("setup")
    assert checkout.run("run", "--uefi", PYTHON_FAILS="1").returncode == 1
    assert checkout.called("python") == ["python -m image run --uefi"]


def test_clean_leaves_the_sources_alone(checkout: Checkout) -> None:
    checkout.run("setup")
    (checkout.path / "dist").mkdir()
    assert checkout.run("clean").returncode == 0
    left = {str(path.relative_to(checkout.path)) for path in checkout.path.rglob("*") if path.is_file()}
    assert {"build.sh", "pyproject.toml", "requirements.lock", f"{HOT}/packer.py"} <= left
    assert not [name for name in left if name.startswith((".venv", "build/", "dist")) or name.endswith(".so")]
