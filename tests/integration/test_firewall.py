"""The firewall as the kernel keeps it: from another network namespace only what is on can be reached."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.config.load import parse
from appliance.host.system import render as names
from appliance.host.system.render import Secrets, render
from appliance.host.tree import File

SCRIPT = """
set -e
unshare --net sleep 60 &
outside=$!
trap 'kill $outside' EXIT
sleep 0.3
ip link set lo up
ip link add v0 type veth peer name v1
ip link set v1 netns $outside
ip address add 192.0.2.1/24 dev v0
ip address add 192.0.2.3/24 dev v0
ip address add 2001:db8::1/64 dev v0 nodad
ip link set v0 up
out() { nsenter --target $outside --net "$@"; }
out ip address add 192.0.2.2/24 dev v1
out ip address add 2001:db8::2/64 dev v1 nodad
out ip link set v1 up
nft -f "$RULES"
python3 - <<'END' &
import select, socket
servers = []
for port in (22, 514, 6514, 9081, 2514):
    servers.append(socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("", 514)); servers.append(udp)
for server in servers: server.setblocking(False)
print("listening", flush=True)
while True:
    for ready in select.select(servers, [], [])[0]:
        if ready is udp:
            data, sender = udp.recvfrom(100); udp.sendto(data, sender)
        else:
            ready.accept()
END
server=$!
trap 'kill $outside $server' EXIT
sleep 1
out python3 - <<'END'
import socket
for host in ("192.0.2.1", "192.0.2.3", "2001:db8::1"):
    for port in (22, 514, 6514, 9081, 2514):
        try:
            socket.create_connection((host, port), 0.4).close(); print("open", host, port)
        except OSError as error: print("shut", host, port, type(error).__name__)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.settimeout(1)
udp.connect(("192.0.2.1", 514)); udp.send(b"x")
try: udp.recv(10); print("open udp 514")
except OSError: print("shut udp 514")
END
python3 -c 'import socket; socket.create_connection(("127.0.0.1", 9081), 1); print("loopback 9081")'
"""


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    if os.geteuid() != 0 or any(shutil.which(name, path="/usr/sbin:/usr/bin") is None for name in ("unshare", "nft")):
        pytest.skip("needs root, unshare and nft")
    probe = subprocess.run(["unshare", "--net", "nft", "add", "table", "inet", "x"], capture_output=True)
    if probe.returncode:
        pytest.skip(f"this kernel has no nftables in namespaces: {probe.stderr.decode()}")


def run(listeners: str, tmp_path: Path, script: str) -> "subprocess.CompletedProcess[str]":
    text = f"loki: {{url: 'http://x/loki/api/v1/push'}}\n{listeners}\n"
    rules = render(parse(text).config, text, secrets=Secrets(), rsyslog=lambda config: "")[names.FIREWALL]
    assert isinstance(rules, File)
    file = tmp_path / "nftables.conf"
    file.write_bytes(rules.content)
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", script], env={**os.environ, "RULES": str(file)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "loopback 9081" in done.stdout, f"{done.stdout}\n{done.stderr}"
    return done


def reach(listeners: str, tmp_path: Path) -> set[str]:
    done = run(listeners, tmp_path, SCRIPT)
    return {line for line in done.stdout.splitlines() if line.startswith("open")}


def test_only_listeners_that_are_on_can_be_reached(tmp_path: Path) -> None:
    found = reach("listeners: {udp: {}, tls: {address: 192.0.2.3}}", tmp_path)
    assert found == {"open udp 514", "open 192.0.2.3 6514"}


HOLD = """
out python3 - <<'END'
import socket
held = []
for _ in range(5):
    try: held.append(socket.create_connection(("192.0.2.1", 2514), 1)); print("open another")
    except ConnectionRefusedError: print("refused")
held.pop().close()
import time; time.sleep(0.5)
for _ in range(2):
    try: held.append(socket.create_connection(("192.0.2.1", 2514), 1)); print("open after one went")
    except ConnectionRefusedError: print("refused")
socket.create_connection(("192.0.2.1", 514), 1); print("open the other port")
END
nft list counter inet appliance too_many
python3 -c 'import socket; socket.create_connection(("127.0.0.1", 9081), 1); print("loopback 9081")'
"""


def test_a_listener_that_keeps_no_bound_itself_has_no_more_connections_than_it_may(tmp_path: Path) -> None:
    """imrelp takes as many as come: what is over listeners.relp.max_connections is refused and counted."""
    done = run("listeners: {tcp: {}, relp: {max_connections: 3}}", tmp_path, SCRIPT.partition("out python3")[0] + HOLD)
    lines = done.stdout.splitlines()
    assert lines.count("open another") == 3, f"{done.stdout}{done.stderr}"
    assert lines.count("open after one went") == 1
    assert "open the other port" in lines
    refused = next(line.split() for line in lines if line.strip().startswith("packets"))
    assert int(refused[1]) >= lines.count("refused") == 3


def test_ssh_opens_with_its_switch_and_both_families_are_served(tmp_path: Path) -> None:
    found = reach("listeners: {tcp: {}}\naccess: {ssh: true}", tmp_path)
    ports = {f"open {host} {port}" for host in ("192.0.2.1", "192.0.2.3", "2001:db8::1") for port in (22, 514)}
    assert found == ports
