"""Recipes: the lines are right for each version, and only what is open here is pasted."""

import re

import pytest
import yaml

from appliance.config.load import parse
from appliance.sources.forwarder import USUAL_PORTS, Forwarder, Transport, assumed, forwarder
from appliance.sources.recipe import Recipe, fill_in
from appliance.sources.recipes.xcp_ng import QUIET
from appliance.sources.register import kinds
from appliance.sources.render import as_markdown, as_text

PEM = "-----BEGIN CERTIFICATE-----\nTUlJQ\nkFFRQ==\n-----END CERTIFICATE-----\n"
ALL = Forwarder(
    "192.0.2.9", "fwd.example.org", udp=514, tcp=514, tls=6514, relp=2514, relp_tls=2515, push=3500, authority=PEM
)
NAMES = list(kinds())


def recipe(kind: str, at: Forwarder = ALL) -> Recipe:
    return fill_in(kinds()[kind], at)


def text(kind: str, at: Forwarder = ALL) -> str:
    return as_text(recipe(kind, at))


def variant(kind: str, title: str, at: Forwarder = ALL) -> str:
    (found,) = [variant for variant in recipe(kind, at).variants if variant.title.startswith(title)]
    return "\n".join(found.lines)


# ---- what holds for every kind --------------------------------------------------------------


@pytest.mark.parametrize("kind", NAMES)
def test_what_is_off_is_asked_for_instead_of_being_pasted(kind: str) -> None:
    made = recipe(kind, Forwarder("192.0.2.9", "fwd"))
    assert made.first and not made.variants
    for snippet in made.first:
        parse("loki: {url: 'http://x/loki/api/v1/push'}\n" + snippet + "\n")  # it can be pasted too
    assert all(snippet in as_text(made) for snippet in made.first)


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("transport", list(USUAL_PORTS))
def test_only_transports_that_are_open_are_printed(kind: str, transport: Transport) -> None:
    made = recipe(kind, assumed("192.0.2.9", {transport: 40123}))
    assert {variant.transport for variant in made.variants} <= {transport}
    if made.variants:
        assert "40123" in "\n".join(line for variant in made.variants for line in variant.lines)
    else:
        assert made.first


@pytest.mark.parametrize("kind", NAMES)
def test_each_kind_says_how_to_check_and_where_it_was_read_and_when(kind: str) -> None:
    known = kinds()[kind]
    assert known.name == kind and known.title and known.summary and known.check and known.sources
    for source in known.sources:
        assert re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", source.seen), source
        assert re.match(r"https://|[\w.-]+/[\w.-]+, ", source.where), source
    assert recipe(kind).variants
    for sentence in (*known.check, *known.traps):
        assert sentence in as_markdown(recipe(kind))


@pytest.mark.parametrize("kind", NAMES)
def test_an_ipv6_address_is_never_followed_by_a_port_without_brackets(kind: str) -> None:
    at = assumed("2001:db8::9", dict(USUAL_PORTS))
    lines = [line for variant in recipe(kind, at).variants for line in variant.lines]
    assert not [line for line in lines if re.search(r"(?<!\[)2001:db8::9:\d", line)]


@pytest.mark.parametrize("kind", NAMES)
def test_what_is_yaml_can_be_parsed(kind: str) -> None:
    for made in recipe(kind).variants:
        if made.language == "yaml":
            assert list(yaml.safe_load_all("\n".join(made.lines)))


def test_a_better_transport_that_is_closed_is_named() -> None:
    made = recipe("linux", assumed("192.0.2.9", {"tcp": 514}))
    assert made.better == (
        "listeners: {relp_tls: {}}",
        "listeners: {relp: {}}",
        "listeners: {tls: {}}",
    )
    assert recipe("linux").better == ()


def test_the_kinds_of_a_datacentre_are_there() -> None:
    assert set(NAMES) >= {
        "vyos", "xcp-ng", "xen-orchestra", "truenas", "linux", "syslog-ng", "alloy", "fluent-bit", "kubernetes",
        "proxmox", "journald", "esxi", "opnsense", "pfsense", "unifi", "mikrotik", "cisco-ios", "cisco-asa", "meraki",
        "fortigate", "synology", "docker", "windows", "haproxy", "netapp",
    }  # fmt: skip


# ---- VyOS -----------------------------------------------------------------------------------


