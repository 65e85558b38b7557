"""`appliance dead-letters`: what Loki refused is listed, sent again after a fix by a running relay, or dropped."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.conftest import StartRelay
from tests.harness.load import RelpLoad
from tests.harness.net import wait_until
from tests.harness.senders import rfc5424
from tests.loki_double import InProcessLoki, proto
from tests.loki_double.front import Request, Response


def cli(*words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "appliance.cli.main", *words], capture_output=True, text=True, timeout=60,
        env={**os.environ, "NO_COLOR": "1"}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout + done.stderr


def refusing(loki: InProcessLoki, word: bytes) -> Any:
    handle = loki.double.handle

    def answer(request: Request) -> Response:
        if request.path.endswith("/push") and word in proto.uncompress(request.body):
            return Response(400, b"the cat is on the keyboard\n")
        return handle(request)

    loki.double.handle = answer  # type: ignore[method-assign]
    return handle


def test_dead_letters_are_shown_and_sent_again_by_the_running_relay(start_relay: StartRelay) -> None:
    loki = InProcessLoki()
    try:
        handle = refusing(loki, b"poison")
        relay = start_relay(loki.push_url)
        load = RelpLoad(relay.relp, total=60, rate=20, make=lambda n: rfc5424(f"n={n}" + " poison" * (n in (7, 9))))
        load.finish(stop=False)
        config = ("--config", str(relay.config_file))
        wait_until(lambda: "2 lines could not be delivered" in cli("dead-letters", "list", *config), 60)
        status = json.loads(relay.get("/status")[1])
        assert sum(status["dead_letters"]["by_reason"].values()) == 2
        assert any("2 lines could not be delivered" in one["problem"] for one in status["problems"])
        listed = [json.loads(line) for line in cli("dead-letters", "list", "--json", *config).splitlines()]
        assert sorted(one["line"] for one in listed) == ["n=7 poison", "n=9 poison"]
        shown = cli("dead-letters", "show", listed[0]["id"][:6], *config)
        assert "the cat is on the keyboard" in shown and listed[0]["line"] in shown
        loki.double.handle = handle  # type: ignore[method-assign]
        assert "1 line will be sent again" in cli("dead-letters", "retry", listed[0]["id"], *config)
        wait_until(lambda: listed[0]["line"].encode() in loki.lines(), 30)
        [metadata] = [metadata for _, _, line, metadata in loki.entries() if line == listed[0]["line"]]
        assert metadata["dead_letter"] == "refused"
        assert "1 line could not be delivered" in cli("dead-letters", "list", *config)
        assert "add --yes" in cli("dead-letters", "drop", "--all", *config, code=2)
        assert "1 line dropped" in cli("dead-letters", "drop", "--all", "--yes", *config)
        assert "no line waits here" in cli("dead-letters", "list", *config)
        tally = loki.tally(60)
        assert (tally.lost, tally.duplicates) == (1, 0)
    finally:
        loki.close()


def test_a_retry_without_a_relay_waits_for_it(start_relay: StartRelay, tmp_path: Path) -> None:
    from appliance.relay.loki.push_format import Entry
    from appliance.relay.spool.dead_letters import DeadLetter, DeadLetters

    loki = InProcessLoki()
    try:
        relay = start_relay(loki.push_url, up=False)
        spool = Path(relay.spool)
        dead = DeadLetters(spool / "dead-letters", 10**6)
        entry = Entry(time.time_ns(), b"kept \xff", (("a", "b"),))
        dead.keep([DeadLetter("", '{job="x"}', entry, "refused", "no")], lambda: None)
        assert "when the relay starts" in cli("dead-letters", "retry", "--all", "--config", str(relay.config_file))
        relay.up()
        wait_until(lambda: b"kept \xff" in loki.lines(), 30)
    finally:
        loki.close()


def test_wrong_requests_end_in_a_sentence(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(f"loki: {{url: http://127.0.0.1:1/x}}\nrelay: {{spool: {{path: {tmp_path}/spool}}}}\n")
    assert "which lines?" in cli("dead-letters", "retry", "--config", str(config), code=2)
    assert "there is no dead letter abc" in cli("dead-letters", "drop", "abc", "--config", str(config), code=1)
    assert "no line waits here" in cli("dead-letters", "list", "--config", str(config))
