"""Who may push and who may look: what is open to the network by mistake is refused before anything changes."""

import pytest
import yaml

from appliance.config.dump import dump
from appliance.config.load import parse
from appliance.config.problems import ConfigError, Problem
from appliance.config.promtail import convert
from appliance.config.secret_files import secret_files

LOKI = "loki: {url: http://127.0.0.1:3100/loki/api/v1/push}\n"
TOKEN = "token_file: /etc/appliance/secrets/a"


def problems(relay: str) -> list[Problem]:
    try:
        return list(parse(LOKI + f"relay: {relay}\n").warnings)
    except ConfigError as error:
        return list(error.problems)


@pytest.mark.parametrize("address", ["0.0.0.0:3500", ":3500", "'[::]:3500'", "10.0.0.9:3500"])
def test_a_push_address_on_the_network_needs_clients_or_a_word_that_anyone_may(address: str) -> None:
    (problem,) = problems(
        f"{{listen: {{push: {address!r}}}}}" if "'" not in address else f"{{listen: {{push: {address}}}}}"
    )
    assert (problem.path, problem.severity) == ("relay.push.clients", "error")
    assert "appliance token new" in problem.hint and "anyone: true" in problem.hint
    address = address.strip("'")
    (warning,) = problems(f"{{listen: {{push: '{address}'}}, push: {{anyone: true}}}}")
    assert (warning.path, warning.severity) == ("relay.push.anyone", "warning")
    assert not problems(f"{{listen: {{push: '{address}'}}, push: {{tls: {{client_certificates: ca}}}}}}")
    assert not problems(f"{{listen: {{push: '{address}'}}, push: {{tls: {{}}, clients: [{{name: a, {TOKEN}}}]}}}}")


def test_on_loopback_nothing_is_needed() -> None:
    for address in ("127.0.0.1:3500", "localhost:3500", "[::1]:3500"):
        assert not problems(f"{{listen: {{push: '{address}', http: '{address[:-4]}9081'}}}}")


def test_status_and_metrics_on_the_network_need_a_token_or_ranges() -> None:
    listen = "listen: {push: '127.0.0.1:3500', http: '0.0.0.0:9081'}"
    (problem,) = problems(f"{{{listen}}}")
    assert (problem.path, problem.severity) == ("relay.http", "error")
    assert not problems(f"{{{listen}, http: {{token_file: /x}}}}")
    assert not problems(f"{{{listen}, http: {{from: [10.1.2.0/24]}}}}")


@pytest.mark.parametrize(
    ("clients", "path"),
    [
        ("[{name: a}]", "relay.push.clients[0]"),
        ("[{name: a, user: u}]", "relay.push.clients[0].password_file"),
        ("[{name: a, password_file: /x}]", "relay.push.clients[0].user"),
        (f"[{{name: a, user: u, password_file: /x, {TOKEN}}}]", "relay.push.clients[0].password_file"),
        (f"[{{name: a, {TOKEN}, tenant: t, tenants: [u]}}]", "relay.push.clients[0].tenants"),
        (f"[{{name: a, {TOKEN}, tenant: 'a/b'}}]", "relay.push.clients[0].tenants"),
        (f"[{{name: a, {TOKEN}, labels: {{a-b: c}}}}]", "relay.push.clients[0].labels.a-b"),
        (f"[{{name: a, {TOKEN}, labels: {{a: ''}}}}]", "relay.push.clients[0].labels.a"),
        (f"[{{name: a, {TOKEN}, from: [10.0.0.1/8]}}]", "relay.push.clients[0].from[0]"),
        (f"[{{name: a, {TOKEN}, from: ['fe80::1%x accept #']}}]", "relay.push.clients[0].from[0]"),
        (f"[{{name: a, {TOKEN}}}, {{name: a, {TOKEN}}}]", "relay.push.clients"),
        (f"[{{name: '../x', {TOKEN}}}]", "relay.push.clients[0].name"),
        (f"[{{name: a, token: secret, {TOKEN}}}]", "relay.push.clients[0].token"),
    ],
)
def test_a_client_that_cannot_be_meant_is_refused_at_its_place(clients: str, path: str) -> None:
    found = problems(f"{{listen: {{push: '127.0.0.1:3500'}}, push: {{clients: {clients}}}}}")
    assert path in [problem.path for problem in found if problem.severity == "error"]


def test_secrets_in_the_clear_are_warned_about() -> None:
    found = problems(f"{{listen: {{push: '0.0.0.0:3500'}}, push: {{clients: [{{name: a, {TOKEN}}}]}}}}")
    assert [(problem.path, problem.severity) for problem in found] == [("relay.push.tls", "warning")]


def test_what_is_written_is_read_again_and_its_secrets_are_known() -> None:
    text = (
        LOKI
        + """
relay:
  listen: {push: "0.0.0.0:3500", http: "0.0.0.0:9081"}
  http: {token_file: /s/metrics, from: [10.9.0.0/16]}
  push:
    tls: {client_certificates: names, permitted_names: ["*.example.org"]}
    clients:
      - {name: k8s-prod, token_file: /s/k8s, tenant: prod, labels: {cluster: prod}, from: [10.0.0.0/8]}
      - {name: b, user: u, password_file: /s/b, tenants: [x, y]}
"""
    )
    config = parse(text).config
    assert config.relay.push.clients[0].addresses == ["10.0.0.0/8"]
    assert parse(dump(config)).config == config
    assert yaml.safe_load(dump(config))["relay"]["push"]["clients"][0]["from"] == ["10.0.0.0/8"]
    found = {where: str(path) for where, path in secret_files(config)}
    assert found["relay.push.clients[0].token_file"] == "/s/k8s"
    assert found["relay.push.clients[1].password_file"] == "/s/b"
    assert found["relay.http.token_file"] == "/s/metrics"
    assert "relay.push.tls.key_file" in found


@pytest.mark.parametrize("where", ["listeners: {udp: {address: '%s'}}", "relay: {time: {senders: [{address: '%s'}]}}"])
def test_a_zone_behind_an_address_reaches_no_generated_file(where: str) -> None:
    """`fe80::1%x accept #` stood in nftables' file before (finding 15)."""
    with pytest.raises(ConfigError):
        parse(LOKI + where % "fe80::1%x accept #" + "\n")


def test_what_promtail_had_open_is_carried_over_and_said() -> None:
    conversion = convert("""\
server: {http_listen_port: 9080}
clients: [{url: http://loki/loki/api/v1/push}]
scrape_configs:
  - job_name: p
    loki_push_api: {server: {http_listen_port: 3500}}
""")
    config = parse(conversion.text).config
    assert config.relay.push.anyone
    assert "relay.push.clients" in " ".join(note.text for note in conversion.notes)
