"""What a build is asked for is judged whole, before anything starts."""

from pathlib import Path

import pytest

from appliance.errors import UsageError
from image.mirror import DEFAULT, Mirrors, Source, own_mirrors, parse_deb822, parse_one_line, read_sources
from image.options import SMALLEST_DISK, judge, parse_build_options, parser
from image.pipeline import what_next

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJm4hVHV5vYV0FgEXRSu0Xo0KkFp7lA2v7m5m0lI0R5v someone@example.org"


def test_every_wrong_option_is_named_at_once() -> None:
    words = ["--size", "1G", "--hostname", "under_score", "--package", "rm -rf", "--mirror", "ftp://x", "--proxy",
             "nonsense", "--keyboard", "F!", "--config", "/nowhere/appliance.yaml", "--ssh-key", "ssh-rsa AAAA",
             "--binary", "/nowhere"]  # fmt: skip
    with pytest.raises(UsageError) as caught:
        parse_build_options(words)
    for option in ("size", "hostname", "package", "mirror", "proxy", "keyboard", "config", "ssh-key", "binary"):
        assert f"--{option}" in caught.value.message
    assert caught.value.exit_code == 2


def test_defaults_can_be_built() -> None:
    options = parse_build_options([])
    assert options.disk_size >= SMALLEST_DISK
    assert options.disk_size % 2**21 == 0
    assert options.hostname == "forwarder"


@pytest.mark.parametrize(
    ("text", "size"), [("20G", 20 * 2**30), ("6GiB", 6 * 2**30), ("8000M", 8000 * 2**20), ("1T", 2**40)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_build_options(["--size", text]).disk_size == size


def test_a_key_is_taken_from_a_file_or_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "id.pub"
    file.write_text(KEY + "\n")
    assert parse_build_options(["--ssh-key", str(file), "--ssh-key", KEY]).ssh_keys == (KEY, KEY)


def test_a_private_key_given_by_mistake_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "id"
    file.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    with pytest.raises(UsageError, match="not an OpenSSH public key"):
        parse_build_options(["--ssh-key", str(file)])


def test_a_mirror_given_serves_security_beside_it_unless_told_otherwise() -> None:
    assert parse_build_options(["--mirror", "http://m.example/debian/"]).mirrors == Mirrors(
        "http://m.example/debian", "http://m.example/debian-security"
    )
    both = parse_build_options(["--mirror", "http://m.example/debian", "--security-mirror", "http://s.example/sec"])
    assert both.mirrors.security == "http://s.example/sec"


def test_every_option_is_documented() -> None:
    help_text = parser().format_help()
    for action in parser()._actions:
        assert action.help, action.option_strings
    assert "Example:" in help_text


def test_mirrors_come_from_one_line_sources() -> None:
    text = "# deb http://no.example/debian bookworm main\n"
    text += "deb [signed-by=/k.gpg arch=amd64] http://a.example/debian/ bookworm main contrib\n"
    assert list(parse_one_line(text)) == [Source("http://a.example/debian", "bookworm", ("main", "contrib"))]


def test_mirrors_come_from_deb822_sources() -> None:
    text = """Types: deb deb-src
URIs: http://a.example/debian
Suites: bookworm bookworm-updates
Components: main
# a comment between fields
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://a.example/other
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://a.example/debian-security/
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----
"""
    assert [(s.uri, s.suite) for s in parse_deb822(text)] == [
        ("http://a.example/debian", "bookworm"),
        ("http://a.example/debian", "bookworm-updates"),
        ("http://a.example/debian-security", "bookworm-security"),
    ]


def test_the_build_machines_own_mirrors_are_the_default(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://tools.example/x stable main\n")
    (tmp_path / "sources.list.d/debian.sources").write_text(
        "Types: deb\nURIs: http://local.example/debian\nSuites: bookworm\nComponents: main\n"
    )
    assert own_mirrors(read_sources(tmp_path), "bookworm") == Mirrors(
        "http://local.example/debian", "http://local.example/debian-security"
    )
    assert judge(parser().parse_args([]), etc_apt=tmp_path).mirrors.main == "http://local.example/debian"


def test_a_machine_of_another_release_says_nothing_of_ours() -> None:
    assert own_mirrors([Source("http://x.example/ubuntu", "noble", ("main",))], "bookworm") == DEFAULT


def test_the_build_ends_with_what_to_do_next_naming_the_files_it_made(tmp_path: Path) -> None:
    said = what_next(parse_build_options(["--output", str(tmp_path)]), "1.2.3")
    assert f"{tmp_path}/forwarder-1.2.3.xva" in said
    assert "./build.sh run" in said
    assert "xe vm-import filename=forwarder-1.2.3.xva && xe vm-start vm=forwarder" in said
    assert "Xen Orchestra" in said and "README.md" in said
