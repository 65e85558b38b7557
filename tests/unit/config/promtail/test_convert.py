"""Promtail's configuration imported: what has a counterpart is carried over, the rest is said with its line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config.load import parse
from appliance.config.promtail import Conversion, convert
from appliance.errors import ApplianceError

USUAL = """\
server:
  http_listen_port: 9081
  grpc_listen_port: 0
positions:
  filename: /var/tmp/promtail-syslog-positions.yml
clients:
  - url: http://loki.example.org/loki/api/v1/push
scrape_configs:
  - job_name: syslog
    syslog:
      listen_address: 0.0.0.0:1514
      listen_protocol: tcp
      idle_timeout: 60s
      label_structured_data: yes
      labels:
        job: "syslog"
    relabel_configs:
      - source_labels: [ '__syslog_message_hostname' ]
        target_label: 'host'
"""


def notes_of(conversion: Conversion) -> dict[int, str]:
    return {note.line: note.text for note in conversion.notes}


def test_a_usual_syslog_promtail_becomes_a_valid_configuration() -> None:
    conversion = convert(USUAL)
    assert conversion.problems is None
    config, _ = parse(conversion.text)
    assert config.loki.url == "http://loki.example.org/loki/api/v1/push"
    assert config.relay.listen.syslog_tcp == "0.0.0.0:1514"
    assert config.relay.listen.http == "127.0.0.1:9081"  # our own endpoints, for others only when asked
    assert config.relay.connections.idle_timeout == 60
    assert config.labels.static == {"job": "syslog"}
    assert config.labels.include == []
    assert [rule.target_label for rule in config.labels.relabel_configs] == ["host"]
    # Promtail stamps entries with the time of arrival unless told otherwise.
    assert config.relay.time.timestamp == "received"
    assert "spool" in notes_of(conversion)[4]


def test_a_clients_settings_are_carried_over() -> None:
    text = """\
clients:
  - url: https://loki.example.org/loki/api/v1/push
    tenant_id: office
    batchwait: 2s
    batchsize: 524288
    timeout: 15s
    basic_auth: {username: me, password_file: /secret}
    external_labels: {site: paris}
    headers: {X-Way: promtail}
    tls_config: {ca_file: /ca, cert_file: /c, key_file: /k, server_name: loki, min_version: TLS13}
    backoff_config: {min_period: 1s, max_period: 1m, max_retries: 10}
    proxy_url: http://proxy:3128
"""
    conversion = convert(text)
    assert conversion.problems is None
    config, _ = parse(conversion.text)
    assert (config.loki.tenant, config.loki.timeout, config.relay.batch.size) == ("office", 15, 524288)
    assert config.relay.batch.age == 2
    assert config.loki.basic_auth is not None
    assert config.loki.basic_auth.password_file == "/secret"
    assert (config.loki.tls.ca_file, config.loki.tls.key_file, config.loki.tls.min_version) == ("/ca", "/k", "1.3")
    assert (config.loki.backoff.min, config.loki.backoff.max) == (1, 60)
    assert config.labels.static == {"site": "paris"}
    assert config.loki.headers == {"X-Way": "promtail"}
    assert config.loki.proxy == "http://proxy:3128"
    assert "forever" in notes_of(conversion)[11]


@pytest.mark.parametrize(
    "client",
    [
        "{url: 'http://me:hunter2@loki/loki/api/v1/push'}",
        "{url: http://loki/loki/api/v1/push, basic_auth: {username: me, password: hunter2}}",
        "{url: http://loki/loki/api/v1/push, bearer_token: hunter2}",
        "{url: http://loki/loki/api/v1/push, authorization: {credentials: hunter2}}",
    ],
)
def test_a_secret_is_never_copied_and_its_new_place_is_said(client: str) -> None:
    conversion = convert(f"clients: [{client}]\n")
    assert conversion.problems is None
    assert "hunter2" not in conversion.text + "".join(map(str, conversion.notes))
    assert "_file: /etc/appliance/secrets/" in conversion.text
    assert any("mode 0600" in note.text for note in conversion.notes)


def test_the_name_of_a_connection_is_said_to_be_an_address() -> None:
    conversion = convert("""\
clients: [{url: http://loki/loki/api/v1/push}]
scrape_configs:
  - job_name: s
    syslog: {listen_address: ":1514"}
    relabel_configs:
      - source_labels: [__syslog_connection_hostname]
        target_label: peer
""")
    assert conversion.problems is None
    assert "no name server" in notes_of(conversion)[6]


def test_everything_without_a_counterpart_is_said_with_its_line() -> None:
    text = """\
clients:
  - url: http://one/loki/api/v1/push
    oauth2: {client_id: a}
  - url: http://two/loki/api/v1/push
scrape_configs:
  - job_name: s
    syslog:
      listen_address: :1514
      use_incoming_timestamp: true
      use_rfc5424_message: true
      syslog_format: rfc3164
      tls_config: {cert_file: a}
    pipeline_stages:
      - drop: {expression: x}
      - json: {}
  - job_name: files
    static_configs: [{targets: [localhost]}]
  - job_name: second
    syslog: {listen_address: ':1515'}
limits_config: {readline_rate: 1}
tracing: {}
"""
    conversion = convert(text)
    assert conversion.problems is None
    assert {3, 4, 10, 11, 12, 14, 15, 16, 18, 20, 21} <= set(notes_of(conversion))
    assert parse(conversion.text).config.relay.time.timestamp == "message"


def test_what_would_not_be_valid_is_said_too() -> None:
    rule = "{source_labels: [a], regex: '(?=x)', target_label: b}"
    conversion = convert(USUAL.replace("relabel_configs:\n", f"relabel_configs:\n      - {rule}\n"))
    assert conversion.problems is not None
    assert "relabel_configs[0].regex" in conversion.problems.message


def test_what_is_not_promtails_is_refused() -> None:
    for text in ("", "[]", "a: b", "clients: {url: [x]}", "clients: [", "\tclients:"):
        with pytest.raises(ApplianceError):
            convert(text)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_is_converted_or_refused_never_anything_else(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(USUAL)))
    length = data.draw(st.integers(0, 12))
    insert = data.draw(st.text(alphabet=":{}[]-&*!|>'\"#%@`, \n\t~\0aé", max_size=6))
    try:
        convert(USUAL[:position] + insert + USUAL[position + length :])
    except ApplianceError as error:
        assert error.message
