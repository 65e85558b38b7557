"""`appliance sources`: the lines are right for each version, and rsyslog really takes ours."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.config.load import parse
from appliance.sources.devices import RECIPES
from appliance.sources.recipe import Forwarder, forwarder

ALL = Forwarder("192.0.2.9", "fwd.example.org", udp=514, tcp=514, tls=6514, relp=2514, push=3500)


def text(device: str, at: Forwarder = ALL) -> str:
    recipe = RECIPES[device](at)
    return "\n".join(line for variant in recipe.variants for line in (variant.title, *variant.lines, variant.note))


def test_vyos_has_each_syntax_for_its_versions() -> None:
    lines = text("vyos")
    assert "set system syslog remote 192.0.2.9 format octet-counted" in lines  # 1.5
    assert "set system syslog host 192.0.2.9 format octet-counted" in lines  # 1.4
    assert "set system syslog host 192.0.2.9 facility all protocol tcp" in lines  # 1.3
    assert "set system syslog remote 192.0.2.9 tls auth-mode certvalid" in lines


def test_xcp_ng_sends_by_udp_to_the_port_that_is_open() -> None:
    assert "logging:syslog_destination=192.0.2.9\n" in text("xcp-ng")
    other = Forwarder("192.0.2.9", "fwd", udp=5514)
    assert "logging:syslog_destination=192.0.2.9:5514" in text("xcp-ng", other)


def test_truenas_knows_that_ports_and_transports_differ() -> None:
    lines = text("truenas")
    assert "TrueNAS 25.10" in lines and "fwd.example.org:6514, Transport TLS" in lines
    assert "192.0.2.9:514, Syslog Transport TCP" in lines


def test_kubernetes_pushes_to_the_push_listener() -> None:
    assert "http://192.0.2.9:3500/loki/api/v1/push" in text("kubernetes")


@pytest.mark.parametrize("device", RECIPES)
def test_what_is_off_is_asked_for_instead_of_being_pasted(device: str) -> None:
    recipe = RECIPES[device](Forwarder("192.0.2.9", "fwd"))
    assert recipe.missing and not recipe.variants
    snippet = recipe.missing[0].partition("#")[0].strip()
    parse("loki: {url: 'http://x/loki/api/v1/push'}\n" + snippet + "\n")  # it can be pasted too


def test_the_forwarder_is_as_configured() -> None:
    config = parse(
        "loki: {url: 'http://x/loki/api/v1/push'}\nlisteners: {tcp: {port: 601}}\n"
        "relay: {listen: {push: '127.0.0.1:1'}}\n"
    ).config
    at = forwarder(config, ["198.51.100.4"])
    assert (at.address, at.tcp, at.udp, at.push) == ("198.51.100.4", 601, None, None)
    assert forwarder(config, []).address == "forwarder"


def test_an_ipv6_address_is_bracketed_in_urls() -> None:
    at = Forwarder("2001:db8::9", "fwd", push=3500)
    assert "http://[2001:db8::9]:3500/" in text("kubernetes", at)


@pytest.mark.parametrize("listener", ["relp", "tls", "tcp"])
def test_rsyslogd_takes_the_lines_for_linux(listener: str, tmp_path: Path) -> None:
    program = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin")
    assert program, "rsyslog is needed to judge what we tell people to paste"
    at = Forwarder("192.0.2.9", "fwd.example.org", **{listener: 2514})
    lines = list(RECIPES["linux"](at).variants[0].lines)
    begin = next(i for i, line in enumerate(lines) if line.startswith("cat > "))
    body = "\n".join(lines[begin + 1 : lines.index("END")])
    authority = tmp_path / "ca.crt"
    authority.write_text("")
    conf = tmp_path / "rsyslog.conf"
    conf.write_text(
        f'global(workDirectory="{tmp_path}")\n' + body.replace("/etc/ssl/forwarder-ca.crt", str(authority)) + "\n"
    )
    done = subprocess.run([program, "-N1", "-f", conf], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_the_command_prints_what_can_be_pasted(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("loki: {url: 'http://x/loki/api/v1/push'}\nlisteners: {tcp: {}}\n")
    command = [
        sys.executable,
        "-m",
        "appliance.cli.main",
        "sources",
        "vyos",
        "--address",
        "192.0.2.77",
        "-c",
        str(file),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert "\nset system syslog remote 192.0.2.77 protocol tcp\n" in done.stdout
