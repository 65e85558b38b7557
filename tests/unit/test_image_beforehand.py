"""What would stop a build in the middle is seen before it starts, and said in words."""

import lzma
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from appliance.errors import ApplianceError
from image import beforehand
from image.options import BuildOptions, parse_build_options


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """A Debian mirror that has one package; returns its URL."""
    root = tmp_path / "mirror"
    for name in ("debian/dists/bookworm/Release", "debian-security/dists/bookworm-security/Release"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("Suite: stable\n")
    packages = root / "debian/dists/bookworm/main/binary-amd64/Packages.xz"
    packages.parent.mkdir(parents=True)
    packages.write_bytes(lzma.compress(b"Package: tcpdump\nVersion: 4\n\nPackage: vim\nVersion: 9\n"))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(
        ("127.0.0.1", 0),
        lambda *arguments: Quiet(*arguments, directory=str(root)),  # type: ignore[arg-type]
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/debian"
    server.shutdown()
    server.server_close()


def options(*words: str) -> BuildOptions:
    return parse_build_options(words)


def test_a_mirror_that_has_everything_is_good(mirror: str) -> None:
    beforehand.check_mirrors(options("--mirror", mirror, "--package", "tcpdump", "--package", "vim"))


def test_a_package_that_the_mirror_does_not_have_is_named(mirror: str) -> None:
    with pytest.raises(ApplianceError, match=r"has no tcpdum, vi$"):
        beforehand.check_mirrors(options("--mirror", mirror, "--package", "tcpdum", "--package", "vi"))


def test_a_mirror_that_does_not_answer_is_named_with_the_reason(mirror: str) -> None:
    with pytest.raises(
        ApplianceError, match=r"127\.0\.0\.1:1/debian/dists/bookworm/Release cannot be fetched: .*refused"
    ):
        beforehand.check_mirrors(options("--mirror", "http://127.0.0.1:1/debian"))
    with pytest.raises(
        ApplianceError, match=r"/other/dists/bookworm-security/Release cannot be fetched: HTTP status 404"
    ):
        beforehand.check_mirrors(options("--mirror", mirror, "--security-mirror", mirror.replace("/debian", "/other")))


def test_a_proxy_that_does_not_answer_is_named(mirror: str) -> None:
    with pytest.raises(ApplianceError, match=r"through the proxy http://127\.0\.0\.1:1: "):
        beforehand.check_mirrors(options("--mirror", mirror, "--proxy", "http://127.0.0.1:1"))


@pytest.mark.parametrize("option", ["work", "output", "cache"])
def test_a_place_that_cannot_be_written_is_named(option: str, tmp_path: Path) -> None:
    words = [word for name in ("work", "output", "cache") for word in (f"--{name}", str(tmp_path / name))]
    words[words.index(f"--{option}") + 1] = "/proc/nowhere"
    with pytest.raises(ApplianceError, match=f"--{option} /proc/nowhere: "):
        beforehand.check_places(options(*words))


def test_too_little_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beforehand, "_ROOM", 2**62)
    words = [word for name in ("work", "output", "cache") for word in (f"--{name}", str(tmp_path))]
    with pytest.raises(ApplianceError, match="GiB are free in"):
        beforehand.check_places(options(*words))


def test_a_keyboard_that_nobody_has_is_refused() -> None:
    beforehand.check_keyboard(options("--keyboard", "fr:oss"))
    if not Path("/usr/share/X11/xkb/symbols").is_dir():
        pytest.fail("xkb-data is not installed: run ./build.sh, which installs it")
    with pytest.raises(ApplianceError, match="--keyboard qwertz: no such keyboard layout"):
        beforehand.check_keyboard(options("--keyboard", "qwertz"))
    with pytest.raises(ApplianceError, match="--keyboard fr:nosuch: no such variant"):
        beforehand.check_keyboard(options("--keyboard", "fr:nosuch"))


def test_a_configuration_that_the_machine_would_refuse_is_refused_with_its_problems(tmp_path: Path) -> None:
    config = tmp_path / "appliance.yaml"
    config.write_text("loki: {url: nope}\nlisteners: {udp: {port: 99999}}\n")
    with pytest.raises(ApplianceError, match=r"(?s)loki\.url: does not start with http.*listeners\.udp\.port"):
        beforehand.check_config(options("--config", str(config)))
    config.write_text("loki: {url: 'http://loki:3100/loki/api/v1/push'}\nlisteners: {udp: {}}\n")
    beforehand.check_config(options("--config", str(config)))
