"""A relay under everything hostile at once stays small and goes on, and a restart on what was stored needs no more."""

import http.client
import threading
import time
from collections import Counter

import psutil
import pytest

from tests.conftest import StartRelay
from tests.harness.hostile import JSON, endless, flood, half_said, hostile_bodies, json_push
from tests.harness.net import wait_until
from tests.harness.processes import Relay
from tests.loki_double import LokiUnderTest

LIMIT = 200 * 2**20  # bytes
LOUD = [f"127.0.1.{n}" for n in range(1, 21)]


class Watch(threading.Thread):
    """Samples the relay's memory, and how long it takes to say that it is ready.

    `calm` is asked beside it: what that one takes is this machine's other work, not ours.
    """

    def __init__(self, relay: Relay, calm: Relay | None = None) -> None:
        super().__init__(daemon=True)
        self._relay = relay
        self._calm = calm
        self._process = psutil.Process(relay.pid)
        self.stop = threading.Event()
        self.largest = 0
        self.waits: list[float] = []

    def run(self) -> None:
        while not self.stop.wait(0.05):
            self.largest = max(self.largest, self._process.memory_info().rss)
            if len(self.waits) * 0.2 < time.monotonic() - self._began:
                started = time.monotonic()
                assert self._relay.get("/ready")[0] == 200
                took = time.monotonic() - started
                if self._calm is not None:
                    assert self._calm.get("/ready")[0] == 200
                    took -= time.monotonic() - started - took
                self.waits.append(took)

    def start(self) -> None:
        self._began = time.monotonic()
        super().start()


def honest(relay: Relay, stop: threading.Event, waits: list[float]) -> None:
    """A client as it should be: one line at a time, each waited for."""
    number = 0
    while not stop.is_set():
        client = http.client.HTTPConnection("127.0.0.1", relay.push, timeout=60, source_address=("127.0.0.5", 0))
        started = time.monotonic()
        client.request("POST", "/loki/api/v1/push", json_push(f"n={number} ", job="honest"), {"Content-Type": JSON})
        if client.getresponse().status == 204:
            waits.append(time.monotonic() - started)
            number += 1
        client.close()
        stop.wait(0.1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hostile_pushes_and_two_thousand_connections_cost_200_mib_and_nobody_else_their_turn(
    loki_process: LokiUnderTest, start_relay: StartRelay
) -> None:
    relay = start_relay(loki_process.push_url)
    loki_process.fault("refuse")  # everything that is taken stays in the spool
    calm = start_relay(loki_process.push_url, name="calm")
    watch, stop = Watch(relay, calm), threading.Event()
    watch.start()
    silent = half_said(relay.push, 1050, lambda n: b"POST /loki/api/v1/push HTTP/1.1\r\nX: " + b"y" * 15_000, LOUD)
    body = b"POST /loki/api/v1/push HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"z" * 100_000
    silent += half_said(relay.push, 150, lambda n: body, LOUD)
    silent += half_said(relay.syslog_tcp, 400, lambda n: b"200000 <13>1 - - - - - - " + b"s" * 100_000, LOUD)
    silent += half_said(relay.relp, 400, lambda n: b"1 syslog 200000 " + b"r" * 100_000, LOUD)
    answers: Counter[int] = Counter()
    waits: list[float] = []
    bodies = hostile_bodies()
    threads = [
        threading.Thread(target=flood, args=(relay.push, endless(bodies, 5 * n), f"127.0.2.{n + 1}", stop, answers))
        for n in range(6)
    ]
    threads.append(threading.Thread(target=honest, args=(relay, stop, waits)))
    for thread in threads:
        thread.start()
    time.sleep(40)
    stop.set()
    for thread in threads:
        thread.join(90)
    watch.stop.set()
    watch.join(10)
    for sock in silent:
        sock.close()
    print(
        f"largest {watch.largest / 2**20:.0f} MiB, answers {dict(answers)}, {len(waits)} honest pushes in "
        f"{max(waits):.2f} s at most, ready in {max(watch.waits):.2f} s at most"
    )
    assert answers[413] and answers[204] and not answers[500], answers
    assert watch.largest <= LIMIT
    assert sorted(watch.waits)[int(len(watch.waits) * 0.95)] < 1
    assert len(waits) > 3

    relay.kill()
    relay.up()
    again = Watch(relay)
    again.start()
    loki_process.clear()
    wait_until(lambda: loki_process.count('{job="honest"}') >= len(waits), 120, what=lambda: relay.output[-3000:])
    again.stop.set()
    again.join(10)
    print(f"after the restart {again.largest / 2**20:.0f} MiB")
    assert again.largest <= LIMIT
