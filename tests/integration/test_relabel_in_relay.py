"""relabel_configs at work in the running relay: keep and drop have an effect, meta labels do not leak."""

import json

from tests.conftest import StartRelay
from tests.harness.net import wait_until
from tests.harness.senders import octet_counted, rfc5424, send_tcp
from tests.loki_double import LokiUnderTest

RULES = [
    {"source_labels": ["__syslog_message_app_name"], "regex": "noisy|chatty", "action": "drop"},
    {"source_labels": ["__syslog_message_hostname"], "regex": "([a-z]+)[0-9]+", "target_label": "role"},
    {"source_labels": ["__syslog_message_sd_meta_42_team"], "target_label": "team"},
    {"source_labels": ["host"], "target_label": "shard", "action": "hashmod", "modulus": 4},
    {"source_labels": ["application"], "target_label": "application", "action": "uppercase"},
    {"regex": "level", "action": "labeldrop"},
]


def test_rules_shape_the_streams_and_drops_are_counted(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url, {"labels": {"relabel_configs": RULES}})
    messages = [
        rfc5424("one", host="web1", application="nginx", structured_data='[meta@42 team="blue"]'),
        rfc5424("two", host="web1", application="noisy"),
        rfc5424("three", host="-", application="cron"),
        rfc5424("four", host="web1", application="noisynot"),
    ]
    send_tcp(relay.syslog_tcp, octet_counted(messages))
    wait_until(lambda: loki.count() >= 3, 10)
    found = {line: labels for labels, _, line, _ in loki.entries()}
    shard = found["one"].pop("shard")
    assert shard in "0123"
    assert found["one"] == {"job": "syslog", "host": "web1", "application": "NGINX", "role": "web", "team": "blue"}
    assert found["four"]["application"] == "NOISYNOT"
    assert "role" not in found["three"] and "level" not in found["three"]
    assert "two" not in found
    assert sum(json.loads(relay.get("/status")[1])["dropped"].values()) == 1


def test_keep_lets_nothing_else_through_and_acknowledges_what_it_drops(
    loki: LokiUnderTest, start_relay: StartRelay
) -> None:
    from tests.harness.relp_client import RelpClient

    keep = {"source_labels": ["__syslog_message_severity"], "regex": "error|critical", "action": "keep"}
    relay = start_relay(loki.push_url, {"labels": {"relabel_configs": [keep]}})
    client = RelpClient(relay.relp, patience=10)
    client.send(rfc5424(f"n={n}", pri=24 + (3 if n % 5 == 0 else 6)) for n in range(100))
    client.close()
    wait_until(lambda: loki.count() >= 20, 10)
    assert sorted(int(line[2:]) for line in loki.lines()) == list(range(0, 100, 5))


def test_rules_are_reloaded_by_sighup(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    import signal

    relay = start_relay(loki.push_url)
    send_tcp(relay.syslog_tcp, octet_counted([rfc5424("before")]))
    relay.configure({"labels": {"relabel_configs": [{"target_label": "site", "replacement": "north"}]}})
    relay.signal(signal.SIGHUP)
    wait_until(lambda: "configuration was reloaded" in relay.output, 5)
    send_tcp(relay.syslog_tcp, octet_counted([rfc5424("after")]))
    wait_until(lambda: loki.count() >= 2, 10)
    assert {line: labels.get("site") for labels, _, line, _ in loki.entries()} == {"before": None, "after": "north"}
