"""What an apply says at its end is true, also of what it does not roll back for."""

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config.load import parse
from appliance.config.model import Config
from appliance.host.apply import StepState
from appliance.host.apply.afterwards import _lines, afterwards
from appliance.host.layout import Layout
from tests.harness.net import free_port
from tests.loki_double import InProcessLoki


def config(url: str) -> Config:
    return parse(f"loki: {{url: '{url}'}}\nlisteners: {{udp: {{}}}}\n").config


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    status = {"queue": {}, "uptime": 900.0, "sources": {"count": 3},
              "inputs": {"udp": {"messages_per_second_10s": 12.5, "messages": 7000}}}  # fmt: skip

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(status).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "etc/appliance").mkdir(parents=True)
    where = f"relay:\n  listen:\n    http: 127.0.0.1:{server.server_address[1]}\n"
    (tmp_path / "etc/appliance/relay.yaml").write_text(where)
    yield Layout(tmp_path)
    server.shutdown()
    server.server_close()


def test_a_loki_that_is_reached_and_lines_that_flow_are_said(layout: Layout) -> None:
    loki = InProcessLoki()
    steps = {step.title: step for step in afterwards(config(loki.push_url), layout)}
    loki.close()
    assert steps["Lines"].detail == "12.5 lines/s now, 3 senders known"
    assert (steps["Loki"].state, steps["Loki"].detail) == (StepState.DONE, "Loki is reached and accepts lines")
    assert loki.count() == 0, "looking stores nothing"


def test_a_loki_that_is_away_is_a_warning_that_says_where_lines_are(layout: Layout) -> None:
    url = f"http://127.0.0.1:{free_port()}/loki/api/v1/push"
    *_, last = afterwards(config(url), layout)
    assert last.state is StepState.WARNED
    assert last.detail == "Loki is not reached: Loki refused the connection; lines wait here"
    assert "loki.url" in last.remedy


def test_a_loki_that_never_answers_keeps_nobody_waiting(layout: Layout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        *_, last = afterwards(config(f"http://127.0.0.1:{silent.getsockname()[1]}/loki/api/v1/push"), layout, within=1)
        assert time.monotonic() - began < 4
    assert last.state is StepState.WARNED and "lines wait here" in last.detail


def test_of_a_relay_that_has_just_started_what_came_since_then_is_said() -> None:
    status = {"uptime": 4.2, "sources": {"count": 3}, "inputs": {"udp": {"messages": 30}, "tcp": {"messages": 7}}}
    assert _lines(status) == "37 in the 4 s since the relay started, 3 senders known"
    assert _lines({"uptime": 4.2}).startswith("none in the 4 s")


def test_a_relay_that_does_not_answer_is_said(tmp_path: Path) -> None:
    (tmp_path / "etc/appliance").mkdir(parents=True)
    (tmp_path / "etc/appliance/relay.yaml").write_text(f"relay:\n  listen:\n    http: 127.0.0.1:{free_port()}\n")
    first, *_ = afterwards(config(f"http://127.0.0.1:{free_port()}/x"), Layout(tmp_path))
    assert first.state is StepState.WARNED and "does not answer" in first.detail
