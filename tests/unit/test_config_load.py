"""Loading a configuration: valid ones are accepted, all problems are reported, each with path and hint."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config.dump import dump
from appliance.config.load import MAX_FILE, load, load_checked, parse
from appliance.config.model import Config, Loki, UdpListener
from appliance.config.problems import ConfigError, Problem
from appliance.errors import UsageError

URL = "http://127.0.0.1:3100/loki/api/v1/push"
MINIMAL = f"""
loki:
  url: {URL}
relay:
  listen:
    relp: 127.0.0.1:2514
    syslog_tcp: 127.0.0.1:1514
    push: 127.0.0.1:3500
    http: 127.0.0.1:9081
  spool:
    path: ./spool
    max_size: 2GiB
labels:
  static: {{job: syslog}}
"""


def problems_of(text: str) -> dict[str, Problem]:
    with pytest.raises(ConfigError) as raised:
        parse(text)
    return {problem.path: problem for problem in raised.value.problems if problem.severity == "error"}


def loki(extra: str) -> str:
    return f"loki:\n  url: {URL}\n" + extra


# ---- what is taken --------------------------------------------------------------------------


def test_the_smallest_file_of_a_relay_is_valid() -> None:
    config, warnings = parse(MINIMAL)
    assert config.relay.listen.syslog_tcp is not None
    assert config.relay.listen.syslog_tcp.port == 1514
    assert config.relay.spool.max_size == 2 * 2**30
    assert config.labels.static == {"job": "syslog"}
    assert warnings == []


def test_everything_but_the_url_has_a_default_and_the_defaults_are_valid() -> None:
    config, _ = parse(loki(""))
    assert config == Config(loki=Loki(url=URL))


def test_what_is_absent_is_off_and_an_empty_mapping_is_on_with_defaults() -> None:
    config, _ = parse(loki("listeners:\n  udp: {}\n"))
    assert config.listeners.udp == UdpListener()
    assert config.listeners.tcp is None


def test_an_empty_section_has_its_defaults_and_an_empty_listener_is_off_with_a_warning() -> None:
    config, warnings = parse(loki("labels:\nrelay:\nlisteners:\n  udp:\n"))
    assert config == Config(loki=Loki(url=URL))
    assert "listeners.udp" in [problem.path for problem in warnings]


def test_what_rsyslog_listens_to_is_enough_and_only_a_machine_without_any_listener_is_warned_about() -> None:
    assert parse(loki("listeners: {udp: {}, tcp: {}}\n")).warnings == []
    assert parse(loki("relay: {listen: {push: '127.0.0.1:3500'}}\n")).warnings == []
    (warning,) = parse(loki("")).warnings
    assert (warning.path, warning.message) == ("listeners", "nothing listens: no device can send logs")


def test_problems_come_by_severity_before_they_come_by_line() -> None:
    text = loki("  tls: {insecure_skip_verify: true}\nlisteners:\n  tcp: {port: 99999}\n")
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert [problem.path for problem in caught.value.problems] == [
        "listeners.tcp.port",
        "loki.tls.insecure_skip_verify",
    ]


@pytest.mark.parametrize("word", ["off", "1.2", "07", "2026-01-01", "no", "1_000", "0x10", "12:30:00"])
def test_text_means_what_it_says_whatever_yaml_would_guess(word: str) -> None:
    config, _ = parse(loki(f"labels:\n  static: {{rack: {word}}}\n"))
    assert config.labels.static == {"rack": word}


def test_a_choice_that_yaml_takes_for_a_number_or_a_switch_is_a_choice() -> None:
    config, _ = parse(loki("  tls: {min_version: 1.3}\nsystem:\n  network:\n    ipv6: {method: off}\n"))
    assert config.loki.tls.min_version == "1.3"
    assert config.system.network.ipv6.method == "off"


def test_relabelling_is_taken_as_prometheus_writes_it() -> None:
    config, _ = parse(
        loki(
            "labels:\n  relabel_configs:\n"
            "  - source_labels: [__syslog_message_hostname]\n    target_label: host\n"
            "  - {regex: '__syslog_message_sd_(.+)', action: labelmap}\n"
            "  - {source_labels: [host], regex: 'noise-\\d+', action: drop}\n"
            "  - {source_labels: [host], modulus: 8, target_label: shard, action: hashmod}\n"
        )
    )
    assert [rule.action for rule in config.labels.relabel_configs] == ["replace", "labelmap", "drop", "hashmod"]


def test_aliases_are_taken_where_they_stand_for_values() -> None:
    config, _ = parse(loki("  headers: &same {X-Site: a}\nlabels:\n  static: {job: &job syslog, kind: *job}\n"))
    assert config.labels.static == {"job": "syslog", "kind": "syslog"}


# ---- what is refused ------------------------------------------------------------------------


def test_all_problems_are_said_at_once_each_with_path_value_line_and_hint() -> None:
    text = (
        "loki:\n  url: loki.example\n  tenat: x\n  timeout: soon\n"
        "relay:\n  listen:\n    relp: nowhere\n  batch: {size: 64MiB}\n"
        "labels:\n  level: grafanna\n  guard: {max_streams: 5000}\n"
        "listeners:\n  tcp: {port: 99999}\n"
    )
    found = problems_of(text)
    assert set(found) == {
        "loki.url",
        "loki.tenat",
        "loki.timeout",
        "relay.listen.relp",
        "relay.batch.size",
        "labels.level",
        "labels.guard.max_streams",
        "listeners.tcp.port",
    }
    assert found["loki.tenat"].hint == "did you mean tenant?"
    assert found["labels.level"].value == "grafanna"
    assert "grafana, syslog" in found["labels.level"].hint
    assert "1 and 65535" in found["listeners.tcp.port"].hint
    assert [found[path].line for path in ("loki.url", "relay.listen.relp", "listeners.tcp.port")] == [2, 7, 13]
    assert all(problem.hint for problem in found.values())


def test_a_missing_url_is_said_and_hides_no_other_problem() -> None:
    found = problems_of("loki: {}\nlabels:\n  static: {9: x}\n")
    assert set(found) == {"loki.url", "labels.static.9"}
    assert set(problems_of("labels: {}\n")) == {"loki"}
    assert set(problems_of("")) == {"loki"}


def test_a_key_in_the_wrong_place_is_told_its_place() -> None:
    assert problems_of(loki("spool: {}\n"))["spool"].hint == "it belongs to relay"
    assert "relay.time" in problems_of(loki("relay:\n  max_past: 1d\n"))["relay.max_past"].hint


def test_a_key_that_is_there_twice_is_refused_with_both_lines() -> None:
    found = problems_of(loki(f"  url: {URL}\n"))["loki.url"]
    assert "duplicate" in found.message
    assert "line 2" in found.message
    assert found.line == 3


def test_a_secret_in_the_file_is_refused_and_never_shown() -> None:
    with pytest.raises(ConfigError) as raised:
        parse("loki:\n  url: https://me:hunter2@loki.example/loki/api/v1/push\n  password: hunter3\n")
    assert "hunter" not in raised.value.message
    assert "password_file" in raised.value.message


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("loki:\n  url: https://loki.example.org\n", "loki.url", "no path"),
        ("loki:\n  url: ftp://loki.example.org/loki/api/v1/push\n", "loki.url", "http"),
        ("loki:\n  url: http:///loki/api/v1/push\n", "loki.url", "host"),
        ("loki:\n  url: http://a:99999/loki/api/v1/push\n", "loki.url", "host"),
        ("loki:\n  url: 'http://a b/loki/api/v1/push'\n", "loki.url", "host"),
        (loki("  proxy: proxy.example:3128\n"), "loki.proxy", "proxy"),
        (loki("  headers: {x-scope-orgid: a}\n"), "loki.headers.x-scope-orgid", "set by the relay"),
        (loki("  headers: {'a b': c}\n"), "loki.headers.a b", "header"),
        (loki('  headers: {X-A: "b\\nc"}\n'), "loki.headers.X-A", "one line"),
        (loki("  tenant: a/b\n"), "loki.tenant", "tenant"),
        (
            loki("  bearer_token_file: /t\n  basic_auth: {username: u, password_file: /p}\n"),
            "loki.bearer_token_file",
            "two",
        ),
        (loki("  tls: {cert_file: /c}\n"), "loki.tls.key_file", "missing"),
        (loki("  backoff: {min: 1m, max: 1s}\n"), "loki.backoff.min", "fit"),
        (loki("  connections: 0\n"), "loki.connections", "range"),
        (loki("  connections: many\n"), "loki.connections", "whole number"),
        (loki("  connections: [1]\n"), "loki.connections", "not a list"),
        (loki("  connections:\n"), "loki.connections", "it is empty"),
        (loki("  tls: on\n"), "loki.tls", "mapping"),
        (loki("labels:\n  include: host\n"), "labels.include", "list"),
        (loki("labels:\n  include: [hots]\n"), "labels.include[0]", "choices"),
        (loki("labels:\n  static: {__x: a}\n"), "labels.static.__x", "__"),
        (loki("labels:\n  static: {x: ''}\n"), "labels.static.x", "empty"),
        (loki("labels:\n  static: {}\n  include: []\n"), "labels.static", "no label"),
        (
            loki("labels:\n  relabel_configs: [{regex: '(?=a)', target_label: b}]\n"),
            "labels.relabel_configs[0].regex",
            "RE2",
        ),
        (
            loki("labels:\n  relabel_configs: [{regex: '(', target_label: b}]\n"),
            "labels.relabel_configs[0].regex",
            "RE2",
        ),
        (
            loki("labels:\n  relabel_configs: [{action: replace}]\n"),
            "labels.relabel_configs[0].target_label",
            "missing",
        ),
        (loki("labels:\n  relabel_configs: [{action: keep}]\n"), "labels.relabel_configs[0].source_labels", "missing"),
        (
            loki("labels:\n  relabel_configs: [{action: labeldrop, regex: a, target_label: b}]\n"),
            "labels.relabel_configs[0].target_label",
            "has no effect",
        ),
        (
            loki("labels:\n  relabel_configs: [{action: hashmod, source_labels: [a], target_label: b}]\n"),
            "labels.relabel_configs[0].modulus",
            "missing",
        ),
        (loki("relay:\n  time:\n    senders: [{address: 10.1.2.3/16}]\n"), "relay.time.senders[0].address", "first"),
        (loki("relay:\n  time:\n    senders: [{address: x}]\n"), "relay.time.senders[0].address", "not an address"),
        (
            loki("relay:\n  time:\n    senders: [{address: 10.0.0.0/8, timezone: Mars/X}]\n"),
            "relay.time.senders[0].timezone",
            "no such",
        ),
        (loki("relay:\n  time: {max_past: 30d}\n"), "relay.time.max_past", "refuses"),
        (loki("relay:\n  batch: {size: 5MiB}\n"), "relay.batch.size", "more than Loki"),
        (loki("relay:\n  spool: {path: ''}\n"), "relay.spool.path", "empty"),
        (loki("relay:\n  listen: {relp: '127.0.0.1:514', push: '127.0.0.1:514'}\n"), "relay.listen.push", "used by"),
        (loki("relay:\n  listen: {relp: '127.0.0.1:2514'}\nlisteners:\n  relp: {}\n"), "relay.listen.relp", "used by"),
        (loki("listeners:\n  udp: {address: eth0}\n"), "listeners.udp.address", "not an IP"),
        (
            loki("listeners:\n  tls: {tls: {client_certificates: names}}\n"),
            "listeners.tls.tls.permitted_names",
            "empty",
        ),
        (loki("listeners:\n  relp_tls: {tls: }\n  journal: perhaps\n"), "listeners.journal", "true or false"),
    ],
)
def test_what_cannot_work_is_refused_at_its_path(text: str, path: str, words: str) -> None:
    found = problems_of(text)
    assert path in found, found
    assert words in found[path].message


def test_ports_of_different_protocols_or_addresses_do_not_collide() -> None:
    parse(loki("listeners:\n  udp: {}\n  tcp: {}\n"))
    parse(loki("relay:\n  listen: {push: '127.0.0.2:3500', http: '127.0.0.1:3500'}\n"))
    parse(loki("relay:\n  listen: {push: '127.0.0.1:0', http: '127.0.0.1:0'}\n"))


def test_a_relay_that_trusts_the_network_is_warned_about() -> None:
    _, warnings = parse(loki("relay:\n  listen: {relp: '0.0.0.0:2514'}\n"))
    assert [problem.path for problem in warnings] == ["relay.listen.relp"]


def test_a_rule_over_the_name_of_a_connection_is_told_that_it_is_an_address() -> None:
    rule = "{source_labels: [__syslog_connection_hostname], target_label: peer}"
    _, warnings = parse(loki(f"labels:\n  relabel_configs: [{rule}]\n"))
    [warning] = [one for one in warnings if one.path == "labels.relabel_configs[0].source_labels[0]"]
    assert "address" in warning.message


# ---- what is not YAML ------------------------------------------------------------------------


def test_a_tab_is_named_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"a tab indents in line 2"):
        parse("loki:\n\turl: x\n")


@pytest.mark.parametrize(
    "text", ["loki: [", "a: b: c", "loki: {url: 'x}", "%", "---\na: 1\n---\nb: 2\n", "&a", "*nothing"]
)
def test_bad_yaml_is_one_problem_with_line_and_column(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text)
    assert re.search(r"line \d+", raised.value.message) or "missing" in raised.value.message


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 100_000, "a: &x [*x]\n"])
def test_deep_or_endless_nesting_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text)


@pytest.mark.timeout(20)
def test_a_bomb_of_aliases_is_refused_in_bounded_time() -> None:
    bomb = "labels:\n  relabel_configs:\n" + "".join(
        f"  - &a{level} {{source_labels: [{', '.join(['*a' + str(level - 1)] * 9) if level else 'x'}]}}\n"
        for level in range(12)
    )
    with pytest.raises(ConfigError):
        parse(loki(bomb))
    lists = "\n".join(f"l{level}: &l{level} [{','.join([f'*l{level - 1}'] * 9)}]" for level in range(1, 12))
    with pytest.raises(ConfigError):
        parse(f"l0: &l0 [x]\n{lists}\nlabels: {{include: *l11}}\n")
    with pytest.raises(ConfigError, match="aliases"):
        parse(loki("labels:\n  relabel_configs:\n  - &r {source_labels: [a]}\n" + "  - *r\n" * 12_000))


def test_a_file_that_is_too_large_or_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "appliance.yaml"
    with pytest.raises(UsageError, match="there is no"):
        load(file)
    with pytest.raises(UsageError, match="directory"):
        load(tmp_path)
    file.write_bytes(b"#" * (MAX_FILE + 1))
    with pytest.raises(ConfigError, match="larger"):
        load(file)
    file.write_bytes(b"loki:\n  url: \xff\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(file)
    file.write_text("\ufeff" + MINIMAL)
    assert load_checked(file).config.loki.url == URL


# ---- writing --------------------------------------------------------------------------------


def test_a_configuration_survives_being_written_and_read() -> None:
    text = loki(
        "  timeout: 1500ms\n  limits: {stream_rate: 5MB/s}\n  tls: {min_version: 1.3}\n"
        "labels:\n  static: {job: 'on', rack: '1.2'}\n  relabel_configs: [{regex: 'a.*', target_label: b}]\n"
        "listeners:\n  udp: {}\n  relp_tls: {tls: {client_certificates: ca}}\n"
        "relay:\n  time: {senders: [{address: 10.0.0.0/8, timezone: Europe/Paris}]}\n"
    )
    config, _ = parse(text)
    for full in (False, True):
        written = dump(config, full=full)
        assert parse(written).config == config
        # Another reader of YAML sees the same words.
        assert yaml.safe_load(written)["labels"]["static"] == {"job": "on", "rack": "1.2"}


def test_what_is_as_by_default_is_not_written() -> None:
    assert yaml.safe_load(dump(parse(loki("  encoding: protobuf\nlisteners: {udp: {port: 514}}\n")).config)) == {
        "loki": {"url": URL},
        "listeners": {"udp": {}},
    }


# ---- properties -----------------------------------------------------------------------------

KEYS = st.sampled_from(
    "loki labels relay listeners system access url tls static listen relp time senders address "
    "relabel_configs regex source_labels spool max_size udp headers limits".split()
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=6)
)


def answer(text: str) -> None:
    """A configuration or a ConfigError; anything else fails the test."""
    try:
        config, _ = parse(text)
    except ConfigError as error:
        assert error.problems
        assert all(problem.message for problem in error.problems)
    else:
        assert parse(dump(config)).config == config


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_any_tree_is_answered_with_a_configuration_or_its_problems(tree: dict[str, object]) -> None:
    answer(yaml.safe_dump(tree, allow_unicode=True))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_answered_with_a_configuration_or_its_problems(text: str) -> None:
    answer(text)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_is_answered_with_a_configuration_or_its_problems(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(MINIMAL)))
    length = data.draw(st.integers(0, 10))
    insert = data.draw(st.text(alphabet=":{}[]-&*!|>'\"#%@`, \n\t~\0aé", max_size=6))
    answer(MINIMAL[:position] + insert + MINIMAL[position + length :])
