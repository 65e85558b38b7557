"""What is installed is pinned: the lock has every requirement, with hashes, and names no server."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    return {normal(name): version for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", LOCK, re.MULTILINE)}


def required() -> list[str]:
    project = PROJECT["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    return [*project["dependencies"], *extras]


def test_every_requirement_is_pinned_as_it_is_wanted() -> None:
    versions = pinned()
    for requirement in required():
        match = re.match(r"([A-Za-z0-9_.-]+)(?:(==|>=)([0-9.]+))?$", requirement)
        assert match, requirement
        name, operator, wanted = match.groups()
        assert normal(name) in versions, f"{name} is not in requirements.lock: run ./build.sh lock"
        if operator == "==":
            assert versions[normal(name)] == wanted


def test_every_pin_has_a_hash() -> None:
    blocks = re.split(r"\n(?=[A-Za-z0-9])", LOCK.strip())
    assert len(blocks) == len(pinned())
    assert all("--hash=sha256:" in block for block in blocks)


def test_the_lock_names_no_server() -> None:
    assert not re.search(r"https?:|file:/|--(extra-)?index-url|--find-links|--trusted-host", LOCK)


def test_every_direct_requirement_says_what_it_is_for() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    for requirement in required():
        (line,) = (line for line in lines if line.strip().startswith(f'"{requirement}",'))
        assert re.search(r"#\s+\S+ \S+", line), line