def test_vyos_sends_a_zone_where_octet_counted_alone_would_not() -> None:
    for title, word in (("VyOS 1.5", "remote"), ("VyOS 1.4 LTS", "host")):
        lines = variant(
            "vyos",
            title
            + (" and rolling since January 2025, over TCP" if word == "remote" else " (1.4.1 and later), over TCP"),
        )
        assert f"set system syslog {word} 192.0.2.9 format octet-counted" in lines
        assert f"set system syslog {word} 192.0.2.9 format include-timezone" in lines


def test_vyos_before_include_timezone_is_not_told_to_set_it() -> None:
    assert "include-timezone" not in variant("vyos", "VyOS 1.4.0")
    lines = variant("vyos", "VyOS 1.3, over TCP")
    assert "set system syslog host 192.0.2.9 facility all protocol tcp" in lines
    assert "set system syslog host 192.0.2.9 port 514" in lines  # without it: RFC 3164
    assert "format" not in lines


def test_vyos_by_tls_checks_our_name_as_vyos_recommends() -> None:
    for title, word in (("VyOS 1.5 and rolling since January 2025, over TLS", "remote"),
                        ("VyOS 1.4 LTS (1.4.1 and later), over TLS", "host")):  # fmt: skip
        lines = variant("vyos", title)
        assert f"set system syslog {word} 192.0.2.9 tls auth-mode name" in lines
        assert f"set system syslog {word} 192.0.2.9 tls permitted-peer fwd.example.org" in lines
        assert "set pki ca FORWARDER certificate 'TUlJQkFFRQ=='" in lines
        assert "certvalid" not in lines and "tls certificate " not in lines


def test_vyos_gets_a_client_certificate_when_we_ask_for_one() -> None:
    at = Forwarder("192.0.2.9", "fwd", tls=6514, wants_client_certificate=True)
    lines = variant("vyos", "VyOS 1.4 LTS", at)
    assert "set system syslog host 192.0.2.9 tls certificate FORWARDER-CLIENT" in lines
    assert "set pki certificate FORWARDER-CLIENT private key" in lines


def test_vyos_lines_that_come_twice_are_explained() -> None:
    assert "T9183" in text("vyos") and "ForwardToSyslog=no" in text("vyos")


# ---- XCP-ng and Xen Orchestra ---------------------------------------------------------------


def test_xcp_ng_sends_by_udp_to_the_port_that_is_open() -> None:
    assert "'logging:syslog_destination=192.0.2.9'\n" in text("xcp-ng")
    assert "'logging:syslog_destination=192.0.2.9:5514'\n" in text("xcp-ng", Forwarder("192.0.2.9", "fwd", udp=5514))


def test_xcp_ng_gets_an_ipv6_address_in_brackets() -> None:
    assert "'logging:syslog_destination=[2001:db8::9]'\n" in text("xcp-ng", Forwarder("2001:db8::9", "fwd", udp=514))


def test_xen_orchestra_is_told_a_transport_that_is_on() -> None:
    only_udp = text("xen-orchestra", Forwarder("192.0.2.9", "fwd", udp=514))
    assert "target = 'udp://192.0.2.9:514'" in only_udp and "tcp://" not in only_udp
    assert "target = 'tcp://[2001:db8::9]:601'" in text("xen-orchestra", Forwarder("2001:db8::9", "fwd", tcp=601))


def test_the_rule_that_drops_xapis_debug_lines_drops_those_only() -> None:
    from appliance.relay.labels.relabel import compile_rules

    config = parse("loki: {url: 'http://x/loki/api/v1/push'}\n" + "\n".join(QUIET) + "\n").config
    rules = compile_rules(config.labels.relabel_configs)
    for application, severity, kept in (
        ("xapi", "debug", False), ("xenopsd-xc", "debug", False), ("xapi", "informational", True),
        ("xapi", "error", True), ("sshd", "debug", True),
    ):  # fmt: skip
        labels = {"__syslog_message_app_name": application, "__syslog_message_severity": severity, "job": "syslog"}
        assert (rules.apply(labels) is not None) is kept, (application, severity)


# ---- TrueNAS --------------------------------------------------------------------------------


def test_truenas_2510_trusts_an_imported_certificate_for_its_ca_pages_are_gone() -> None:
    lines = variant("truenas", "TrueNAS 25.10 and later, over TLS")
    assert "Add to trusted store" in lines and PEM.strip() in lines
    assert "fwd.example.org:6514, Transport TLS" in lines
    assert "Certificate Authorities" not in lines and "Certificate Authority:" not in lines


