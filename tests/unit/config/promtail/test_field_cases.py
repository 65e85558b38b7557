"""Promtail's files as they are found in the field: each thing is taken over, or noted with its line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config.load import parse
from appliance.config.promtail import Conversion, Fate, Given, convert, convert_all
from appliance.config.promtail.convert import Text


def said(conversion: Conversion, line: int) -> str:
    return " | ".join(note.text for note in conversion.notes if note.line == line)


def fates(conversion: Conversion) -> dict[Fate, list[str]]:
    return {fate: [str(note) for note in conversion.of(fate)] for fate in Fate}


SYSLOG = "scrape_configs:\n- job_name: syslog\n  syslog: {listen_address: '0.0.0.0:1514', labels: {job: syslog}}\n"
CLIENT = "clients: [{url: http://loki:3100/loki/api/v1/push}]\n"


def test_a_port_below_1024_becomes_a_listener_for_the_relay_cannot_bind_it() -> None:
    conversion = convert(CLIENT + SYSLOG.replace("1514", "514"))
    config = parse(conversion.text).config
    assert config.listeners.tcp is not None and config.listeners.tcp.port == 514
    assert config.relay.listen.syslog_tcp is None
    assert "cannot bind" in said(conversion, 4)


def test_of_client_and_clients_the_second_url_is_noted() -> None:
    text = "client: {url: http://a:3100/loki/api/v1/push}\nclients: [{url: http://b:3100/loki/api/v1/push}]\n"
    conversion = convert(text + SYSLOG)
    assert parse(conversion.text).config.loki.url == "http://a:3100/loki/api/v1/push"
    assert "one Loki" in said(conversion, 2)


EXPANDED = """\
clients: [{url: 'http://${LOKI_HOST:-loki}:3100/loki/api/v1/push'}]
scrape_configs:
- job_name: s
  syslog: {listen_address: ':1514', labels: {job: syslog, collector: '${HOSTNAME}'}}
  relabel_configs:
  - {source_labels: [__syslog_message_hostname], regex: '([^.]+)[.].*', replacement: '$${1}', target_label: host}
  - {source_labels: [__syslog_message_app_name], target_label: '${APP_LABEL}'}
"""


def test_variables_of_expand_env_are_put_in_or_asked_for() -> None:
    conversion = convert(EXPANDED)
    config = parse(conversion.text).config
    assert config.loki.url == "http://loki:3100/loki/api/v1/push" and "default" in said(conversion, 1)
    assert config.labels.static == {"job": "syslog"} and "--env HOSTNAME=VALUE" in said(conversion, 4)
    assert [rule.replacement for rule in config.labels.relabel_configs] == ["${1}"]
    assert "--env APP_LABEL=VALUE" in said(conversion, 7)

    given = Given([Text(EXPANDED)], environment={"HOSTNAME": "logs1", "APP_LABEL": "app", "LOKI_HOST": "l"})
    conversion = convert_all(given)
    config = parse(conversion.text).config
    assert config.labels.static == {"job": "syslog", "collector": "logs1"}
    assert [rule.target_label for rule in config.labels.relabel_configs] == ["host", "app"]
    assert config.loki.url == "http://l:3100/loki/api/v1/push" and not conversion.of(Fate.UNSUPPORTED)


def test_groups_of_an_expression_are_no_variables() -> None:
    rule = (
        "{source_labels: [__syslog_message_hostname], regex: '(?P<n>.*)', replacement: '${n}-$1', target_label: host}"
    )
    conversion = convert(CLIENT + SYSLOG + f"  relabel_configs: [{rule}]\n")
    assert [rule.replacement for rule in parse(conversion.text).config.labels.relabel_configs] == ["${n}-$1"]


def test_the_old_push_path_and_a_batch_that_loki_refuses_are_corrected_with_a_note() -> None:
    conversion = convert("clients: [{url: http://loki:3100/api/prom/push, batchsize: 10485760}]\n" + SYSLOG)
    config = parse(conversion.text).config
    assert config.loki.url == "http://loki:3100/loki/api/v1/push" and config.relay.batch.size == 2 * 2**20
    assert "old API" in said(conversion, 1) and "4MiB" in said(conversion, 1)


def test_a_slash_after_push_is_corrected_in_the_model_itself() -> None:
    checked = parse("loki: {url: 'https://loki.example.org/loki/api/v1/push/'}\n")
    assert checked.config.loki.url == "https://loki.example.org/loki/api/v1/push"
    assert not [problem for problem in checked.warnings if problem.path == "loki.url"]
    conversion = convert("clients: [{url: 'https://loki/loki/api/v1/push/'}]\n" + SYSLOG)
    assert "slash" in said(conversion, 1)


def test_an_idle_timeout_that_was_not_set_stays_what_it_was() -> None:
    conversion = convert(CLIENT + SYSLOG)
    assert parse(conversion.text).config.relay.connections.idle_timeout == 120
    assert "idle_timeout was not set" in said(conversion, 4)


def test_port_514_closed_is_said_loudly_unless_something_opens_it() -> None:
    (note,) = list(convert(CLIENT + SYSLOG).of(Fate.ACTION))
    assert "PORT 514 IS CLOSED" in note.text and "--rsyslog" in note.text
    assert not convert(CLIENT + SYSLOG.replace("1514", "514")).of(Fate.ACTION)


def test_own_endpoints_are_on_loopback_unless_asked() -> None:
    text = "server: {http_listen_port: 9080, http_listen_address: 0.0.0.0}\n" + CLIENT + SYSLOG
    assert parse(convert(text).text).config.relay.listen.http == "127.0.0.1:9080"
    asked = convert_all(Given([Text(text)], http_address="192.0.2.1"))
    assert asked.problems is None
    relay = parse(asked.text).config.relay
    assert relay.listen.http == "192.0.2.1:9080" and "10.0.0.0/8" in relay.http.addresses


def test_tcp_and_udp_jobs_side_by_side_keep_their_labels_apart() -> None:
    conversion = convert(
        CLIENT
        + """\
