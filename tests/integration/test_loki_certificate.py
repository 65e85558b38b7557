"""A Loki whose certificate nobody vouches for: it is shown, compared, trusted, and no other is taken instead."""

import datetime
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from textual.pilot import Pilot

from appliance.config.load import parse
from appliance.errors import ApplianceError
from appliance.host.layout import Layout
from appliance.host.tls.presented import keep, take
from appliance.relay.probe.check import Finding, check_loki
from tests.harness.console import QuietMachine
from tests.harness.net import free_port
from tests.harness.pilot import drive, item, shown, until
from tests.loki_double import InProcessLoki
from tui.app import Console
from tui.machine import Machine
from tui.state import State
from tui.widgets.item import TextItem

Start = Callable[..., InProcessLoki]


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@pytest.fixture
def signed_by_itself(tmp_path: Path) -> Callable[..., ssl.SSLContext]:
    """A certificate as administrators make them by hand."""

    def make(subject: str = "/CN=loki.lan", names: str = "DNS:loki.lan", days: int = 60) -> ssl.SSLContext:
        place = tmp_path / f"made-{len(list(tmp_path.iterdir()))}"
        place.mkdir()
        extra = ["-addext", f"subjectAltName={names}"] if names else []
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", place / "key", "-out", place / "crt", "-subj", subject, "-days", str(days), *extra],
            check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(place / "crt", place / "key")
        return context

    return make


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[InProcessLoki] = []

    def begin(context: ssl.SSLContext) -> InProcessLoki:
        running.append(InProcessLoki(tls=context))
        return running[-1]

    yield begin
    for one in running:
        one.close()


def tried(url: str, ca_file: str, server_name: str | None) -> dict[str, Finding]:
    name = f", server_name: {server_name}" if server_name else ""
    config = parse(f"loki: {{url: '{url}', tls: {{ca_file: {ca_file}{name}}}}}").config
    return {finding.step: finding for finding in check_loki(config.loki)}


@pytest.mark.parametrize("names", ["DNS:loki.lan", "DNS:*.example.lan", "IP:127.0.0.1", ""])
def test_what_is_trusted_is_taken_whatever_name_it_bears(
    signed_by_itself: Callable[..., ssl.SSLContext], start: Start, tmp_path: Path, names: str
) -> None:
    double = start(signed_by_itself(names=names))
    presented = take(double.push_url, now())
    path = keep(presented, Layout(tmp_path))
    assert (tmp_path / path.lstrip("/")).stat().st_mode & 0o777 == 0o644, "the relay is not root"
    found = tried(double.push_url, str(tmp_path / path.lstrip("/")), presented.server_name)
    assert found["TLS"].ok and found["authentication"].ok, found


def test_another_certificate_is_not_taken_instead_even_of_the_same_authority(start: Start, tmp_path: Path) -> None:
    authority = trustme.CA()

    def of_authority() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        return context

    first, second = start(of_authority()), start(of_authority())
    presented = take(first.push_url, now())
    assert presented.server_name is None, "it bears the host's own name"
    path = str(tmp_path / keep(presented, Layout(tmp_path)).lstrip("/"))
    assert tried(first.push_url, path, None)["TLS"].ok
    assert tried(second.push_url, path, None)["TLS"].ok is False


def test_what_could_not_be_trusted_anyway_is_refused_with_the_reason(
    signed_by_itself: Callable[..., ssl.SSLContext], start: Start
) -> None:
    double = start(signed_by_itself(days=60))
    with pytest.raises(ApplianceError, match="valid from"):
        take(double.push_url, now() + datetime.timedelta(days=61))
    with pytest.raises(ApplianceError, match="names no host"):
        take(start(signed_by_itself(subject="/O=lab", names="")).push_url, now())
    plain = InProcessLoki()
    try:
        with pytest.raises(ApplianceError, match="speaks no TLS"):
            take(plain.push_url.replace("http:", "https:"), now())
    finally:
        plain.close()
    with pytest.raises(ApplianceError, match="refused"):
        take(f"https://127.0.0.1:{free_port()}/loki/api/v1/push", now())


class HalfReal(QuietMachine):
    """Nothing real but the way to Loki."""

    test_loki = Machine.test_loki


def test_the_wizard_shows_the_certificate_and_trusts_it_after_a_yes(
    signed_by_itself: Callable[..., ssl.SSLContext], start: Start, tmp_path: Path
) -> None:
    double = start(signed_by_itself())
    fingerprint = take(double.push_url, now()).facts.fingerprint
    state = State(HalfReal(tmp_path))
    state.answers.page = "loki"
    state.answers.put("loki.url", double.push_url)

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("f5")
        await until(pilot, "F6 shows the certificate")
        await pilot.press("f6")
        await until(pilot, "Trust this certificate?")
        assert fingerprint[:47] in shown(pilot) and fingerprint[48:] in shown(pilot) and "itself" in shown(pilot)
        await pilot.press("escape")
        await until(pilot, "(*) system's")
        assert state.answers.get("loki.tls.ca_file") is None
        await pilot.press("f6")
        await until(pilot, "Trust it")
        await pilot.press("right", "enter")
        await until(pilot, "It is now trusted")
        assert isinstance(item(pilot, "PEM file"), TextItem)
        assert item(pilot, "Name in certificate").value == "loki.lan"  # type: ignore[attr-defined]
        await pilot.press("f5")
        await until(pilot, "12 of 12 entries")

    drive(Console(state.machine, state=state), script)
    kept = state.answers.get("loki.tls.ca_file")
    assert kept.startswith("/etc/appliance/tls/loki-") and state.answers.get("loki.tls.server_name") == "loki.lan"


def test_a_loki_without_tls_has_no_certificate_to_show(tmp_path: Path) -> None:
    state = State(QuietMachine(tmp_path))
    state.answers.page = "loki"
    state.answers.put("loki.url", "http://loki.lan:3100/loki/api/v1/push")

    async def script(pilot: Pilot[Any]) -> None:
        await pilot.press("ctrl+r")
        await until(pilot, "Loki shows a certificate only over https")

    drive(Console(state.machine, state=state), script)
