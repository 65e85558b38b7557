"""The user's own box: two Promtail configurations and the rsyslog file, converted without loss."""

import re
from pathlib import Path

import pytest

from appliance.config.load import parse
from appliance.config.promtail import Fate, Given, convert_all
from appliance.config.promtail.convert import Text
from appliance.config.promtail.notes import Draft
from appliance.config.promtail.rsyslog_file import feed, read_rsyslog
from appliance.sources.kubernetes.review import review
from appliance.sources.label_comparison import SAMPLES, compare

BOX = Path(__file__).parents[2] / "data" / "old-box"


def text(name: str) -> Text:
    return Text((BOX / name).read_text(), name)


def embedded() -> Text:
    (config,) = review(text("kubernetes.yaml").text, "kubernetes.yaml").configs
    return Text(config.text, "kubernetes.yaml", config.offset)


def test_the_syslog_box_with_its_rsyslog_file_converts_without_loss() -> None:
    conversion = convert_all(Given([text("promtail.yml")], [text("rsyslog-promtail.conf")]))
    assert conversion.problems is None
    assert not conversion.of(Fate.UNSUPPORTED) and not conversion.of(Fate.ACTION)
    config = parse(conversion.text).config
    assert config.listeners.udp is not None and config.listeners.udp.port == 514
    assert config.listeners.tcp is not None and config.listeners.tcp.port == 514
    assert config.relay.listen.syslog_tcp == "0.0.0.0:1514" and config.relay.connections.idle_timeout == 60
    assert config.labels.static == {"job": "syslog"} and config.labels.include == []
    assert config.loki.url == "http://loki.innovalia.xyz/loki/api/v1/push"


def test_without_the_rsyslog_file_it_is_loud_about_port_514() -> None:
    conversion = convert_all(Given([text("promtail.yml")]))
    (note,) = conversion.of(Fate.ACTION)
    assert "PORT 514 IS CLOSED" in note.text


def test_its_lines_keep_the_streams_that_they_had() -> None:
    conversion = convert_all(Given([text("promtail.yml")], [text("rsyslog-promtail.conf")]))
    config = parse(conversion.text).config
    (job,) = conversion.jobs
    rules = config.labels.relabel_configs
    for source in job.inputs:
        rows = compare(job.labels, rules, config.labels, source, behind_rsyslog=True)
        assert len(rows) == len(SAMPLES) and all(row.same for row in rows)
        assert rows[0].now == {"job": "syslog", "host": "web1"}


def test_the_configuration_in_the_cluster_converts_without_loss() -> None:
    conversion = convert_all(Given([embedded()]))
    assert conversion.problems is None and not conversion.of(Fate.UNSUPPORTED)
    config = parse(conversion.text).config
    assert {rule.target_label for rule in config.labels.relabel_configs} == {
        "host", "hostname", "level", "application", "facility", "connection_hostname",
    }  # fmt: skip
    (pods,) = conversion.pods
    targets = [rule.made.get("target_label", rule.made.get("action")) for rule in pods.rules]
    assert targets == ["labelmap", "job", "namespace", "pod", "container"]
    assert config.relay.listen.push == "0.0.0.0:3500" and config.relay.push.tls is not None
    assert [client.name for client in config.relay.push.clients] == ["kubernetes"]


def test_all_of_it_together_becomes_one_configuration() -> None:
    conversion = convert_all(Given([text("promtail.yml"), embedded()], [text("rsyslog-promtail.conf")]))
    assert conversion.problems is None and not conversion.of(Fate.UNSUPPORTED)
    assert any("labels of both" in note.text for note in conversion.of(Fate.CHANGED))


def test_every_line_of_every_file_that_says_something_has_a_note() -> None:
    """Keys whose children are noted need none; a setting on its own line does."""
    conversion = convert_all(Given([text("promtail.yml"), embedded()], [text("rsyslog-promtail.conf")]))
    noted = {(note.source, note.line) for note in conversion.notes}
    for name, begin in (("promtail.yml", 1), ("kubernetes.yaml", embedded().offset + 1)):
        lines = text(name).text.splitlines()
        end = next((n for n, line in enumerate(lines[begin:], begin) if line.startswith("---")), len(lines))
        for number in range(begin, end + 1):
            if re.match(r"\s*(?:- )?(url|listen_address|idle_timeout|label_structured_data|http_listen_port):",
                        lines[number - 1]):  # fmt: skip
                assert (name, number) in noted, lines[number - 1]


# ---- rsyslog files of other boxes -----------------------------------------------------------


def opened(conf: str, port: int = 1514) -> tuple[dict[str, int], Draft]:
    syslog = f"scrape_configs:\n- syslog: {{listen_address: ':{port}'}}\n"
    given = Given([Text("clients: [{url: http://l/loki/api/v1/push}]\n" + syslog)])
    jobs = convert_all(given).jobs
    for job in jobs:
        job.inputs = ()
    draft = Draft()
    feed(draft, read_rsyslog(conf, "r.conf"), jobs)
    return {name: value["port"] for name, value in draft.made.get("listeners", {}).items()}, draft


@pytest.mark.parametrize(
    ("conf", "ports"),
    [
        (("$ModLoad imudp\n$UDPServerRun 514\n$ModLoad imtcp\n$InputTCPServerRun 601\n"
         "*.* @@127.0.0.1:1514;RSYSLOG_SyslogProtocol23Format\n"), {"udp": 514, "tcp": 601}),
        (('module(load="imptcp")\ninput(type="imptcp" port="514")\n'
         'action(type="omfwd" target="127.0.0.1" port="1514" protocol="tcp")\n'), {"tcp": 514}),
        ('module(load="imrelp")\ninput(type="imrelp" port="2514" tls="on")\n', {"relp_tls": 2514}),
        ('module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1")\ninput(type="imtcp" port="6514")\n',
         {"tls": 6514}),
        ('# input(type="imudp" port="514")\n', {}),
    ],
)  # fmt: skip
def test_ports_are_read_in_both_forms_of_rsyslogs_language(conf: str, ports: dict[str, int]) -> None:
    assert opened(conf)[0] == ports


def test_what_is_not_understood_is_noted_with_its_line() -> None:
    conf = """\
module(load="imudp")
input(type="imudp" port="514" rateLimit.Interval="5")
input(type="imudp" port="1515")
if $programname == 'x' then stop
action(type="omfile" file="/var/log/all")
*.* @192.0.2.1:514
"""
    _, draft = opened(conf)
    lines = {note.line: note.text for note in draft.notes if note.fate is Fate.UNSUPPORTED}
    assert set(lines) == {2, 3, 4, 5, 6}
    assert "one port, 514" in lines[3] and "192.0.2.1" in lines[6]


@pytest.mark.parametrize("conf", ["", "input(", 'input(type="imudp" port="', 'ruleset(name="a"){', '"', "}{)(", "\\"])
def test_a_damaged_file_is_read_as_far_as_it_goes(conf: str) -> None:
    opened(conf)
