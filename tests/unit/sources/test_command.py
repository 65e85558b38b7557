"""`appliance sources`: what can be pasted, with a configuration and without, as text, Markdown and JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.sources.register import kinds

COMMAND = [sys.executable, "-m", "appliance.cli.main", "sources"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60)


def test_the_command_prints_what_can_be_pasted(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("loki: {url: 'http://x/loki/api/v1/push'}\nlisteners: {tcp: {}}\n")
    done = run("vyos", "--address", "192.0.2.77", "-c", str(file))
    assert done.returncode == 0
    assert "\nset system syslog remote 192.0.2.77 protocol tcp\n" in done.stdout
    assert "tls ca-certificate" not in done.stdout


def test_it_works_on_a_workstation_without_a_configuration() -> None:
    done = run("truenas", "--address", "192.0.2.77")
    assert done.returncode == 0, done.stderr
    assert "No configuration was read" in done.stdout and "192.0.2.77:6514" in done.stdout
    only = run("linux", "--address", "192.0.2.77", "--listener", "tcp=601").stdout
    assert 'port="601"' in only and 'omrelp"' not in only


def test_without_an_address_or_a_configuration_it_says_what_is_missing() -> None:
    done = run("vyos")
    assert done.returncode == 2
    assert "--address" in done.stderr and "Traceback" not in done.stderr


def test_without_a_kind_it_lists_them() -> None:
    assert [line.split()[0] for line in run().stdout.splitlines()] == list(kinds())
    assert [entry["kind"] for entry in json.loads(run("--format", "json").stdout)] == list(kinds())


def test_json_carries_everything_and_markdown_reads_as_a_page() -> None:
    (made,) = json.loads(run("opnsense", "--address", "192.0.2.77", "--format", "json").stdout)
    assert made["kind"] == "opnsense" and made["traps"] and made["sources"][0]["seen"]
    assert {variant["transport"] for variant in made["variants"]} == {"tls", "tcp", "udp"}
    page = run("opnsense", "--address", "192.0.2.77", "--format", "markdown").stdout
    assert "\n# OPNsense\n" in page and page.count("```") % 2 == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["vios", "--address", "192.0.2.77"], "did you mean vyos?"),
        (["vyos", "--address", "192.0.2.77", "--listener", "smtp"], "not a listener"),
        (["vyos", "--address", "192.0.2.77", "--listener", "tcp=99999"], "not a listener"),
        (["vyos", "--address", "192.0.2.77", "--ca", "/nowhere"], "cannot be read"),
        (["vyos", "--address", "192.0.2.77", "-c", "/nowhere.yaml"], "there is no /nowhere.yaml"),
        (["vyos", "--address", "1.2.3.4", "-c", "/nowhere.yaml", "--listener", "tcp"], "without a configuration"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_a_hint(words: list[str], said: str) -> None:
    done = run(*words)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr and done.stdout == ""


def test_the_authority_given_stands_in_the_lines(tmp_path: Path) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nTUlJQ\n-----END CERTIFICATE-----\n"
    (tmp_path / "ca.crt").write_text(pem)
    done = run("linux", "--address", "fwd.example.org", "--ca", str(tmp_path / "ca.crt"))
    assert pem in done.stdout


PAGES = Path(__file__).parents[3] / "docs" / "senders"


def test_the_documents_have_one_page_a_kind_just_as_the_command_prints_it() -> None:
    """Regenerate with: .venv/bin/python -m tests.unit.sources.pages"""
    from tests.unit.sources.pages import pages

    made = pages()
    assert {path.name for path in PAGES.iterdir()} == set(made)
    for name, text in made.items():
        assert (PAGES / name).read_text() == text, f"docs/senders/{name}: see this test's docstring"
