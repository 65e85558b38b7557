"""The linters are tests: style, types, shell scripts, the direction of imports, the size of modules."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(sys.executable)
PACKAGES = ("appliance", "image", "tui")

LINES = 400
LONGER_FOR_A_REASON = {
    "appliance/relay/hot/packer.py": "one compiled class: calls within it cost nothing, between modules they do",
}


def run(*command: str) -> str:
    """Return the output of a linter; its findings when it has any, which fails the test."""
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    if result.returncode:
        pytest.fail(f"{' '.join(command)}\n{result.stdout}{result.stderr}", pytrace=False)
    return result.stdout


def tool(name: str) -> str:
    return str(PYTHON.parent / name)


def sources(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ("git", "ls-files", "--cached", "--others", "--exclude-standard", "--", pattern),
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:
        return [path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file()]
    hidden = (".venv", "build", "dist")
    return [path for path in ROOT.rglob(pattern) if path.is_file() and path.relative_to(ROOT).parts[0] not in hidden]


def test_ruff_finds_nothing() -> None:
    run(tool("ruff"), "check", "--quiet", ".")


def test_everything_is_formatted() -> None:
    run(tool("ruff"), "format", "--check", "--quiet", ".")


def test_types_are_right() -> None:
    run(tool("mypy"), "--no-error-summary")


def test_imports_go_one_way() -> None:
    run(tool("lint-imports"), "--no-cache")


def is_shell(path: Path) -> bool:
    if path.suffix in (".sh", ".bash"):
        return True
    if path.suffix:
        return False
    with path.open("rb") as file:
        first = file.readline(80)
    return first.startswith(b"#!") and (b"sh\n" in first or b"bash" in first)


def test_shell_scripts_are_sound() -> None:
    scripts = [path for path in sources("*") if is_shell(path)]
    assert ROOT / "build.sh" in scripts
    assert ROOT / ".ci/run" in scripts
    run("shellcheck", "--external-sources", *map(str, scripts))


def test_no_module_is_long_without_a_reason() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources("*.py")
        if (lines := len(path.read_text().splitlines())) > LINES and path.relative_to(ROOT).parts[0] in PACKAGES
    }
    assert not {name: lines for name, lines in long.items() if name not in LONGER_FOR_A_REASON}


def test_nothing_here_names_the_place_where_it_was_made() -> None:
    """The project has to work anywhere: no path or host of one machine stands in it."""
    words = ("/wo" + "rk/", "/opt/py" + "pi", "/opt/whe" + "els")
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in sources("*")
        if path.suffix not in (".png", ".svg", ".gz", ".zst")
        for word in words
        if word in path.read_text(errors="replace")
    ]
    assert not found