scrape_configs:
- job_name: tcp
  syslog: {listen_address: ':1514', labels: {job: syslog, via: tcp}}
  relabel_configs:
  - {source_labels: [__syslog_message_hostname], target_label: host}
  - {source_labels: [__syslog_message_app_name], target_label: app}
- job_name: udp
  syslog: {listen_address: ':1514', listen_protocol: udp, labels: {job: syslog, via: udp}}
  relabel_configs:
  - {source_labels: [__syslog_message_hostname], target_label: host}
  - {source_labels: [__syslog_message_severity], regex: debug, action: drop}
"""
    )
    assert conversion.problems is None and not conversion.of(Fate.UNSUPPORTED)
    config, warnings = parse(conversion.text)
    assert config.listeners.udp is not None and config.listeners.udp.port == 1514
    assert config.relay.listen.syslog_tcp == ":1514" and config.labels.static == {"job": "syslog"}
    assert not [warning for warning in warnings if "relabel" in warning.path]
    from appliance.relay.labels.relabel import compile_rules

    rules = compile_rules(config.labels.relabel_configs)
    line = {"__syslog_message_hostname": "h", "__syslog_message_app_name": "a", "__syslog_message_severity": "debug"}
    assert rules.apply({**line, "__syslog_input": "udp"}) is None
    by_tcp = rules.apply({**line, "__syslog_input": "syslog_tcp"})
    assert by_tcp is not None and (by_tcp["via"], by_tcp["host"], by_tcp["app"]) == ("tcp", "h", "a")
    by_udp = rules.apply({**line, "__syslog_message_severity": "error", "__syslog_input": "udp"})
    assert by_udp is not None and by_udp["via"] == "udp" and "app" not in by_udp


def test_a_keep_of_one_of_two_jobs_is_noted_for_it_would_drop_the_others_lines() -> None:
    conversion = convert(
        CLIENT + "scrape_configs:\n- syslog: {listen_address: ':1514'}\n"
        "- syslog: {listen_address: ':1514', listen_protocol: udp}\n"
        "  relabel_configs:\n  - {source_labels: [__syslog_message_severity], regex: error, action: keep}\n"
    )
    assert "for the lines of the others" in said(conversion, 6)


def test_a_second_push_api_is_noted_and_the_first_is_opened() -> None:
    conversion = convert(
        CLIENT + "scrape_configs:\n- loki_push_api: {server: {http_listen_port: 3500, grpc_listen_port: 0}}\n"
        "- loki_push_api: {server: {http_listen_port: 3600}, labels: {a: b}}\n"
    )
    assert conversion.problems is None
    config = parse(conversion.text).config
    assert config.relay.listen.push == "0.0.0.0:3500" and "3600" in said(conversion, 4)
    # As before everybody may push, and that is said.
    assert config.relay.push.anyone and "relay.push.clients" in said(conversion, 3)


def test_merge_keys_and_aliases_are_followed() -> None:
    conversion = convert(
        """\
