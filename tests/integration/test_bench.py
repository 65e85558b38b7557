"""The benchmark runs, counts what it sends, takes other forwarders, and its load is what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import load
from tests.harness.net import free_port

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^(?P<name>\S.*?) {2,}(?P<rate>[\d,]+) +(?P<cpu>[\d.]+) +(?P<rss>\d+) +\d+ +(?P<lost>-?\d+)$")

# Another forwarder: octet-counted TCP in, gzipped JSON out; it loses what it is asked to.
PEER = """\
import gzip, json, re, socket, sys, time, urllib.request
port, sink, lose = map(int, sys.argv[1:4])
listener = socket.create_server(("127.0.0.1", port))
while True:
    connection, _ = listener.accept()
    connection.settimeout(0.5)
    data, received = b"", b"."
    while received:
        try:
            received = connection.recv(65536)
            data += received
            if received:
                continue
        except TimeoutError:
            pass
        lines = []
        while found := re.match(rb" *([0-9]+) ", data):
            end = found.end() + int(found[1])
            lines.append(data[found.end():end])
            data = data[end:]
        values = [[str(time.time_ns()), line.decode()] for line in lines[lose:]]
        body = gzip.compress(json.dumps({"streams": [{"stream": {"job": "peer"}, "values": values}]}).encode())
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        if lines:
            url = f"http://127.0.0.1:{sink}/loki/api/v1/push"
            urllib.request.urlopen(urllib.request.Request(url, body, headers)).read()
    connection.close()
"""


def bench(*arguments: str, status: int = 0) -> dict[str, re.Match[str]]:
    """The rows of the table by the name of the system."""
    result = subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == status, result.stdout + result.stderr
    return {row["name"]: row for line in result.stdout.splitlines() if (row := ROW.match(line))}


def test_the_load_is_the_one_described() -> None:
    """50 hosts, 15 programs and 9 priorities, 200 bytes, octet-counted."""
    messages = list(load.messages(load.Shape(messages=20_000)))
    heads = [message.split(b" ", 5) for message in messages]
    assert {len(head) for head in heads} == {6}
    assert (len({head[2] for head in heads}), len({head[3] for head in heads})) == (50, 15)
    assert len({head[0] for head in heads}) == 9
    assert all(190 <= len(message) <= 210 for message in messages)
    assert b"".join(load.octet_counted(iter([b"abc"]))) == b"3 abc"


@pytest.mark.parametrize(("hosts", "programs"), [(5, 2), (200, 20), (2000, 50)])
def test_in_turn_each_label_set_is_there(hosts: int, programs: int) -> None:
    sets = hosts * programs
    messages = load.messages(load.Shape(sets, hosts, programs, 1, in_turn=True))
    assert len({tuple(message.split(b" ", 4)[2:4]) for message in messages}) == sets


@pytest.mark.slow
def test_the_first_table_has_the_floor_the_relay_alone_and_the_whole_box() -> None:
    rows = bench("--messages", "5000")
    assert list(rows) == [
        "floor, TCP", "relay, TCP", "relay, TCP, RFC 3164", "relay, TCP, 6 h old", "relay, RELP",
        "receiver + relay, TCP", "receiver + relay, TCP, RFC 3164", "rsyslog + relay, RELP",
    ]  # fmt: skip
    assert all(row["lost"] == "0" and int(row["rss"]) > 10 for row in rows.values())
    assert all(
        float(row["cpu"]) > 0 for name, row in rows.items() if name != "floor, TCP"
    )  # which is too little to see


@pytest.mark.slow
def test_a_forwarder_can_stand_behind_rsyslog_as_in_the_box_that_was_replaced(tmp_path: Path) -> None:
    program = tmp_path / "peer.py"
    program.write_text(PEER)
    rows = bench(
        "--messages", "300", "--only", "omfwd", "--replaced", f"old={sys.executable} {program} {{port}} {{sink}} 0"
    )
    assert list(rows) == ["rsyslog omfwd + old", "rsyslog omfwd + old, RFC 3164"]
    assert {row["lost"] for row in rows.values()} == {"0"}


@pytest.mark.slow
@pytest.mark.parametrize("point", ["streams: 10", "senders: 100", "message size: 32,000 B", "backlog: 100,000 entries"])
def test_the_second_table_shows_how_cost_grows(point: str) -> None:
    rows = bench("growth", "--messages", "2000", "--only", point)
    assert point in rows
    assert {row["lost"] for row in rows.values()} == {"0"}


@pytest.mark.slow
def test_udp_is_sent_at_a_rate_and_counted() -> None:
    [row] = bench("udp", "--rate", "2000", "--seconds", "2").values()
    assert row["lost"] == "0"


@pytest.mark.slow
def test_another_forwarder_is_a_command_line_and_a_port(tmp_path: Path) -> None:
    program = tmp_path / "peer.py"
    program.write_text(PEER)
    port, sink = free_port(), free_port()
    fixed = f"fixed:{port}={sys.executable} {program} {port} {sink} 0"
    row = bench("--messages", "300", "--only", "fixed", "--peer", fixed, "--sink-port", str(sink))["fixed"]
    assert row["lost"] == "0"
    loses = f"filled in={sys.executable} {program} {{port}} {{sink}} 7"
    row = bench("--messages", "300", "--only", "filled in", "--peer", loses, status=1)["filled in"]
    assert row["lost"] == "7"


def test_a_forwarder_that_does_not_listen_is_said_with_its_words() -> None:
    mute = f"mute={sys.executable} -c \"import sys; sys.exit('no such option')\""
    result = subprocess.run(
        [sys.executable, "-m", "bench", "--messages", "10", "--only", "mute", "--peer", mute],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 1 and "no such option" in result.stderr
