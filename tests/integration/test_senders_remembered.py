"""A restart of the relay forgets no sender: who was seen before is known after, with its first time and its count."""

import json
import time
from typing import Any

from tests.conftest import StartRelay
from tests.harness.net import wait_until
from tests.harness.processes import Relay
from tests.harness.senders import lines, numbered, send_tcp
from tests.loki_double import LokiUnderTest


def senders(relay: Relay) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(relay.get("/status")[1])["sources"]
    return found


def test_senders_are_known_over_a_restart_also_when_loki_is_away(loki: LokiUnderTest, start_relay: StartRelay) -> None:
    relay = start_relay(loki.push_url)
    loki.fault("refuse")
    send_tcp(relay.syslog_tcp, lines(numbered(range(50), hosts=5)))
    wait_until(
        lambda: sum(one["messages"] for one in senders(relay)["latest"]) == 50, 20, what="the senders are counted"
    )
    before = {one["sender"]: one for one in senders(relay)["latest"]}
    assert len(before) >= 1
    relay.terminate()
    stopped = time.time()
    relay.up()
    after = {one["sender"]: one for one in senders(relay)["latest"]}
    assert after.keys() == before.keys()
    for name, one in after.items():
        assert one["messages"] == before[name]["messages"]
        assert one["first_seen"] == before[name]["first_seen"] < stopped
        assert one["last_seen"] < stopped, "nothing came since"
    send_tcp(relay.syslog_tcp, lines(numbered(range(50), hosts=5)))
    total = sum(one["messages"] for one in before.values())
    wait_until(lambda: sum(one["messages"] for one in senders(relay)["latest"]) == 50 + total, 20, what="they count on")
    assert not list(relay.spool.glob("*.new"))