clients: [{url: http://loki:3100/loki/api/v1/push}]
x-syslog: &syslog
  listen_address: 0.0.0.0:1514
  idle_timeout: 30s
  labels: &labels {job: syslog}
scrape_configs:
- job_name: s
  syslog:
    <<: *syslog
    idle_timeout: 45s
    labels: {<<: *labels, site: paris}
"""
    )
    config = parse(conversion.text).config
    assert config.relay.listen.syslog_tcp == "0.0.0.0:1514" and config.relay.connections.idle_timeout == 45
    assert config.labels.static == {"job": "syslog", "site": "paris"}
    assert "x-syslog" not in conversion.text


def test_tls_of_a_syslog_job_becomes_a_tls_listener() -> None:
    job = "{listen_address: ':6514', tls_config: {cert_file: /c, key_file: /k, ca_file: /a}}"
    config = parse(convert(CLIENT + f"scrape_configs: [{{syslog: {job}}}]\n").text).config
    assert config.listeners.tls is not None and config.listeners.tls.port == 6514
    assert (config.listeners.tls.tls.cert_file, config.listeners.tls.tls.client_certificates) == ("/c", "ca")


STAGES = (
    "match regex json logfmt replace drop multiline labels structured_metadata timestamp output template tenant "
    "limit sampling decolorize metrics pack geoip eventlogmessage"
).split()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_the_relay_has_no_means_for_is_noted_by_name_on_its_line(stage: str) -> None:
    conversion = convert(CLIENT + SYSLOG + f"  pipeline_stages:\n  - static_labels: {{a: b}}\n  - {stage}: {{x: y}}\n")
    assert stage in said(conversion, 7) and "not carried over" in said(conversion, 7)
    assert conversion.problems is None


def test_stages_within_a_match_are_noted_one_by_one() -> None:
    stages = """\
  pipeline_stages:
  - match:
      selector: '{job="syslog"} |= "x"'
      stages:
      - drop: {expression: x}
      - json: {}
"""
    conversion = convert(CLIENT + SYSLOG + stages)
    assert '{job="syslog"} |= "x"' in said(conversion, 6)
    assert "stage drop" in said(conversion, 9) and "stage json" in said(conversion, 10)


def test_stages_that_the_relay_can_do_are_converted() -> None:
    stages = """\
  pipeline_stages:
  - static_labels: {site: paris}
  - labeldrop: [job]
  - tenant: {value: office}
"""
    conversion = convert(CLIENT + SYSLOG + stages)
    config = parse(conversion.text).config
    assert config.labels.static["site"] == "paris" and config.loki.tenant == "office"
    assert [(rule.action, rule.regex) for rule in config.labels.relabel_configs] == [("labeldrop", "job")]
    kept = parse(convert(CLIENT + SYSLOG + "  pipeline_stages: [{labelallow: [job, host]}]\n").text).config
    assert [(rule.action, rule.regex) for rule in kept.labels.relabel_configs] == [("labelkeep", "job|host")]


WHOLE = """\
server: {http_listen_port: 9080}
clients:
- url: http://loki:3100/loki/api/v1/push
  batchwait: 2s
scrape_configs:
- job_name: s
  syslog:
    listen_address: 0.0.0.0:1514
    labels: {job: syslog}
  relabel_configs:
  - source_labels: [__syslog_message_hostname]
    target_label: host
  pipeline_stages:
  - json: {expressions: {a: b}}
- job_name: push
  loki_push_api:
    server: {http_listen_port: 3500}
- job_name: pods
  kubernetes_sd_configs: [{role: pod}]
  relabel_configs:
  - source_labels: [__meta_kubernetes_namespace]
    target_label: namespace
"""


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_nothing_that_is_added_anywhere_is_lost_without_a_note_on_its_line(data: st.DataObject) -> None:
    lines = WHOLE.splitlines()
    places = [number for number, line in enumerate(lines) if line and not line.startswith("server")]
    number = data.draw(st.sampled_from(places))
    line = lines[number]
    indent = len(line) - len(line.lstrip(" -"))
    name = "zz_" + data.draw(st.text("abcdefgh", min_size=1, max_size=8))
    value = data.draw(st.sampled_from(["7", "{deep: {deeper: 1}}", "[1, 2]", "text"]))
    added = [*lines[:number], line, f"{' ' * indent}{name}: {value}", *lines[number + 1 :]]
    text = "\n".join(added) + "\n"
    if line.rstrip().endswith(":"):
        return  # the key above would take it for its value
    conversion = convert(text)
    assert [note for note in conversion.notes if note.line == number + 2], text