def test_truenas_before_2510_imports_an_authority_and_keeps_the_port() -> None:
    for title in ("TrueNAS 24.10 and 25.04, over TLS", "TrueNAS SCALE up to 24.04 and CORE, over TLS"):
        lines = variant("truenas", title)
        assert "Import CA" in lines and "Syslog Server: fwd.example.org:6514" in lines


def test_truenas_has_each_version_by_tcp() -> None:
    lines = text("truenas")
    assert "192.0.2.9:514, Transport TCP" in lines
    assert "Syslog Server: 192.0.2.9:514\nSyslog Transport: TCP" in lines
    assert "Syslog Server: [2001:db8::9]:514" in text("truenas", Forwarder("2001:db8::9", "f", tcp=514))


def test_a_machine_with_the_journal_only_sends_in_the_framing_that_each_transport_wants() -> None:
    assert "Address=192.0.2.9:514\nProtocol=tcp\nLogFormat=rfc5424" in text("journald")
    assert "Address=[2001:db8::9]:6514\nProtocol=tls\nLogFormat=rfc5425" in text(
        "journald", Forwarder("2001:db8::9", "fwd", tls=6514)
    )
    asks = Forwarder("192.0.2.9", "fwd", tls=6514, tcp=514, wants_client_certificate=True)
    assert {variant.transport for variant in recipe("journald", asks).variants} == {"tcp"}


# ---- agents ---------------------------------------------------------------------------------


def test_alloy_and_fluent_bit_have_inputs_and_never_give_up() -> None:
    alloy = variant("alloy", "/etc/alloy")
    assert "loki.source.journal" in alloy and "loki.source.file" in alloy and "max_backoff_retries = 0" in alloy
    assert alloy.count("{") == alloy.count("}")
    pipeline = yaml.safe_load(variant("fluent-bit", "/etc/fluent-bit"))
    assert {entry["name"] for entry in pipeline["pipeline"]["inputs"]} == {"systemd", "tail"}
    assert all(entry["storage.type"] == "filesystem" for entry in pipeline["pipeline"]["inputs"])
    for output in pipeline["pipeline"]["outputs"]:
        assert output["retry_limit"] == "no_limits" and (output["host"], output["port"]) == ("192.0.2.9", 3500)
        assert "host=" in output["labels"]


def test_agents_use_tls_and_the_token_when_the_push_listener_wants_them() -> None:
    at = Forwarder("192.0.2.9", "fwd.example.org", push=3500, push_tls=True, push_token=True)
    alloy = variant("alloy", "/etc/alloy", at)
    assert 'url                 = "https://fwd.example.org:3500/loki/api/v1/push"' in alloy
    assert "bearer_token_file" in alloy and "ca_file" in alloy
    output = yaml.safe_load(variant("fluent-bit", "/etc/fluent-bit", at))["pipeline"]["outputs"][0]
    assert output["tls"] is True and output["bearer_token"] == "${FORWARDER_TOKEN}"
    assert "bearer_token" not in text("alloy") and "tls_config" not in text("alloy")


def test_an_ipv6_address_is_bracketed_in_urls() -> None:
    assert "http://[2001:db8::9]:3500/" in text("alloy", Forwarder("2001:db8::9", "fwd", push=3500))


def test_tls_and_token_of_the_push_listener_are_as_configured() -> None:
    config = parse(
        "loki: {url: 'http://x/loki/api/v1/push'}\nrelay:\n  listen: {push: '0.0.0.0:3500'}\n"
        "  push: {tls: {}, clients: [{name: k8s, token_file: /etc/appliance/secrets/k8s}]}\n"
    ).config
    at = forwarder(config, ["198.51.100.4"])
    assert (at.push, at.push_tls, at.push_token) == (3500, True, True)


# ---- the forwarder --------------------------------------------------------------------------


def test_the_forwarder_is_as_configured() -> None:
    config = parse(
        "loki: {url: 'http://x/loki/api/v1/push'}\nlisteners: {tcp: {port: 601}, relp_tls: {}}\n"
        "relay: {listen: {push: '127.0.0.1:1'}}\n"
    ).config
    at = forwarder(config, ["198.51.100.4"], PEM)
    assert (at.address, at.tcp, at.udp, at.push, at.relp_tls) == ("198.51.100.4", 601, None, None, 2515)
    assert forwarder(config, []).address == "forwarder"
    assert at.authority_base64() == "TUlJQkFFRQ=="
