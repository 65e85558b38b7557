"""Documents are true: generated parts are current, links lead somewhere, YAML examples are valid configurations."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from appliance.config.load import parse
from appliance.config.model import Config
from appliance.config.reference import reference
from tests.unit.test_config_schema import ALL_KEYS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINT_COMMITS_AFTER = "0666bad"


def test_the_configuration_reference_is_what_the_model_says() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    assert page == reference(), "run: python -m appliance.config.reference > docs/configuration.md"
    missing = [key for key in ALL_KEYS if "." in key and f"| `{key}` |" not in page]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_resolve(document: Path) -> None:
    text = document.read_text()
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = document if not path else (document.parent / path)
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            broken.append(target)
    assert not broken


def anchors(text: str) -> set[str]:
    """Anchors of a Markdown page as forges make them of its headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_configurations_in_documents_are_valid(document: Path) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL):
        data = next(yaml.safe_load_all(block))  # a set of manifests is several
        if isinstance(data, dict) and "appliance" in data:
            data = data["appliance"]
        if not isinstance(data, dict) or not set(data) <= set(Config.__struct_fields__):
            continue  # an example of something else
        data.setdefault("loki", {"url": "http://loki:3100/loki/api/v1/push"})
        parse(yaml.safe_dump(data))


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_commands_in_documents_exist() -> None:
    """Each `appliance …` of a code span or shell block names a command that is there."""
    from appliance.cli.commands import COMMANDS

    unknown = []
    for document in DOCUMENTS:
        text = document.read_text()
        blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        spans = "\n".join(re.findall(r"`([^`\n]+)`", text))
        for word in re.findall(r"^(?:sudo |\.venv/bin/)?appliance ([a-z][a-z-]*)", f"{blocks}\n{spans}", re.MULTILINE):
            if word not in COMMANDS:
                unknown.append(f"{document.name}: appliance {word}")
    assert not unknown


def test_the_license_is_named_and_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_the_changelog_has_a_section_for_this_version() -> None:
    from appliance import __version__

    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased" and __version__.partition("+")[0] in headings


def git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_commits_say_what_changes_in_72_characters_and_why_below() -> None:
    if git("merge-base", "--is-ancestor", LINT_COMMITS_AFTER, "HEAD").returncode != 0:
        pytest.skip("no git history here")
    log = git("log", "--no-merges", "--format=%h%x00%s%x00%b%x01", f"{LINT_COMMITS_AFTER}..HEAD").stdout
    bad = []
    for entry in filter(None, (one.strip() for one in log.split("\x01"))):
        commit, subject, body = entry.split("\x00")
        if len(subject) > 72 or not body.strip():
            bad.append(f"{commit} {subject}")
    assert not bad
